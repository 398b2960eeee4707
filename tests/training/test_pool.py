"""Lanes in a pool of processes give the same results as the stacked engine."""

import contextlib
import dataclasses
import os
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import DeviceError, OutOfMemoryError, TrainingError
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch
from hpo.training.pool import Pool, Worker, fields_of
from hpo.training.processes import Processes, seconds_side_by_side
from tests.training.together import Job, add, assert_bitwise_equal, train_alone

BASE = TrainingConfig(
    image_size=16, hidden=(12, 7), dropout=0.2, batch_size=16, learning_rate=0.01, epochs=3
)
JOBS = (
    Job(BASE),
    Job(BASE.replace(epochs=5, loss="focal", optimizer="sgd"), seed=4, fold=0),
    Job(BASE.replace(image_size=9, hidden=[33], early_stopping=1, epochs=6, learning_rate=0.1)),
    Job(BASE.replace(scheduler="plateau", activation="gelu"), seed=7, fold=2),
    Job(BASE.replace(epochs=1, augment_pose=0.1, align="template")),
)


@pytest.fixture(scope="module")
def two(data: TrainingData, cpu: Device) -> Iterator[Pool]:
    """Two processes."""
    with closing(Pool(Processes(data, cpu, n_processes=2, joins=True))) as pool:
        yield pool


def finish(pool: Pool) -> list[LaneEpoch]:
    """Train to the end; return every epoch in order of arrival."""
    returned = []
    while live := pool.lanes:
        done = pool.step()
        assert done == sorted(done)
        assert {epoch.lane for epoch in done} <= set(live)
        returned += done
    return returned


def finish_as_alone(pool: Pool, jobs: dict[int, Job], data: TrainingData, cpu: Device) -> None:
    """Train to the end, and compare each lane's epochs and result with its job trained alone."""
    returned = finish(pool)
    for lane, job in jobs.items():
        result = pool.result(lane)
        own = [(done.epoch, done.metrics) for done in returned if done.lane == lane]
        assert own == list(enumerate(result.run.epochs, start=1))
        assert_bitwise_equal(result, train_alone(data, job, cpu))


@contextlib.contextmanager
def stopped(process: Any) -> Iterator[None]:
    """Suspend a process."""
    os.kill(process._child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process._child.pid, signal.SIGCONT)


def test_lanes_match_training_in_one_process_and_return_in_order(
    two: Pool, data: TrainingData, cpu: Device
) -> None:
    with pytest.raises(TrainingError, match=r"batch_size 81"):
        add(two, Job(BASE.replace(batch_size=81)))
    added = [add(two, job) for job in JOBS]
    assert two.lanes == tuple(added)
    finish_as_alone(two, dict(zip(added, JOBS, strict=True)), data, cpu)
    assert two.step() == []


def test_a_process_waits_for_no_other_and_discards_dropped_lanes(
    two: Pool, data: TrainingData, cpu: Device
) -> None:
    jobs = {add(two, job): job for job in (Job(BASE, seed=seed) for seed in range(30, 34))}
    with stopped(two.group.members[0]):
        dropped = jobs.keys() - {done.lane for done in two.step()}
        assert len(dropped) == 2
        for lane in dropped:
            two.drop(lane)
    again = jobs[min(dropped)]
    late = add(two, again)
    assert late > max(jobs)
    kept = {lane: job for lane, job in jobs.items() if lane not in dropped} | {late: again}
    assert two.lanes == tuple(kept)
    assert {done.lane for done in finish(two)} == set(kept)
    for lane, job in kept.items():
        assert_bitwise_equal(two.result(lane), train_alone(data, job, cpu))


def test_lanes_that_share_a_training_go_to_one_process_and_catch_up(
    two: Pool, data: TrainingData, cpu: Device
) -> None:
    with stopped(two.group.members[1]):
        for job in (Job(BASE.replace(epochs=n), seed=50) for n in (3, 4, 6)):
            lane = add(two, job)
            assert [done.epoch for done in finish(two)] == list(range(1, job.config.epochs + 1))
            assert_bitwise_equal(two.result(lane), train_alone(data, job, cpu))


