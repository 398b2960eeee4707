"""Lanes come and go in slots; what a lane computes has nothing of another in it."""

import pytest

pytest.importorskip("triton", reason="Triton is not installed: it comes with torch for CUDA")

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device
from hpo.training.engine import TrainingResult
from hpo.training.graphed import can_train, trainer
from hpo.training.graphed.slot import Slot
from hpo.training.graphed.trainer import GraphedTrainer
from hpo.training.stacked import StackedStack, open_stack
from tests.training.graphed.trainings import SMALL
from tests.training.stacked.together import Job, add, assert_bitwise_equal, train_together

QUICK = SMALL.replace(epochs=2, optimizer="adam")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Slot]:
    """The slots that were opened."""
    slots: list[Slot] = []

    class Counted(Slot):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            slots.append(self)

    monkeypatch.setattr(trainer, "Slot", Counted)
    return slots


def open_slots(data: TrainingData, place: Device, *, joins: bool = False) -> StackedStack:
    return StackedStack(data, place, trainer=GraphedTrainer(place), joins=joins)


def alone(data: TrainingData, job: Job, place: Device) -> TrainingResult:
    return train_together(open_slots(data, place), [job])[0]


def test_lanes_side_by_side_compute_what_each_computes_alone(
    data: TrainingData, place: Device
) -> None:
    jobs = [
        Job(QUICK, seed=1),
        Job(QUICK.replace(learning_rate=0.003, dropout=0.0), seed=2),
        Job(QUICK.replace(hidden=(16,), dropout=0.1, loss="focal"), seed=3),
    ]
    together = train_together(open_slots(data, place), jobs)
    for found, job in zip(together, jobs, strict=True):
        assert_bitwise_equal(found, alone(data, job, place))


def test_a_slot_that_is_free_serves_the_next_of_its_kind(
    data: TrainingData, place: Device, opened: list[Slot]
) -> None:
    stack, jobs = open_slots(data, place), [Job(QUICK, seed=seed) for seed in (1, 2, 3)]
    results = [train_together(stack, [job])[0] for job in jobs]
    assert len(opened) == 1
    for found, job in zip(results, jobs, strict=True):
        assert_bitwise_equal(found, alone(data, job, place))


def test_a_lane_that_was_dropped_leaves_its_slot_free(
    data: TrainingData, place: Device, opened: list[Slot]
) -> None:
    stack = open_slots(data, place)
    dropped = add(stack, Job(QUICK, seed=1))
    stack.step()
    stack.drop(dropped)
    (found,) = train_together(stack, [Job(QUICK, seed=2)])
    assert len(opened) == 1
    assert_bitwise_equal(found, alone(data, Job(QUICK, seed=2), place))


def test_a_training_that_goes_on_for_more_epochs_keeps_its_slot(
    data: TrainingData, place: Device, opened: list[Slot]
) -> None:
    stack = open_slots(data, place, joins=True)
    jobs = [Job(QUICK.replace(epochs=n, scheduler="none"), seed=1) for n in (1, 2)]
    for job in jobs:
        (found,) = train_together(stack, [job])
        assert_bitwise_equal(found, alone(data, job, place))
    assert len(opened) == 3  # One of the stack that joins, one of each alone.


def test_idle_slots_give_their_memory_back(
    data: TrainingData, place: Device, opened: list[Slot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_MOST_IDLE", 0)
    stack = open_slots(data, place)
    wider = Job(QUICK.replace(hidden=(16, 7)))
    for job in (Job(QUICK), wider, Job(QUICK)):
        train_together(stack, [job])
    assert len(opened) == 3


def test_early_stopping_leaves_the_weights_of_the_kept_epoch(
    data: TrainingData, place: Device
) -> None:
    config = QUICK.replace(epochs=6, early_stopping=2, learning_rate=0.05)
    found = alone(data, Job(config), place)
    ended = alone(data, Job(config.replace(epochs=found.kept_epoch, early_stopping=0)), place)
    assert found.kept_epoch < len(found.epochs)
    for name, weight in found.weights.items():
        assert (weight == ended.weights[name]).all()


def test_what_no_kernel_serves_goes_the_general_way(
    make_data: object, place: Device, opened: list[Slot]
) -> None:
    data: TrainingData = make_data(250, 200)  # type: ignore[operator]
    job = Job(TrainingConfig(image_size=8, hidden=(5,), batch_size=150, epochs=2))
    assert_bitwise_equal(
        alone(data, job, place), train_together(open_stack(data, device=place), [job])[0]
    )
    assert not opened


def test_only_a_gpu_is_trained_on_in_slots() -> None:
    assert can_train(Device("cuda:1", "bf16"))
    assert not can_train(Device("cpu", "bf16"))
    assert not can_train(Device("cuda:0", "fp64"))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("hidden", [(12, 7), (200, 30)])
def test_an_epoch_of_a_graph_is_one_that_is_launched_piece_by_piece(
    data: TrainingData,
    cuda: Device,
    hidden: tuple[int, ...],
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Device(cuda.name, "bf16" if precision == "bf16" else "fp32")
    job = Job(QUICK.replace(hidden=hidden, epochs=4, augment_pose=0.1))
    captured = alone(data, job, place)
    monkeypatch.setattr(Slot, "_capture", lambda _: None)
    assert_bitwise_equal(captured, alone(data, job, place))
