"""A study by configuration: means over repeats, never the luckiest trial."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hpo.run.loop import TrialDone
from hpo.space import Choices, Sweep
from hpo.study.gathering import summarize, summarize_all
from hpo.study.record import Goal
from hpo.study.study import raise_goal
from hpo.study.summary import StudySummary, to_document
from tests.clocked_studies import SPACE, Bench, record


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def read(study: optuna.Study) -> StudySummary:
    return summarize(study, storage_url="postgresql://me:secret@host/db")


def test_a_configuration_has_the_mean_and_interval_of_its_repeats(bench: Bench) -> None:
    study = bench.study(record())
    bench.train(study, Goal(1))
    alone = to_document(read(study))["configurations"][0]
    assert (alone["low"], alone["high"]) == (None, None)
    bench.train(study, Goal(3))
    for configuration in read(study).configurations:
        score = configuration.score
        assert score is not None
        assert score.mean == pytest.approx(sum(configuration.scores) / 3)
        assert score.low is not None
        assert score.high is not None
        assert score.low < score.mean < score.high <= 1.0
        assert [r.repeat for r in configuration.repeats] == [0, 1, 2]
    assert "secret" not in str(to_document(read(study)))


def test_a_grid_stands_in_its_prescribed_order_and_counts_a_retried_repeat_once(
    bench: Bench,
) -> None:
    study = bench.study(record("grid", "learning_rate"))
    for _ in range(3):
        bench.train(study, Goal(1))
    summary = read(study)
    assert len(study.trials) == 4
    assert [c.params["learning_rate"] for c in summary.configurations] == [1e-3, 10.0]
    assert [len(c.repeats) for c in summary.configurations] == [1, 1]
    assert [c.state for c in summary.configurations] == ["complete", "failed"]
    assert summary.best is summary.configurations[0]
    # A failed one is tried again.
    assert (summary.n_done, summary.n_left) == (1, 1)
    raise_goal(study, Goal(3))
    assert (read(study).n_done, read(study).n_left) == (1, 5)


def test_a_configuration_without_all_its_repeats_is_not_the_best(bench: Bench) -> None:
    study = bench.study(record())
    events = bench.events(study, Goal(2))
    for _ in range(3 * 3 + 2):
        next(events)
    states = [c.state for c in read(study).configurations]
    assert states[0] == "complete"
    assert set(states[1:]) <= {"running", "waiting"}
    best = read(study).best
    assert best is not None
    assert best.params == {"batch_size": 16}


def test_studies_of_other_programs_are_counted_and_left_out(bench: Bench) -> None:
    bench.study(record(), "ours")
    optuna.create_study(study_name="theirs", storage=bench.storage)
    summaries, unreadable, n_foreign = summarize_all(bench.storage)
    assert ({n: s.name for n, s in summaries.items()}, unreadable, n_foreign) == (
        {1: "ours"},
        {},
        1,
    )


def test_a_search_of_a_small_space_is_over_when_all_of_it_is_tried(bench: Bench) -> None:
    few = (Choices(name="batch_size", choices=(8, 16, 128)),)
    study = bench.study(record("search", "batch_size", space=replace(SPACE, search=few)))
    raise_goal(study, Goal(1, 50))
    assert read(study).n_left == 3
    bench.train(study, Goal(1, 50))
    summary = read(study)
    assert (summary.count("failed"), summary.n_done, summary.n_left) == (1, 2, 0)


def test_what_is_left_of_a_search_counts_repeats_and_finalists(bench: Bench) -> None:
    study = bench.study(record("search", "learning_rate", "scheduler", "step_size"))
    goal = Goal(2, 3, 2, 2, with_baselines=True)
    whole = 3 * 2 + 2 * 2 + 5 * 2
    raise_goal(study, goal)
    assert (read(study).n_done, read(study).n_left) == (0, whole)
    events = bench.events(study, goal)
    for n_done in range(1, whole + 1):
        next(event for event in events if isinstance(event, TrialDone))
        assert (read(study).n_done, read(study).n_left) == (n_done, whole - n_done)


def test_values_that_differ_in_a_late_digit_stay_apart_in_the_verdict(bench: Bench) -> None:
    rates = Sweep(name="learning_rate", values=(0.00012345678, 0.00012345679))
    norm = Sweep(name="batch_norm", values=(True, False))
    sweeps = SPACE.sweeps | {"learning_rate": rates, "batch_norm": norm}
    names = ("batch_norm", "learning_rate")
    study = bench.study(record("grid", *names, space=replace(SPACE, sweeps=sweeps)))
    bench.train(study, Goal(2))
    summary = read(study)
    assert summary.configurations[0].label == "batch_norm true, learning_rate 0.0001235"
    assert summary.verdict is not None
    assert len(summary.verdict.pairs) == 4 * 3 // 2
