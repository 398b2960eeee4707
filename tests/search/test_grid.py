"""Grids: every cell and repeat exactly once, whatever happens in between."""

from collections import Counter
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from hpo.config import Scalar
from hpo.search import GridSource
from hpo.search.trials import first_repeat, requeue_running, start
from hpo.space import Cell, Sweep, SweepValue
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from tests.clocked import ClockedStack
from tests.clocked_studies import SPACE, Bench, record
from tests.conftest import EVERY_STORAGE

pytestmark = pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)


def complete(study: optuna.Study) -> list[tuple[object, int]]:
    """Return the value and repeat of every complete trial, in order."""
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    return [(next(iter(t.params.values())), t.user_attrs["repeat"]) for t in trials]


GRID = [(size, repeat) for size in (16, 32, 64) for repeat in (0, 1)]


@pytest.mark.parametrize("n_lanes", [1, 2, 4])
def test_a_grid_trains_each_cell_and_repeat_once_in_the_prescribed_order(
    bench: Bench, n_lanes: int
) -> None:
    study = bench.study(record())
    bench.train(study, Goal(2), n_lanes=n_lanes)
    assert complete(study) == GRID
    assert len(study.trials) == len(GRID)


def test_the_same_grid_again_trains_nothing(bench: Bench) -> None:
    study = bench.study(record())
    bench.train(study, Goal(2))
    assert bench.train(bench.study(record()), Goal(2)) == []
    assert bench.stack.n_added == len(GRID)


def test_more_repeats_train_what_is_missing(bench: Bench) -> None:
    study = bench.study(record())
    bench.train(study, Goal(2))
    done = bench.train(study, Goal(3))
    assert [d.job.params["batch_size"] for d in done] == [16, 32, 64]
    assert [d.job.repeat for d in done] == [2, 2, 2]


def test_fewer_repeats_than_there_are_train_nothing(bench: Bench) -> None:
    study = bench.study(record())
    bench.train(study, Goal(2))
    assert bench.train(study, Goal(1)) == []


def test_repeat_i_has_the_same_seed_and_fold_in_every_cell(bench: Bench) -> None:
    study = bench.study(record(seed=5))
    done = bench.train(study, Goal(2))
    pairs = {d.job.repeat: (d.job.seed, d.job.fold) for d in done}
    assert pairs == {0: (5, 5), 1: (6, 6)}


def test_several_parameters_make_every_combination(bench: Bench) -> None:
    study = bench.study(record("grid", "batch_size", "learning_rate"))
    bench.train(study, Goal(1))
    params = Counter(tuple(sorted(t.params.items())) for t in study.trials)
    assert len(params) == 6
    assert set(params.values()) == {1}


def test_a_failed_cell_runs_again_on_the_next_call_and_the_rest_does_not(bench: Bench) -> None:
    study = bench.study(record("grid", "learning_rate"))
    first = bench.train(study, Goal(2))
    assert [d.outcome for d in first] == ["complete", "complete", "failed", "failed"]
    assert first[2].reason == "its loss was not finite in epoch 2."
    again = bench.train(study, Goal(2))
    assert [(d.job.params["learning_rate"], d.outcome) for d in again] == [(10.0, "failed")] * 2


def test_an_interrupted_grid_keeps_what_is_finished_and_goes_on_where_it_stopped(
    bench: Bench,
) -> None:
    bench.stack = ClockedStack(stop_at=8)
    study = bench.study(record())
    with pytest.raises(KeyboardInterrupt):
        bench.train(study, Goal(2))
    assert complete(study) == GRID[:2]
    bench.stack = ClockedStack()
    bench.train(study, Goal(2))
    assert sorted(complete(study)) == GRID
    assert bench.stack.n_added == 4


def test_a_trial_that_is_interrupted_as_it_begins_runs_again_in_the_same_process(
    bench: Bench,
) -> None:
    bench.stack = ClockedStack(stop_adding=True)
    study = bench.study(record())
    with pytest.raises(KeyboardInterrupt):
        bench.train(study, Goal(2))
    bench.stack = ClockedStack()
    bench.train(study, Goal(2))
    assert sorted(complete(study)) == GRID


def test_another_study_with_the_same_cells_trains_nothing(bench: Bench) -> None:
    bench.train(bench.study(record(), "first"), Goal(2))
    second = bench.train(bench.study(record(), "second"), Goal(2))
    assert [d.is_reused for d in second] == [True] * 6
    assert bench.stack.n_added == 6


def test_a_told_run_has_the_same_curve_and_score_as_a_trained_one(bench: Bench) -> None:
    trained, told = bench.study(record(), "first"), bench.study(record(), "second")
    bench.train(trained, Goal(1))
    bench.train(told, Goal(1))
    for a, b in zip(trained.trials, told.trials, strict=True):
        assert (a.params, a.value, a.intermediate_values) == (
            b.params,
            b.value,
            b.intermediate_values,
        )


def test_a_large_grid_waits_in_portions_and_is_not_taken_for_complete(bench: Bench) -> None:
    study = bench.study(record())
    goal = Goal(40)
    events = bench.events(study, goal)
    next(events)
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    assert len(states) < 3 * 40
    assert GridSource(study=study, record=record(), n_repeats=40).n_left() == 3 * 40
    events.close()
    assert summarize(study, storage_url="sqlite:///hpo.db").n_open == 3 * 40
    bench.train(study, goal)
    assert len(complete(study)) == 3 * 40
    assert summarize(study, storage_url="sqlite:///hpo.db").n_open == 0


SOME_ALIKE = replace(
    SPACE,
    sweeps={
        "scheduler": Sweep(
            "scheduler", tuple(SweepValue(s, (("scheduler", s),)) for s in ("none", "step"))
        ),
        "step_size": Sweep("step_size", tuple(SweepValue(n, (("step_size", n),)) for n in (1, 2))),
    },
)


def test_cells_that_are_one_training_are_trained_once(bench: Bench) -> None:
    study = bench.study(record("grid", "scheduler", "step_size", space=SOME_ALIKE))
    bench.train(study, Goal(2), n_lanes=8)
    assert bench.stack.n_added == len(study.trials) == 3 * 2
    summary = summarize(study, storage_url="sqlite:///hpo.db")
    assert [c.value for c in summary.configurations] == [
        "scheduler none",
        "scheduler step, step_size 1",
        "scheduler step, step_size 2",
    ]


def test_a_study_that_asked_for_one_training_twice_goes_on_to_the_others(bench: Bench) -> None:
    made = record("grid", "scheduler", "step_size", space=SOME_ALIKE)
    study = bench.study(made)
    for ordinal, step_size in enumerate((1, 2)):
        params: dict[str, Scalar] = {"scheduler": "none", "step_size": step_size}
        config = made.space.base.replace(**params)
        job = first_repeat(made, Cell(params, config), ordinal=ordinal)
        start(study, made, job)
    requeue_running(study)
    bench.train(study, Goal(1))
    summary = summarize(study, storage_url="sqlite:///hpo.db")
    assert [c.state for c in summary.configurations] == ["complete"] * 3
    assert [c.config.step_size for c in summary.configurations[1:]] == [1, 2]
    assert (len(study.trials), summary.n_left) == (4, 0)
