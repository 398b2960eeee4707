"""Lanes in processes of their own compute what the stacked engine computes in this one."""

import dataclasses
import functools
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import DeviceError, OutOfMemoryError, OutputError, TrainingError
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch
from hpo.training.processes import ProcessStack, Spread, open_stack
from hpo.training.processes.process import Process
from tests.training.together import Job, add, assert_bitwise_equal, train_alone

BASE = TrainingConfig(
    image_size=16, hidden=(12, 7), dropout=0.2, batch_size=16, learning_rate=0.01, epochs=3
)
JOBS = (
    Job(BASE),
    Job(BASE.replace(epochs=5, loss="focal", optimizer="sgd"), seed=4, fold=0),
    Job(BASE.replace(image_size=9, hidden=[33], early_stopping=1, epochs=6, learning_rate=0.1)),
    Job(BASE.replace(scheduler="plateau", activation="gelu"), seed=7, fold=2),
    Job(BASE.replace(epochs=1, augment_pose=0.1)),
)


@pytest.fixture(scope="module")
def two(data: TrainingData, cpu: Device) -> Iterator[ProcessStack]:
    """Two processes."""
    yield from opened(data, cpu, Spread(n_processes=2))


@pytest.fixture(scope="module")
def free(data: TrainingData, cpu: Device) -> Iterator[ProcessStack]:
    """Two processes that join trainings."""
    yield from opened(data, cpu, Spread(n_processes=2, joins=True))


@pytest.fixture
def joining(data: TrainingData, cpu: Device) -> Iterator[ProcessStack]:
    """One process that joins trainings."""
    yield from opened(data, cpu, Spread(n_processes=1, joins=True))


@pytest.fixture
def one(data: TrainingData, cpu: Device) -> Iterator[ProcessStack]:
    """One process, to be ended."""
    yield from opened(data, cpu, Spread(n_processes=1))


def opened(data: TrainingData, device: Device, spread: Spread) -> Iterator[ProcessStack]:
    stack = open_stack(data, device=device, spread=spread)
    yield stack
    stack.close()


def processes_of(stack: ProcessStack) -> list[Process]:
    return stack._crew._processes


def finish(stack: ProcessStack) -> list[LaneEpoch]:
    """Train to the end; return every epoch in the order in which it came."""
    told = []
    while stack.lanes:
        told += stack.step()
    return told


def test_lanes_in_processes_compute_what_they_compute_in_this_one(
    two: ProcessStack, data: TrainingData, cpu: Device
) -> None:
    added = [add(two, job) for job in JOBS]
    assert two.lanes == tuple(added)
    assert all(place.lanes for place in two._places)
    finish(two)
    for lane, job in zip(added, JOBS, strict=True):
        assert_bitwise_equal(two.result(lane), train_alone(data, job, cpu))


def test_a_step_is_an_epoch_of_what_is_done_first_sorted(two: ProcessStack) -> None:
    n_epochs = {add(two, job): job.config.epochs for job in JOBS}
    reached = dict.fromkeys(n_epochs, 0)
    while live := two.lanes:
        told = two.step()
        assert told == sorted(told)
        for done in told:
            assert done.lane in live
            assert done.epoch == reached[done.lane] + 1
            reached[done.lane] = done.epoch
            assert done.lane not in two.lanes or done.epoch < n_epochs[done.lane]
    assert [reached[lane] for lane in sorted(reached)][:2] == [3, 5]


def test_what_is_told_is_what_the_result_holds(two: ProcessStack) -> None:
    added = [add(two, job) for job in JOBS[:3]]
    told = finish(two)
    for lane in added:
        own = [(done.epoch, done.metrics) for done in told if done.lane == lane]
        assert own == list(enumerate(two.result(lane).epochs, start=1))


def test_a_dropped_lane_leaves_the_others_alone(
    two: ProcessStack, data: TrainingData, cpu: Device
) -> None:
    jobs = [Job(BASE, seed=seed) for seed in range(4)]
    added = [add(two, job) for job in jobs]
    two.step()
    two.drop(added[1])
    assert two.lanes == (added[0], added[2], added[3])
    late = add(two, jobs[1])
    assert late > added[-1]
    assert {done.lane for done in finish(two)} == {added[0], added[2], added[3], late}
    for lane, job in ((added[0], jobs[0]), (added[3], jobs[3]), (late, jobs[1])):
        assert_bitwise_equal(two.result(lane), train_alone(data, job, cpu))


def test_a_step_without_lanes_returns_nothing(two: ProcessStack) -> None:
    assert two.lanes == ()
    assert two.step() == []


def test_a_batch_that_does_not_fit_is_refused_before_any_process_hears_of_it(
    two: ProcessStack,
) -> None:
    with pytest.raises(TrainingError, match=r"batch_size 81 .* 80 training images"):
        add(two, Job(BASE.replace(batch_size=81)))
    assert two.lanes == ()
    lane = add(two, Job(BASE.replace(epochs=1)))
    assert [(done.lane, done.epoch) for done in finish(two)] == [(lane, 1)]


