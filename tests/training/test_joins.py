"""Lanes that differ only in their epochs are one training, and give what each gives alone."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack
from hpo.training.device import Device
from hpo.training.engine import EpochMetrics, LaneEpoch, TrainingResult
from hpo.training.lane import Lane
from hpo.training.layout import Scratch
from hpo.training.stack import StackedStack, open_stack
from tests.training.together import Job, add, assert_bitwise_equal, train_alone

BASE = TrainingConfig(
    image_size=16, hidden=(12, 7), dropout=0.2, batch_size=16, learning_rate=0.01, epochs=4
)
Check: TypeAlias = Callable[[dict[int, TrainingConfig]], None]
# Its validation loss rises after the third epoch.
STOPPING = BASE.replace(dropout=0.0, learning_rate=0.1, early_stopping=2, epochs=9)


class Trainings:
    """A stack that joins, how many epochs it has trained, and what it has told."""

    def __init__(self, stack: StackedStack, trained: list[int]) -> None:
        self.stack = stack
        self.told: list[LaneEpoch] = []
        self.trained = trained

    @property
    def n_trained(self) -> int:
        """The epochs trained so far; one that serves several lanes counts once."""
        return sum(self.trained)

    def add(self, config: TrainingConfig, *, seed: int = 3, fold: int = 1) -> int:
        return add(self.stack, Job(config, seed, fold))

    def step(self, n: int = 1) -> None:
        for _ in range(n):
            self.told += self.stack.step()

    def finish(self) -> None:
        while self.stack.lanes:
            self.step()

    def result(self, lane: int) -> TrainingResult:
        """Return a result, after checking that its epochs were told once and in order."""
        result = self.stack.result(lane)
        own = [(done.epoch, done.metrics) for done in self.told if done.lane == lane]
        assert own == list(enumerate(result.epochs, start=1))
        return result


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch, data: TrainingData, device: Device) -> Trainings:
    trained, run_epoch = [], stack.run_epoch

    def note(lanes: Sequence[Lane], scratch: Scratch) -> list[EpochMetrics]:
        trained.append(len(lanes))
        return run_epoch(lanes, scratch)

    monkeypatch.setattr(stack, "run_epoch", note)
    return Trainings(open_stack(data, device=device, joins=True), trained)


@pytest.fixture
def check(data: TrainingData, device: Device, trainings: Trainings) -> Check:
    """Finish, and compare each of some lanes with its configuration trained alone."""

    def check(lanes: dict[int, TrainingConfig]) -> None:
        trainings.finish()
        for lane, config in lanes.items():
            expected = train_alone(data, Job(config), device)
            assert_bitwise_equal(trainings.result(lane), expected)

    return check


@pytest.mark.parametrize("epochs", list(itertools.permutations([2, 3, 5])))
@pytest.mark.parametrize("scheduler", ["none", "step", "multistep"])
def test_lanes_that_differ_in_epochs_are_one_training_in_any_order(
    trainings: Trainings, check: Check, scheduler: str, epochs: tuple[int, ...]
) -> None:
    root = BASE.replace(scheduler=scheduler, step_size=2, milestones=[1, 4])
    lanes = {trainings.add(config): config for config in each(root, epochs)}
    assert len(lanes) == 3
    trainings.finish()
    assert trainings.n_trained == 5
    check(lanes)


def each(root: TrainingConfig, epochs: Iterable[int]) -> list[TrainingConfig]:
    return [root.replace(epochs=n) for n in epochs]


@pytest.mark.parametrize("scheduler", ["cosine", "polynomial", "plateau"])
def test_schedules_that_depend_on_more_than_the_epoch_never_join(
    trainings: Trainings, check: Check, scheduler: str
) -> None:
    root = BASE.replace(scheduler=scheduler, step_size=1)
    lanes = {trainings.add(config): config for config in each(root, [2, 4])}
    trainings.finish()
    assert trainings.n_trained == 6
    check(lanes)


@pytest.mark.parametrize(
    "other",
    [
        Job(BASE, seed=4),
        Job(BASE, fold=2),
        Job(BASE.replace(learning_rate=0.02)),
        Job(BASE.replace(early_stopping=3)),
    ],
    ids=["seed", "fold", "learning rate", "early stopping"],
)
def test_lanes_that_differ_in_more_than_epochs_do_not_join(
    trainings: Trainings, other: Job
) -> None:
    trainings.add(BASE)
    trainings.add(other.config.replace(epochs=3), seed=other.seed, fold=other.fold)
    trainings.finish()
    assert trainings.n_trained == 4 + 3


def test_nothing_is_shared_unless_asked_for(
    trainings: Trainings, data: TrainingData, device: Device
) -> None:
    apart = Trainings(open_stack(data, device=device), trainings.trained)
    lanes = [apart.add(config) for config in each(BASE, [2, 4, 4])]
    apart.finish()
    assert apart.n_trained == 2 + 4 + 4
    assert [len(apart.result(lane).epochs) for lane in lanes] == [2, 4, 4]


@pytest.mark.parametrize("epochs", [3, 4, 6])
def test_a_lane_joins_a_training_under_way(
    trainings: Trainings, check: Check, epochs: int
) -> None:
    configs = each(BASE, [4, epochs])
    lanes = {trainings.add(configs[0]): configs[0]}
    trainings.step(2)
    lanes[trainings.add(configs[1])] = configs[1]
    trainings.finish()
    assert trainings.n_trained == max(4, epochs)
    check(lanes)


def test_a_lane_that_joins_is_told_the_epochs_it_has_missed_at_once(trainings: Trainings) -> None:
    trainings.add(BASE)
    trainings.step(2)
    late = trainings.add(BASE.replace(epochs=5))
    assert [done.epoch for done in trainings.stack.step() if done.lane == late] == [1, 2, 3]


@pytest.mark.parametrize("epochs", [(4, 2), (2, 2), (2, 2, 5), (2, 5, 2)])
def test_a_lane_that_joins_at_its_last_epoch_ends_there(
    trainings: Trainings, check: Check, epochs: tuple[int, ...]
) -> None:
    first, *late = each(BASE, epochs)
    lanes = {trainings.add(first): first}
    trainings.step(2)
    lanes |= {trainings.add(config): config for config in late}
    check(lanes)


def test_a_lane_that_is_behind_the_training_begins_anew(
    trainings: Trainings, check: Check
) -> None:
    configs = each(BASE, [4, 2, 5])
    lanes = {trainings.add(configs[0]): configs[0]}
    trainings.step(3)
    lanes |= {trainings.add(config): config for config in configs[1:]}
    check(lanes)


def test_a_longer_lane_goes_on_from_one_that_has_finished(
    trainings: Trainings, check: Check
) -> None:
    configs = each(BASE, [2, 5])
    lanes = {trainings.add(configs[0]): configs[0]}
    trainings.finish()
    lanes[trainings.add(configs[1])] = configs[1]
    trainings.finish()
    assert trainings.n_trained == 5
    check(lanes)


def test_a_shorter_lane_after_one_that_has_finished_begins_anew(
    trainings: Trainings, check: Check
) -> None:
    configs = each(BASE, [4, 2])
    lanes = {trainings.add(configs[0]): configs[0]}
    trainings.finish()
    lanes[trainings.add(configs[1])] = configs[1]
    trainings.finish()
    assert trainings.n_trained == 4 + 2
    check(lanes)


@pytest.mark.parametrize("epochs", [(2, 4, 7, 9), (9, 7, 4, 2), (4, 9, 2, 7)])
def test_early_stopping_is_that_of_each_lane_alone(
    trainings: Trainings, check: Check, epochs: tuple[int, ...]
) -> None:
    lanes = {trainings.add(config): config for config in each(STOPPING, epochs)}
    trainings.finish()
    assert trainings.n_trained < 9
    check(lanes)


def test_a_lane_joins_a_training_that_has_stopped_early(
    trainings: Trainings, check: Check
) -> None:
    configs = each(STOPPING, [9, 12, 2])
    lanes = {trainings.add(configs[0]): configs[0]}
    trainings.finish()
    n_trained = trainings.n_trained
    lanes[trainings.add(configs[1])] = configs[1]
    trainings.finish()
    assert trainings.n_trained == n_trained
    lanes[trainings.add(configs[2])] = configs[2]
    check(lanes)


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_dropping_a_lane_leaves_the_others_of_its_training(
    trainings: Trainings, check: Check, dropped: int
) -> None:
    configs = each(BASE, [3, 6, 4])
    lanes = {trainings.add(config): config for config in configs}
    trainings.step(2)
    gone = list(lanes)[dropped]
    trainings.stack.drop(gone)
    del lanes[gone]
    trainings.finish()
    assert trainings.n_trained == max(config.epochs for config in lanes.values())
    assert max(done.epoch for done in trainings.told if done.lane == gone) == 2
    check(lanes)


def test_a_training_whose_lanes_are_all_dropped_may_go_on(
    trainings: Trainings, check: Check
) -> None:
    dropped = trainings.add(BASE)
    trainings.step(2)
    trainings.stack.drop(dropped)
    assert trainings.stack.step() == []
    lanes = {trainings.add(BASE): BASE}
    trainings.finish()
    assert trainings.n_trained == 4
    check(lanes)


def test_idle_trainings_beyond_what_memory_allows_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, trainings: Trainings, check: Check
) -> None:
    monkeypatch.setattr(stack, "_MOST_IDLE", 0)
    trainings.add(BASE.replace(epochs=2))
    trainings.finish()
    lanes = {trainings.add(BASE): BASE}
    trainings.finish()
    assert trainings.n_trained == 2 + 4
    check(lanes)


def test_lanes_of_one_training_have_results_of_their_own(trainings: Trainings) -> None:
    lanes = [trainings.add(config) for config in each(BASE, [2, 4])]
    trainings.finish()
    short, long = (trainings.result(lane) for lane in lanes)
    assert not np.array_equal(short.weights["1.weight"], long.weights["1.weight"])
    assert short.epochs == long.epochs[:2]
