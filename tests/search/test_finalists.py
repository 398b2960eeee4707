"""The last part of a search: the best again with fresh seeds; and spaces that have an end."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hpo.space import Choices, FloatRange, IntRange, Parameter
from hpo.study.record import Goal, StudyRecord
from tests.clocked import ClockedStack
from tests.clocked_studies import SPACE, Bench, open_source, record

GOAL = Goal(n_repeats=1, n_trials=8, n_finalists=3, n_final_repeats=4)
FEW = (Parameter("batch_size", Choices((8, 16, 32))), Parameter("dropout", Choices((0.0, 0.5))))


def search(**changes: Any) -> StudyRecord:
    return record("search", "learning_rate", "scheduler", "step_size", **changes)


def few(**changes: Any) -> StudyRecord:
    return record("search", "batch_size", "dropout", space=replace(SPACE, search=FEW), **changes)


def by_ordinal(study: optuna.Study, *, fresh: bool) -> dict[int, list[float]]:
    """Return the scores of complete repeats, those of the search or the fresh ones, by repeat."""
    found: dict[int, list[float]] = {}
    for trial in sorted(study.trials, key=lambda trial: trial.user_attrs["repeat"]):
        is_fresh = trial.user_attrs["repeat"] >= GOAL.n_repeats
        if trial.state == TrialState.COMPLETE and is_fresh == fresh:
            found.setdefault(trial.user_attrs["ordinal"], []).append(trial.value)
    return found


def test_the_best_are_trained_again_with_seeds_that_did_not_choose_them(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, GOAL)
    searched, fresh = by_ordinal(study, fresh=False), by_ordinal(study, fresh=True)
    assert len(searched) == 8
    best = sorted(searched, key=lambda ordinal: -fmean(searched[ordinal]))[:3]
    assert set(fresh) == set(best)
    assert all(len(scores) == 4 for scores in fresh.values())
    last = study.trials[-12:]
    assert [t.user_attrs["ordinal"] for t in last[::4]] == best
    assert [t.user_attrs["repeat"] for t in last] == [1, 2, 3, 4] * 3
    assert [t.user_attrs["seed"] for t in last] == [1, 2, 3, 4] * 3
    assert [t.user_attrs["fold"] for t in last] == [1, 2, 3, 4] * 3


def test_where_lower_is_better_the_lowest_are_finalists(bench: Bench) -> None:
    study = bench.study(search(metric="log_loss"))
    bench.train(study, GOAL)
    searched, fresh = by_ordinal(study, fresh=False), by_ordinal(study, fresh=True)
    lowest = sorted(searched, key=lambda ordinal: fmean(searched[ordinal]))[:3]
    assert set(fresh) == set(lowest)


@pytest.mark.parametrize("n_lanes", [1, 3])
def test_finalists_begin_when_every_repeat_of_the_search_is_over(
    bench: Bench, n_lanes: int
) -> None:
    study = bench.study(search())
    bench.train(study, replace(GOAL, n_repeats=2), n_lanes=n_lanes)
    repeats = [t.user_attrs["repeat"] for t in study.trials]
    n_searched = 8 * 2
    assert max(repeats[:n_searched]) == 1
    assert sorted(repeats[n_searched:]) == sorted([2, 3, 4, 5] * 3)


def test_what_is_left_counts_the_finalists_from_the_beginning(bench: Bench) -> None:
    study = bench.study(search(sampler="random"))
    source = open_source(study, search(), GOAL)
    assert source.n_left() == 8 + 3 * 4
    n_done = len(bench.train(study, GOAL))
    assert n_done == 20
    assert open_source(study, search(), GOAL).n_left() == 0
    assert bench.train(study, GOAL) == []


@pytest.mark.parametrize(
    ("storage_url", "stop_at"),
    [
        ("sqlite", 5),
        ("sqlite", 30),
        ("sqlite", 45),
        pytest.param("postgresql", 30, marks=pytest.mark.postgres),
    ],
    indirect=["storage_url"],
)
def test_a_search_that_was_stopped_has_the_same_finalists(
    tmp_path: Path, storage_url: str, stop_at: int
) -> None:
    whole, stopped = Bench(tmp_path / "whole"), Bench(tmp_path / "stopped", storage_url)
    one, two = whole.study(search()), stopped.study(search())
    whole.train(one, GOAL)
    stopped.stack = ClockedStack(stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        stopped.train(two, GOAL)
    stopped.stack = ClockedStack()
    stopped.train(two, GOAL)
    assert by_ordinal(one, fresh=True) == by_ordinal(two, fresh=True)


def test_fewer_configurations_than_finalists_are_all_finalists(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, replace(GOAL, n_trials=2))
    assert len(by_ordinal(study, fresh=True)) == 2


def test_a_larger_goal_chooses_finalists_anew_and_keeps_what_is_trained(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, GOAL)
    before = by_ordinal(study, fresh=True)
    bench.train(study, replace(GOAL, n_trials=20))
    searched, fresh = by_ordinal(study, fresh=False), by_ordinal(study, fresh=True)
    best = sorted(searched, key=lambda ordinal: -fmean(searched[ordinal]))[:3]
    assert len(searched) == 20
    assert set(best) <= set(fresh)
    assert all(fresh[ordinal] == before[ordinal] for ordinal in before)


def test_a_fresh_repeat_that_fails_is_not_tried_forever(bench: Bench) -> None:
    bench.stack = ClockedStack(diverging_seed=2)
    study = bench.study(search())
    bench.train(study, GOAL)
    assert all(len(scores) == 3 for scores in by_ordinal(study, fresh=True).values())
    assert bench.train(study, GOAL) == []
    assert open_source(study, search(), GOAL).n_left() == 0


def test_a_space_with_fewer_configurations_than_the_goal_is_gone_through_once(
    bench: Bench,
) -> None:
    study = bench.study(few())
    goal = Goal(1, 50)
    assert open_source(study, few(), goal).n_left() == 6
    done = bench.train(study, goal)
    assert len({d.job.config.identity() for d in done}) == len(done) == 6
    assert bench.train(study, goal) == []


def test_a_larger_goal_completes_a_small_space(bench: Bench) -> None:
    study = bench.study(few(sampler="random"))
    bench.train(study, Goal(1, 3))
    bench.train(study, Goal(1, 50))
    identities = [str(sorted(t.params.items())) for t in study.trials]
    assert len(set(identities)) == 6


def test_a_larger_goal_completes_a_small_space_of_which_one_was_tried_twice(
    bench: Bench,
) -> None:
    three = (Parameter("batch_size", Choices((8, 16, 64))),)
    study = bench.study(record("search", "batch_size", space=replace(SPACE, search=three)))
    bench.train(study, Goal(1, 2))
    assert [t.params["batch_size"] for t in study.trials] == [16, 16]
    bench.train(study, Goal(1, 3))
    assert {t.params["batch_size"] for t in study.trials} == {8, 16, 64}


def test_what_fails_in_a_small_space_is_not_replaced(bench: Bench) -> None:
    ranges = (Parameter("batch_size", Choices((8, 128))), Parameter("dropout", Choices((0.0,))))
    study = bench.study(record("search", "batch_size", space=replace(SPACE, search=ranges)))
    done = bench.train(study, Goal(1, 50, 5, 5))
    assert sorted(d.outcome for d in done) == ["complete"] * 6 + ["failed"]


def test_an_open_range_has_no_end() -> None:
    from hpo import space as spaces

    assert spaces.search_cells(SPACE, most=1000) is None
    whole = (Parameter("batch_size", IntRange(8, 12, step=2)),)
    cells = spaces.search_cells(replace(SPACE, search=whole), most=3)
    assert cells is not None
    assert [cell.params for cell in cells] == [{"batch_size": n} for n in (8, 10, 12)]
    assert spaces.search_cells(replace(SPACE, search=whole), most=2) is None
    point = (Parameter("dropout", FloatRange(0.5, 0.5)),)
    assert spaces.search_cells(replace(SPACE, search=point), most=1) is not None
