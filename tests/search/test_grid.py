"""Grids: every cell and repeat exactly once, whatever happens in between."""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from hpo.config import Scalar
from hpo.errors import DeviceError, OutOfMemoryError
from hpo.run.loop import EpochDone, StackShrunk
from hpo.space import Cell, Sweep
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from hpo.study.trials import first_repeat, requeue_running, start
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


def test_a_failed_cell_runs_again_on_the_next_call_and_the_rest_does_not(bench: Bench) -> None:
    study = bench.study(record("grid", "learning_rate"))
    first = bench.train(study, Goal(2))
    assert [d.outcome for d in first] == ["complete", "complete", "failed", "failed"]
    assert first[2].reason == "its loss was not finite in epoch 2."
    again = bench.train(study, Goal(2))
    assert [(d.job.params["learning_rate"], d.outcome) for d in again] == [(10.0, "failed")] * 2


@pytest.mark.parametrize("stack", [ClockedStack(stop_at=8), ClockedStack(stop_adding=True)])
def test_an_interrupted_grid_keeps_what_is_finished_and_goes_on_where_it_stopped(
    bench: Bench, stack: ClockedStack
) -> None:
    bench.stack = replace(stack, live={}, done={})
    study = bench.study(record())
    with pytest.raises(KeyboardInterrupt):
        bench.train(study, Goal(2))
    n_kept = len(complete(study))
    bench.stack = ClockedStack()
    bench.train(study, Goal(2))
    assert sorted(complete(study)) == GRID
    assert bench.stack.n_added == len(GRID) - n_kept


def test_another_study_with_the_same_cells_trains_nothing_and_has_the_same_curves(
    bench: Bench,
) -> None:
    studies = bench.study(record(), "first"), bench.study(record(), "second")
    is_reused = [d.is_reused for study in studies for d in bench.train(study, Goal(1))]
    assert is_reused == 3 * [False] + 3 * [True]
    assert bench.stack.n_added == 3
    first, second = (
        [(t.params, t.value, t.intermediate_values) for t in s.trials] for s in studies
    )
    assert first == second


def test_a_grid_that_has_begun_is_not_taken_for_complete(bench: Bench) -> None:
    study, goal = bench.study(record()), Goal(1)
    events = bench.events(study, goal)
    next(events)
    assert len(study.get_trials(deepcopy=False)) == 1
    assert open_source(study, record(), goal).n_left() == 3
    events.close()
    assert summarize(study, storage_url=bench.url).n_open == 3


SOME_ALIKE = replace(
    SPACE,
    sweeps={
        "scheduler": Sweep(name="scheduler", values=("none", "step")),
        "step_size": Sweep(name="step_size", values=(1, 2)),
    },
)


def test_cells_that_are_one_training_are_trained_once(bench: Bench) -> None:
    study = bench.study(record("grid", "scheduler", "step_size", space=SOME_ALIKE))
    bench.train(study, Goal(1), n_lanes=8)
    assert bench.stack.n_added == len(study.trials) == 3
    assert [c.value for c in summarize(study, storage_url=bench.url).configurations] == [
        "scheduler none",
        "scheduler step, step_size 1",
        "scheduler step, step_size 2",
    ]


def test_a_study_that_asked_for_one_training_twice_goes_on_to_the_others(bench: Bench) -> None:
    made = record("grid", "scheduler", "step_size", space=SOME_ALIKE)
    study = bench.study(made)
    for ordinal, step_size in enumerate((1, 2)):
        params: dict[str, Scalar] = {"scheduler": "none", "step_size": step_size}
        cell = Cell(params, made.space.base.replace(**params))
        start(study, made, first_repeat(made, cell, ordinal=ordinal))
    requeue_running(study)
    assert {t.state for t in study.trials} == {TrialState.WAITING}
    bench.train(study, Goal(1))
    summary = summarize(study, storage_url=bench.url)
    assert [c.state for c in summary.configurations] == ["complete"] * 3
    assert [c.config.step_size for c in summary.configurations[1:]] == [1, 2]
    assert (len(study.trials), summary.n_left) == (4, 0)


def test_where_memory_runs_out_fewer_lanes_go_on_and_nothing_is_lost_or_reported_twice(
    bench: Bench,
) -> None:
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
def test_where_no_training_can_go_on_the_next_call_trains_them(
    bench: Bench, stack: ClockedStack, error: type[Exception]
) -> None:
    bench.stack = replace(stack, live={}, done={})
    study = bench.study(record())
    with pytest.raises(error):
        bench.train(study, Goal(1), n_lanes=2)
    bench.stack = ClockedStack(room=1)
    bench.train(study, Goal(1))
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
