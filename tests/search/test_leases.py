"""What a process leaves running when it is killed goes back; what another trains stays with it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hpo import cores
from hpo.events import Event, TrialDone, WaitingForOthers
from hpo.search.leases import LEASE_S, Lease, Watch
from hpo.search.owners import Owner, read_owner, this_process
from hpo.study_record import Goal
from tests.clocked import ClockedStack
from tests.clocked_studies import Bench, record

ELSEWHERE = Owner("elsewhere", "another-boot", 1, "1")


@dataclass(frozen=True)
class Begun:
    """A study with one trial that this process trains, and the rest of its training."""

    study: optuna.Study
    rest: Iterator[Event]


@pytest.fixture
def begun(bench: Bench) -> Begun:
    study = bench.study(record())
    events = bench.events(study, Goal(1))
    next(events)
    return Begun(study, events)


@pytest.fixture
def study(begun: Begun) -> optuna.Study:
    """A study with one trial that this process trains."""
    return begun.study


def running(study: optuna.Study) -> FrozenTrial:
    (trial,) = study.get_trials(states=(TrialState.RUNNING,))
    return trial


def give(study: optuna.Study, owner: Owner) -> None:
    attribute = owner.to_attribute()
    study._storage.set_trial_user_attr(running(study)._trial_id, "owner", attribute)


def process(pid: int) -> Owner:
    """Return a process that lives here, as it would put itself on record."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return replace(this_process(), pid=pid, started=stat.rpartition(")")[2].split()[19])


def test_a_trial_of_a_dead_process_waits_again_and_is_trained(
    bench: Bench, study: optuna.Study
) -> None:
    dead = running(study).number
    give(study, replace(this_process(), pid=2**22 + 1))
    assert Watch(study).put_back() == 1
    assert study.trials[dead].state == TrialState.WAITING
    bench.stack = ClockedStack()
    bench.train(bench.study(record()), Goal(1))
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3
    assert [len(t.intermediate_values) for t in study.trials] == [3, 3, 3]


def test_another_process_that_has_the_number_of_a_dead_one_is_not_taken_for_it(
    study: optuna.Study,
) -> None:
    give(study, replace(this_process(), started="1"))
    assert Watch(study).put_back() == 1


def test_a_process_that_has_ended_but_was_not_waited_for_is_dead(study: optuna.Study) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    give(study, process(child.pid))
    assert Watch(study).put_back() == 0
    assert child.stdin
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Watch(study).put_back() == 1
    child.wait()


def test_a_trial_of_a_living_process_is_left_alone(study: optuna.Study) -> None:
    watch = Watch(study, clock=iter(range(0, 10_000, 1_000)).__next__)
    assert [watch.put_back() for _ in range(3)] == [0, 0, 0]
    assert watch.n_of_others() == 0


def test_a_machine_that_is_silent_for_a_minute_loses_its_trials(study: optuna.Study) -> None:
    now = 0.0
    watch = Watch(study, clock=lambda: now)
    give(study, ELSEWHERE)
    assert watch.n_of_others() == 1
    assert watch.put_back() == 0
    now = LEASE_S - 1
    assert watch.put_back() == 0
    now = LEASE_S
    assert watch.put_back() == 1
    assert watch.n_of_others() == 0


def test_a_machine_that_renews_its_lease_keeps_its_trials(study: optuna.Study) -> None:
    now = 0.0
    watch = Watch(study, clock=lambda: now)
    give(study, ELSEWHERE)
    for beat in range(5):
        now = beat * LEASE_S
        name = "hpo:lease:" + ELSEWHERE.name
        study._storage.set_study_system_attr(study._study_id, name, {"n_renewed": beat})
        assert watch.put_back() == 0


def test_a_lease_is_renewed_under_the_name_that_the_trials_bear(study: optuna.Study) -> None:
    owner = read_owner(running(study).user_attrs["owner"])
    assert owner == this_process()
    with Lease(study, nullcontext):
        attributes = study._storage.get_study_system_attrs(study._study_id)
        assert attributes["hpo:lease:" + owner.name]["n_renewed"] == 0
    attributes = study._storage.get_study_system_attrs(study._study_id)
    assert attributes["hpo:lease:" + owner.name]["n_renewed"] is None


def claim(study: optuna.Study, owner: Owner, taken: set[int]) -> None:
    """Put the lease of another process on record."""
    lease = {"n_renewed": 3, "cores": sorted(taken), "owner": owner.to_attribute()}
    name = "hpo:lease:" + owner.name
    study._storage.set_study_system_attr(study._study_id, name, lease)


@pytest.mark.skipif(len(cores.available()) < 2, reason="one core has no share")
def test_who_comes_later_takes_the_cores_that_are_free(study: optuna.Study) -> None:
    every = cores.available()
    parent = process(os.getppid())
    claim(study, parent, {min(every)})
    claim(study, replace(parent, started="1"), every)  # It has ended.
    claim(study, replace(ELSEWHERE, pid=parent.pid), every)
    with Lease(study, nullcontext):
        assert cores.available() == every - {min(every)}
    assert cores.available() == every


def test_where_no_core_is_free_all_are_shared(study: optuna.Study) -> None:
    every = cores.available()
    claim(study, process(os.getppid()), every)
    with Lease(study, nullcontext):
        assert cores.available() == every


@pytest.mark.parametrize("mark", [None, 7, {}, {"host": "h", "pid": "x"}, {"pid": 10**400}])
def test_a_damaged_mark_is_no_owner(mark: object) -> None:
    assert read_owner(mark) is None


def test_who_is_robbed_and_ends_later_changes_nothing(bench: Bench, begun: Begun) -> None:
    """As a machine does that slept for longer than its lease."""
    study = begun.study
    give(study, replace(this_process(), pid=2**22 + 1))
    stack, bench.stack = bench.stack, ClockedStack()
    bench.train(bench.study(record()), Goal(1))
    told = [(t.value, t.intermediate_values, t.datetime_complete) for t in study.trials]
    bench.stack = stack
    done = [event for event in begun.rest if isinstance(event, TrialDone)]
    assert [event.outcome for event in done] == ["complete"]
    assert [(t.value, t.intermediate_values, t.datetime_complete) for t in study.trials] == told


def test_who_is_robbed_of_a_trial_that_still_waits_ends_it(begun: Begun) -> None:
    study = begun.study
    trial = running(study)
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
    done = [event for event in begun.rest if isinstance(event, TrialDone)]
    assert [event.outcome for event in done] == ["complete"] * 3
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3


def test_who_has_nothing_left_to_train_says_that_others_have(
    bench: Bench, study: optuna.Study
) -> None:
    give(study, ELSEWHERE)
    bench.stack = ClockedStack()
    again, end = bench.study(record()), time.monotonic() + 4
    events = list(bench.events(again, Goal(1), deadline=end))
    assert [e.n_trials for e in events if isinstance(e, WaitingForOthers)] == [1]
    assert [t.state for t in study.trials].count(TrialState.COMPLETE) == 2