def test_free_processes_tell_every_epoch_once_and_in_order(
    free: ProcessStack, data: TrainingData, cpu: Device
) -> None:
    added = [add(free, job) for job in JOBS]
    told = finish(free)
    for lane, job in zip(added, JOBS, strict=True):
        result = free.result(lane)
        own = [(done.epoch, done.metrics) for done in told if done.lane == lane]
        assert own == list(enumerate(result.epochs, start=1))
        assert_bitwise_equal(result, train_alone(data, job, cpu))


def test_a_free_process_waits_for_no_other_and_forgets_what_is_dropped_while_it_trains(
    free: ProcessStack, data: TrainingData, cpu: Device
) -> None:
    jobs = [Job(BASE.replace(epochs=4), seed=seed) for seed in range(30, 34)]
    added = [add(free, job) for job in jobs]
    dropped = set(free._places[0].lanes)
    halted = processes_of(free)[0]._child.pid
    os.kill(halted, signal.SIGSTOP)
    try:
        told = free.step()
        assert {done.lane for done in told} == set(added) - dropped
        for lane in dropped:
            free.drop(lane)
    finally:
        os.kill(halted, signal.SIGCONT)
    assert {done.lane for done in finish(free)} == set(added) - dropped
    kept = [(lane, job) for lane, job in zip(added, jobs, strict=True) if lane not in dropped]
    assert len(kept) == 2
    for lane, job in kept:
        assert_bitwise_equal(free.result(lane), train_alone(data, job, cpu))


def test_lanes_that_are_one_training_go_to_one_process(
    free: ProcessStack, data: TrainingData, cpu: Device
) -> None:
    jobs = [Job(BASE.replace(epochs=n), seed=20) for n in (2, 5, 3)]
    added = [add(free, job) for job in jobs]
    assert sorted(len(place.lanes) for place in free._places) == [0, 3]
    finish(free)
    for lane, job in zip(added, jobs, strict=True):
        assert_bitwise_equal(free.result(lane), train_alone(data, job, cpu))


@pytest.mark.parametrize("late", [4, 3, 6])
def test_a_lane_that_catches_up_and_ends_in_one_step_is_told_whole(
    data: TrainingData, cpu: Device, joining: ProcessStack, late: int
) -> None:
    jobs = [Job(BASE.replace(epochs=n), seed=40 + late) for n in (3, late)]
    added = [add(joining, jobs[0])]
    finish(joining)
    added.append(add(joining, jobs[1]))
    told = finish(joining)
    assert [done.epoch for done in told if done.lane == added[1]] == list(range(1, late + 1))
    for lane, job in zip(added, jobs, strict=True):
        assert_bitwise_equal(joining.result(lane), train_alone(data, job, cpu))


def test_a_killed_process_is_one_that_ran_out_of_memory(one: ProcessStack) -> None:
    add(one, Job(BASE))
    os.kill(processes_of(one)[0]._child.pid, signal.SIGKILL)
    with pytest.raises(OutOfMemoryError, match=r"was killed.*memory.*--lanes"):
        one.step()


def test_a_process_that_ends_by_itself_is_reported_with_its_exit_code(one: ProcessStack) -> None:
    add(one, Job(BASE))
    os.kill(processes_of(one)[0]._child.pid, signal.SIGTERM)
    with pytest.raises(DeviceError, match=r"exit code -15.*the same command goes on") as caught:
        one.step()
    assert not isinstance(caught.value, OutOfMemoryError)


def test_an_unexpected_error_in_a_process_arrives_with_its_trace(
    data: TrainingData, cpu: Device
) -> None:
    spoiled = dataclasses.replace(data, pixels_at=lambda _size: data.pixels_at(8))
    stack = open_stack(spoiled, device=cpu, spread=Spread(n_processes=1))
    try:
        add(stack, Job(BASE))
        with pytest.raises(RuntimeError, match=r"(?s)process .* failed:\nTraceback.*worker\.py"):
            stack.step()
    finally:
        stack.close()


def test_closing_ends_the_processes_and_what_they_share_has_no_name(
    data: TrainingData, cpu: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stack = open_stack(data, device=cpu, spread=Spread(n_processes=2))
    add(stack, Job(BASE))
    children = [p._child for p in processes_of(stack)]
    assert [child.poll() for child in children] == [None, None]
    assert not list(tmp_path.iterdir())
    stack.close()
    assert [child.poll() for child in children] == [-signal.SIGKILL, -signal.SIGKILL]
    stack.close()


def test_pixels_of_a_size_are_shared_by_all_lanes(data: TrainingData, cpu: Device) -> None:
    asked: list[int] = []

    def note(size: int) -> np.ndarray:
        asked.append(size)
        return data.pixels_at(size)

    stack = open_stack(
        dataclasses.replace(data, pixels_at=note),
        device=cpu,
        spread=Spread(n_processes=1),
    )
    for config in (BASE, BASE.replace(image_size=9), BASE):
        add(stack, Job(config))
    stack.close()
    assert asked == [16, 9]


def test_no_room_for_the_pixels_says_where_and_what_to_do(
    data: TrainingData, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = functools.partial(open, "/dev/full", "wb")
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    stack = open_stack(data, device=cpu, spread=Spread(n_processes=1))
    with pytest.raises(
        OutputError, match=rf"{tempfile.gettempdir()}.*No space left.*TMPDIR.*--lanes 1"
    ):
        add(stack, Job(BASE))
    assert stack.lanes == ()
    stack.close()
