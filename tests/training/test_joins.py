"""Lanes that differ only in epochs share one training, with the same results as alone."""

from collections.abc import Sequence

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack
from hpo.training.device import Device
from hpo.training.engine import Epoch, LaneEpoch
from hpo.training.lane import AnyLane
from tests.training.together import Job, add, assert_bitwise_equal, train_alone

BASE = TrainingConfig(
    image_size=16, hidden=(12, 7), dropout=0.2, batch_size=16, learning_rate=0.01, epochs=4
)


class Trainings:
    """A joining stack, the number of epochs it trained, and the epochs it returned."""

    def __init__(self, data: TrainingData, device: Device) -> None:
        self.data, self.device = data, device
        self.stack = stack.open_stack(data, device=device, joins=True)
        self.returned: list[LaneEpoch] = []
        self.lanes: dict[int, TrainingConfig] = {}
        self.n_trained = 0

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
        """Train to the end; return the epochs trained, counting shared ones once."""
        while self.stack.lanes:
            self.step()
        return self.n_trained

    def check(self) -> None:
        """Compare every finished lane with its configuration trained alone."""
        for lane, config in self.lanes.items():
            result = self.stack.result(lane)
            own = [(done.epoch, done.metrics) for done in self.returned if done.lane == lane]
            assert own == list(enumerate(result.run.epochs, start=1))
            assert_bitwise_equal(result, train_alone(self.data, Job(config), self.device))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch, data: TrainingData, place: Device) -> Trainings:
    made, run_epoch = Trainings(data, place), stack.run_epoch

    def note(lanes: Sequence[AnyLane]) -> list[Epoch]:
        made.n_trained += len(lanes)
        return run_epoch(lanes)

    monkeypatch.setattr(stack, "run_epoch", note)
    return made


@pytest.mark.parametrize(
    ("scheduler", "epochs", "n_trained"),
    [
        ("none", (2, 3, 5), 5),
        ("step", (5, 3, 2), 5),
        # These depend on more than the epoch.
        ("cosine", (2, 4), 6),
        ("plateau", (2, 4), 6),
    ],
)
def test_lanes_that_differ_in_epochs_share_one_training_in_any_order(
    trainings: Trainings, scheduler: str, epochs: tuple[int, ...], n_trained: int
) -> None:
    root = BASE.replace(scheduler=scheduler, step_size=1, milestones=[1, 4])
    assert len(set(trainings.add(root, *epochs))) == len(epochs)
    assert trainings.finish() == n_trained
    trainings.check()


def test_lanes_that_differ_in_more_than_epochs_do_not_join(trainings: Trainings) -> None:
    others = (BASE.replace(learning_rate=0.02), BASE.replace(early_stopping=3))
    for job in (Job(BASE), Job(BASE, seed=4), Job(BASE, fold=2), *map(Job, others)):
        add(trainings.stack, job)
    assert trainings.finish() == 5 * 4


@pytest.mark.parametrize(
    ("steps", "late", "n_trained"),
    [
        pytest.param(2, (6, 3), 6, id="in a training that has begun"),
        pytest.param(3, (2, 5), 4 + 5, id="behind a training that has begun"),
        pytest.param(4, (2,), 4 + 2, id="behind one that has finished"),
        pytest.param(4, (6,), 6, id="longer than one that has finished"),
    ],
)
def test_a_late_lane_catches_up_at_once_or_starts_over(
    trainings: Trainings, steps: int, late: tuple[int, ...], n_trained: int
) -> None:
    trainings.add(BASE, 4)
    trainings.step(steps)
    first, *_ = trainings.add(BASE, *late)
    trainings.step()
    caught_up = [done.epoch for done in trainings.returned if done.lane == first]
    assert caught_up == list(range(1, 2 if n_trained > 6 or late == (2,) else steps + 2))
    assert trainings.finish() == n_trained
    trainings.check()


def test_early_stopping_matches_each_lane_alone(trainings: Trainings) -> None:
    # The validation loss rises after the third epoch.
    stopping = BASE.replace(dropout=0.0, learning_rate=0.1, early_stopping=2)
    trainings.add(stopping, 9, 4, 2)
    n_trained = trainings.finish()
    assert n_trained < 9
    trainings.add(stopping, 12)
    assert trainings.finish() == n_trained
    trainings.check()


def test_dropping_a_lane_does_not_affect_others_in_its_training(trainings: Trainings) -> None:
    _, lane, _ = trainings.add(BASE, 3, 6, 4)
    trainings.step(2)
    trainings.stack.drop(lane)
    del trainings.lanes[lane]
    assert trainings.finish() == max(config.epochs for config in trainings.lanes.values())
    assert max(done.epoch for done in trainings.returned if done.lane == lane) == 2
    trainings.check()
