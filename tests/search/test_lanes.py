"""Many trainings at a time: what memory has no room for begins again."""

import pytest
from optuna.trial import TrialState

from hpo.errors import DeviceError, OutOfMemoryError
from hpo.run.loop import EpochDone, StackShrunk
from hpo.study.record import Goal
from tests.clocked_studies import Bench, record


def test_where_memory_runs_out_fewer_lanes_go_on_and_nothing_is_lost(bench: Bench) -> None:
    bench.stack.room = 2
    study = bench.study(record())
    events = list(bench.events(study, Goal(3), n_lanes=8))
    assert [e.n_lanes for e in events if isinstance(e, StackShrunk)] == [4, 2]
    trials = study.get_trials(deepcopy=False)
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 9
    jobs = {(t.user_attrs["params"]["batch_size"], t.user_attrs["repeat"]) for t in trials}
    assert len(jobs) == 9


def test_a_training_that_begins_again_reports_every_epoch_once(bench: Bench) -> None:
    study, events = bench.study(record()), []
    for event in bench.events(study, Goal(1), n_lanes=3):
        events.append(event)
        if isinstance(event, EpochDone) and event.epoch == 2:
            bench.stack.room = 1
    # A second report of an epoch is a warning, and here an error.
    assert [len(t.intermediate_values) for t in study.get_trials(deepcopy=False)] == [3, 3, 3]
    assert sum(isinstance(event, StackShrunk) for event in events) == 1


def test_one_lane_that_has_too_little_memory_ends_the_call(bench: Bench) -> None:
    bench.stack.room = 0
    study = bench.study(record())
    with pytest.raises(OutOfMemoryError, match="memory"):
        bench.train(study, Goal(1), n_lanes=2)
    # What was cut off is there to be trained again.
    bench.stack.room = 1
    bench.train(study, Goal(1))
    states = [t.state for t in study.get_trials(deepcopy=False)]
    assert states.count(TrialState.COMPLETE) == 3
    assert TrialState.RUNNING not in states


def test_trainings_on_a_device_that_is_gone_are_trained_by_the_next_call(bench: Bench) -> None:
    bench.stack.lost_at = 2
    study = bench.study(record())
    with pytest.raises(DeviceError, match="stopped working"):
        bench.train(study, Goal(1), n_lanes=3)
    bench.train(study, Goal(1))
    trials = study.get_trials(deepcopy=False)
    states = [t.state for t in trials]
    assert states.count(TrialState.COMPLETE) == 3
    assert TrialState.RUNNING not in states
