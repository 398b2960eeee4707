"""A study by configuration: means over repeats, never the luckiest trial."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hpo.run.loop import TrialDone
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from hpo.study.study import raise_goal
from hpo.study.summary import StudySummary, to_document
from hpo.views.studies import configurations_table
from tests.clocked_studies import Bench, record


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def read(study: optuna.Study) -> StudySummary:
    with pytest.MonkeyPatch.context() as patch:
        url = "postgresql://me:secret@host/db"
        patch.setattr("hpo.study.gathering.url_of", lambda _: url)
        return summarize(study)


def test_a_grid_keeps_its_order_and_counts_a_retried_repeat_once(bench: Bench) -> None:
    study = bench.study(record("grid", "learning_rate"))
    for _ in range(3):
        bench.train(study, Goal(1))
    summary = read(study)
    assert len(study.trials) == 4
    assert [c.params["learning_rate"] for c in summary.configurations] == [1e-3, 10.0]
    assert [len(c.repeats) for c in summary.configurations] == [1, 1]
    assert [c.state for c in summary.configurations] == ["complete", "failed"]
    assert summary.best is summary.configurations[0]
    # A failed one is retried.
    assert (summary.n_done, summary.n_left) == (1, 1)
    raise_goal(study, Goal(3))
    assert (read(study).n_done, read(study).n_left) == (1, 5)
    assert "secret" not in str(to_document(read(study)))


def test_remaining_trainings_of_a_search_include_repeats_and_finalists(bench: Bench) -> None:
    study = bench.study(record("search", "learning_rate", "scheduler", "step_size"))
    goal = Goal(2, 3, 2, 2, with_baselines=True)
    whole = 3 * 2 + 2 * 2 + 5 * 2
    raise_goal(study, goal)
    assert (read(study).n_done, read(study).n_left) == (0, whole)
    events = bench.events(study, goal)
    for n_done in range(1, whole + 1):
        next(event for event in events if isinstance(event, TrialDone))
        assert (read(study).n_done, read(study).n_left) == (n_done, whole - n_done)


def test_a_trial_is_shown_as_running_only_while_its_command_runs(bench: Bench) -> None:
    study = bench.study(record("grid", "learning_rate"))
    next(iter(bench.events(study, Goal(1))))
    summary = read(study)
    (found, _), (driven, _) = (
        configurations_table(one, most=9)
        for one in (summary, replace(summary, driver="process 1"))
    )
    assert "interrupted" in found.rows[0].cells
    assert "running" in driven.rows[0].cells
