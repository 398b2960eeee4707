"""Grids: every cell and repeat is trained exactly once, despite interruptions."""

import threading
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from hpo.config import Scalar
from hpo.errors import DeviceError, OutOfMemoryError
from hpo.run.loop import EpochDone, StackShrunk
from hpo.space import Cell, Sweep
from hpo.storage.runs import RunKey, RunStore
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from hpo.study.trials import first_repeat, requeue_running, start
from hpo.training.engine import Run, Workers
from tests.clocked import ClockedStack
from tests.clocked_studies import SPACE, Bench, open_source, record
from tests.conftest import EVERY_STORAGE

GRID = [(size, repeat) for size in (16, 32, 64) for repeat in (0, 1)]


def complete(study: optuna.Study) -> list[tuple[object, int]]:
    """Return the value and repeat of every complete trial, in order."""
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    return [(next(iter(t.params.values())), t.user_attrs["repeat"]) for t in trials]


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_each_cell_and_repeat_is_trained_once_in_the_prescribed_order(bench: Bench) -> None:
    study = bench.study(record(seed=5))
    done = bench.train(study, Goal(2), n_lanes=4)
    assert complete(study) == GRID
    assert len(study.trials) == len(GRID)
    # In every cell a repeat has the same seed and fold.
    assert {(d.job.repeat, d.job.seed, d.job.fold) for d in done} == {(0, 5, 5), (1, 6, 6)}
    assert bench.train(bench.study(record(seed=5)), Goal(2)) == []
    assert bench.train(study, Goal(1)) == []
    bench.train(study, Goal(3))
    assert complete(study)[6:] == [(16, 2), (32, 2), (64, 2)]


def test_a_started_grid_does_not_count_as_complete(bench: Bench) -> None:
    study, goal = bench.study(record()), Goal(1)
    events = bench.events(study, goal)
    next(events)
    assert len(study.get_trials(deepcopy=False)) == 1
    assert open_source(study, record(), goal).n_left() == 3
    events.close()
    assert summarize(study).n_open == 3


def test_a_cluster_continues_training_while_results_are_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = [Workers(n_actors=1, n_nodes=1, n_lanes=1, processors=("clock",))]
    all_trained = threading.Event()
    save, bench.news = RunStore.save, lambda: news.pop() if news else None

    def slow(store: RunStore, key: RunKey, run: Run) -> None:
        assert all_trained.wait(60)
        save(store, key, run)

    monkeypatch.setattr(RunStore, "save", slow)
    study, n_epochs = bench.study(record()), 0
    for event in bench.events(study, Goal(2)):
        n_epochs += isinstance(event, EpochDone)
        if n_epochs == len(GRID) * SPACE.base.epochs:
            all_trained.set()
    assert complete(study) == GRID


def test_a_cluster_trains_while_trials_are_created_and_also_takes_stored_results(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.run.loop._FILLING_S", -1.0)
    for name in ("first", "again"):
        news = [Workers(n_actors=2, n_nodes=1, n_lanes=4, processors=("clock",))]
        bench.news = lambda news=news: news.pop() if news else None
        study = bench.study(record(), name)
        running = [
            sum(t.state == TrialState.RUNNING for t in study.get_trials(deepcopy=False))
            for event in bench.events(study, Goal(2), 4)
            if isinstance(event, EpochDone)
        ]
        assert complete(study) == GRID
        assert running[:1] == ([1] if name == "first" else [])  # The second is not created yet.


SOME_ALIKE = replace(
    SPACE,
    sweeps={
        "scheduler": Sweep(name="scheduler", values=("none", "step")),
        "step_size": Sweep(name="step_size", values=(1, 2)),
    },
)


def test_a_study_with_a_duplicate_training_continues_with_the_others(bench: Bench) -> None:
    made = record("grid", "scheduler", "step_size", space=SOME_ALIKE)
    study = bench.study(made)
    for ordinal, step_size in enumerate((1, 2)):
        params: dict[str, Scalar] = {"scheduler": "none", "step_size": step_size}
        cell = Cell(params, made.space.base.replace(**params))
        start(study, made, first_repeat(made, cell, ordinal=ordinal))
    requeue_running(study)
    assert {t.state for t in study.trials} == {TrialState.WAITING}
    bench.train(study, Goal(1))
    summary = summarize(study)
    assert [c.state for c in summary.configurations] == ["complete"] * 3
    assert [c.config.step_size for c in summary.configurations[1:]] == [1, 2]
    assert (len(study.trials), summary.n_left) == (4, 0)


def test_out_of_memory_reduces_lanes_without_lost_or_repeated_epochs(bench: Bench) -> None:
    study, shrunk = bench.study(record()), []
    for event in bench.events(study, Goal(3), n_lanes=8):
        if isinstance(event, EpochDone) and event.epoch == 2:
            bench.stack.room = 2
        if isinstance(event, StackShrunk):
            shrunk.append(event.n_lanes)
    assert shrunk == [4, 2]
    assert len(set(complete(study))) == len(study.trials) == 9
    # A second report of an epoch is a warning, and here an error.
    assert all(len(trial.intermediate_values) == 3 for trial in study.trials)


@pytest.mark.parametrize(
    ("stack", "error"),
    [(ClockedStack(room=0), OutOfMemoryError), (ClockedStack(lost_at=2), DeviceError)],
)
def test_trainings_stopped_by_an_error_are_trained_by_the_next_call(
    bench: Bench, stack: ClockedStack, error: type[Exception]
) -> None:
    bench.stack = replace(stack, live={}, done={})
    study = bench.study(record())
    with pytest.raises(error):
        bench.train(study, Goal(1), n_lanes=2)
    bench.stack = ClockedStack(room=1)
    bench.train(study, Goal(1))
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
