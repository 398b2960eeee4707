"""Lanes that differ only in their epochs are one training, and give what each gives alone."""

from collections.abc import Sequence

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack
from hpo.training.device import Device
from hpo.training.engine import EpochMetrics, LaneEpoch
from hpo.training.lane import Lane
from tests.training.together import Job, add, assert_bitwise_equal, train_alone

BASE = TrainingConfig(
    image_size=16, hidden=(12, 7), dropout=0.2, batch_size=16, learning_rate=0.01, epochs=4
)
# Its validation loss rises after the third epoch.
STOPPING = BASE.replace(dropout=0.0, learning_rate=0.1, early_stopping=2, epochs=9)


class Trainings:
    """A stack that joins, how many epochs it has trained, and what it has returned."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        data: TrainingData,
        device: Device,
        joins: bool = True,
    ) -> None:
        self.data = data
        self.device = device
        self.stack = stack.open_stack(data, device=device, joins=joins)
        self.returned: list[LaneEpoch] = []
        self.lanes: dict[int, TrainingConfig] = {}
        self.n_trained = 0
        run_epoch = stack.run_epoch

        def note(lanes: Sequence[Lane]) -> list[EpochMetrics]:
            self.n_trained += len(lanes)
            return run_epoch(lanes)

        monkeypatch.setattr(stack, "run_epoch", note)

    def add(self, root: TrainingConfig, *epochs: int) -> list[int]:
        """Add a lane for each number of epochs."""
        configs = [root.replace(epochs=n) for n in epochs]
        added = [add(self.stack, Job(config)) for config in configs]
        self.lanes |= dict(zip(added, configs, strict=True))
        return added

    def step(self, n: int = 1) -> None:
        for _ in range(n):
            self.returned += self.stack.step()

    def finish(self) -> int:
        """Train to the end; return the epochs trained: one that serves several counts once."""
        while self.stack.lanes:
            self.step()
        return self.n_trained

    def drop(self, lane: int) -> None:
        self.stack.drop(lane)
        del self.lanes[lane]

    def check(self) -> None:
        """Finish, and compare every lane with its configuration trained alone."""
        self.finish()
        for lane, config in self.lanes.items():
            result = self.stack.result(lane)
            own = [(done.epoch, done.metrics) for done in self.returned if done.lane == lane]
            assert own == list(enumerate(result.epochs, start=1))
            assert_bitwise_equal(result, train_alone(self.data, Job(config), self.device))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch, data: TrainingData, place: Device) -> Trainings:
    return Trainings(monkeypatch, data, place)


@pytest.mark.parametrize(
    ("scheduler", "epochs"), [("none", (2, 3, 5)), ("step", (5, 3, 2)), ("multistep", (3, 5, 2))]
)
def test_lanes_that_differ_in_epochs_are_one_training_in_any_order(
    trainings: Trainings, scheduler: str, epochs: tuple[int, ...]
) -> None:
    root = BASE.replace(scheduler=scheduler, step_size=2, milestones=[1, 4])
    assert len(set(trainings.add(root, *epochs))) == 3
    assert trainings.finish() == 5
    trainings.check()


@pytest.mark.parametrize("scheduler", ["cosine", "polynomial", "plateau"])
def test_schedules_that_depend_on_more_than_the_epoch_never_join(
    trainings: Trainings, scheduler: str
) -> None:
    trainings.add(BASE.replace(scheduler=scheduler, step_size=1), 2, 4)
    assert trainings.finish() == 6
    trainings.check()


def test_lanes_that_differ_in_more_than_epochs_do_not_join(trainings: Trainings) -> None:
    trainings.add(BASE, 4)
    for job in (
        Job(BASE, seed=4),
        Job(BASE, fold=2),
        Job(BASE.replace(learning_rate=0.02)),
        Job(BASE.replace(early_stopping=3)),
    ):
        add(trainings.stack, job)
    assert trainings.finish() == 5 * 4


def test_nothing_is_shared_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    apart = Trainings(monkeypatch, data, cpu, joins=False)
    apart.add(BASE, 2, 4, 4)
    assert apart.finish() == 2 + 4 + 4


@pytest.mark.parametrize("late", [(2,), (4,), (6, 3)])
def test_a_lane_joins_a_training_that_has_begun_and_catches_up_at_once(
    trainings: Trainings, late: tuple[int, ...]
) -> None:
    trainings.add(BASE, 4)
    trainings.step(2)
    first, *_ = trainings.add(BASE, *late)
    trainings.step()
    caught_up = [done.epoch for done in trainings.returned if done.lane == first]
    assert caught_up[:2] == [1, 2]
    assert trainings.finish() == max(4, *late)
    trainings.check()


@pytest.mark.parametrize(
    ("steps", "late", "n_trained"),
    [
        pytest.param(3, (2, 5), 4 + 5, id="behind a training that has begun"),
        pytest.param(4, (2,), 4 + 2, id="behind one that has finished"),
        pytest.param(4, (6,), 6, id="longer than one that has finished"),
    ],
)
def test_a_lane_that_is_behind_the_training_begins_anew_and_a_longer_one_goes_on(
    trainings: Trainings, steps: int, late: tuple[int, ...], n_trained: int
) -> None:
    trainings.add(BASE, 4)
    trainings.step(steps)
    trainings.add(BASE, *late)
    assert trainings.finish() == n_trained
    trainings.check()


@pytest.mark.parametrize("epochs", [(2, 4, 7, 9), (9, 4, 2)])
def test_early_stopping_is_that_of_each_lane_alone(
    trainings: Trainings, epochs: tuple[int, ...]
) -> None:
    trainings.add(STOPPING, *epochs)
    n_trained = trainings.finish()
    assert n_trained < 9
    trainings.add(STOPPING, 12)
    assert trainings.finish() == n_trained
    trainings.check()


@pytest.mark.parametrize("dropped", [0, 1])
def test_dropping_a_lane_leaves_the_others_of_its_training(
    trainings: Trainings, dropped: int
) -> None:
    lanes = trainings.add(BASE, 3, 6, 4)
    trainings.step(2)
    trainings.drop(lanes[dropped])
    assert trainings.finish() == max(config.epochs for config in trainings.lanes.values())
    assert max(done.epoch for done in trainings.returned if done.lane == lanes[dropped]) == 2
    trainings.check()


def test_a_training_whose_lanes_are_all_dropped_may_go_on(trainings: Trainings) -> None:
    [dropped] = trainings.add(BASE, 4)
    trainings.step(2)
    trainings.drop(dropped)
    assert trainings.stack.step() == []
    trainings.add(BASE, 4)
    assert trainings.finish() == 4
    trainings.check()


def test_idle_trainings_beyond_what_memory_allows_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, trainings: Trainings
) -> None:
    monkeypatch.setattr(stack, "_MOST_IDLE", 0)
    trainings.add(BASE, 2)
    trainings.finish()
    trainings.add(BASE, 4)
    assert trainings.finish() == 2 + 4
    trainings.check()