class DyingGroup:
    """Two workers in this process; every `n_steps` steps one of them dies."""

    joins = True

    def __init__(
        self, data: TrainingData, device: Device, *, n_steps: int, goes_ahead: bool = False
    ) -> None:
        self.data, self.device, self.n_steps, self.n_left = data, device, n_steps, n_steps
        self.goes_ahead = goes_ahead
        self.members = [LocalWorker(self), LocalWorker(self)]

    def share(self, image_size: int) -> list[Any]:
        return [self.data.pixels_at(image_size)]

    def receive(self) -> list[Any]:
        self.n_left -= 1
        if not self.n_left:
            self.n_left, self.members = self.n_steps, [self.members[1], LocalWorker(self)]
            return []
        return [member.answers.popleft() for member in self.members if member.answers]

    def close(self) -> None: ...


class LocalWorker:
    """A worker with room for two lanes that answers at once, or an epoch ahead."""

    def __init__(self, group: DyingGroup) -> None:
        self.answers = deque[Any]()
        self.most_answers = 2 if group.goes_ahead else 1
        shared = fields_of(group.data)
        self.worker = Worker(shared, group.device, joins=True, read=lambda _size, place: place)

    @property
    def is_busy(self) -> bool:
        return len(self.answers) == self.most_answers

    def room(self, _config: TrainingConfig) -> int:
        return 2

    def train(self, *request: Any) -> None:
        self.answers.append(self.worker.answer("train", *request))


@pytest.mark.parametrize("goes_ahead", [False, True])
def test_lost_trainings_are_repeated_and_no_epoch_is_returned_twice(
    data: TrainingData, cpu: Device, goes_ahead: bool
) -> None:
    pool = Pool(DyingGroup(data, cpu, n_steps=7, goes_ahead=goes_ahead))
    jobs = [
        *JOBS,
        Job(BASE.replace(epochs=4)),
        Job(BASE.replace(epochs=2)),
    ]  # Joined to the first.
    lanes = [add(pool, job) for job in jobs]
    finish_as_alone(pool, dict(zip(lanes, jobs, strict=True)), data, cpu)
    pool = Pool(DyingGroup(data, cpu, n_steps=2, goes_ahead=goes_ahead))
    add(pool, Job(BASE.replace(epochs=100)))
    with pytest.raises(DeviceError, match="lost 20 times with its process"):
        finish(pool)


@pytest.mark.parametrize(
    ("signal_", "error", "says"),
    [
        (signal.SIGKILL, OutOfMemoryError, r"was killed.*memory.*--lanes"),
        (signal.SIGTERM, DeviceError, r"exit code -15.*run the same command again"),
    ],
)
def test_a_process_that_dies_is_reported(
    data: TrainingData, cpu: Device, signal_: int, error: type[Exception], says: str
) -> None:
    with closing(Pool(Processes(data, cpu, n_processes=1))) as pool:
        add(pool, Job(BASE))
        os.kill(pool.group.members[0]._child.pid, signal_)
        with pytest.raises(error, match=says) as caught:
            pool.step()
        assert type(caught.value) is error


def test_an_unexpected_error_keeps_its_traceback(data: TrainingData, cpu: Device) -> None:
    spoiled = dataclasses.replace(data, pixels_at=lambda _size: data.pixels_at(8))
    with pytest.raises(RuntimeError, match=r"(?s)process failed:\nTraceback.*pool\.py"):
        seconds_side_by_side(spoiled, [BASE], device=cpu, n_processes=1)


def test_closing_ends_the_processes_and_leaves_nothing_on_disk(
    data: TrainingData, cpu: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pool = Pool(Processes(data, cpu, n_processes=1))
    add(pool, Job(BASE))
    child = pool.group.members[0]._child
    assert child.poll() is None
    assert not list(tmp_path.iterdir())
    pool.close()
    assert child.poll() == -signal.SIGKILL
    pool.close()
