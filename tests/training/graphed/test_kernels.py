"""An epoch by the kernels is an epoch by torch's operations, up to rounding."""

import random
from typing import Any, get_args

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed: it comes with torch for CUDA")

from hpo.config import Activation, Loss
from hpo.data.dataset import TrainingData
from hpo.training.device import Device
from hpo.training.graphed import memory as memories
from hpo.training.graphed.kind import kind_of
from tests.training.graphed.trainings import (
    SMALL,
    assert_close,
    assert_same,
    both,
    by_cohorts,
    by_kernels,
    memory_of,
    start,
)

# The cohorts add up in another order, and Adam divides small gradients by their own size.
LOOSE = 0.02


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation(data: TrainingData, place: Device, activation: Activation) -> None:
    assert_close(*both(data, SMALL.replace(activation=activation), place))


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("loss", get_args(Loss))
def test_every_loss(data: TrainingData, place: Device, loss: Loss, outputs: int) -> None:
    config = SMALL.replace(loss=loss, outputs=outputs, label_smoothing=0.1, focal_gamma=1.5)
    assert_close(*both(data, config, place))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer(
    data: TrainingData, place: Device, optimizer: str, momentum: float
) -> None:
    config = SMALL.replace(optimizer=optimizer, momentum=momentum, weight_decay=0.01)
    assert_close(*both(data, config, place), tolerance=1e-4 if optimizer == "sgd" else LOOSE)


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_norm": False},
        {"normalize": "image"},
        {"normalize": "none", "learning_rate": 1e-6},
        {"image_size": 9},
        {"batch_size": 27},
        {"batch_size": 79},
        {"dropout": 0.0},
        {"hidden": [33], "dropout": 0.2},
        {"hidden": [64, 40, 7, 32, 16], "dropout": 0.2},
        {"augment_flip": True},
        {"augment_pose": 0.1, "augment_stretch": 0.2},
        {"augment_exposure": 0.2, "normalize": "image"},
    ],
    ids=str,
)
def test_other_shapes_and_images(
    data: TrainingData, place: Device, fields: dict[str, Any]
) -> None:
    assert_close(*both(data, SMALL.replace(**fields), place))


def test_layers_too_wide_for_one_program(data: TrainingData, place: Device) -> None:
    config = SMALL.replace(hidden=(200, 30), outputs=2)
    assert not kind_of(start(data, config, place)).is_small
    assert_close(*both(data, config, place))


@pytest.mark.parametrize("seed", range(4))
def test_drawn_configurations(data: TrainingData, place: Device, seed: int) -> None:
    rng = random.Random(seed)
    hidden = tuple(rng.choice([5, 16, 31, 48, 64]) for _ in range(rng.randrange(1, 4)))
    config = SMALL.replace(
        hidden=hidden,
        dropout=[rng.choice([0.0, 0.2, 0.5]) for _ in hidden],
        batch_size=rng.randrange(8, 64),
        image_size=rng.randrange(8, 20),
        learning_rate=10 ** rng.uniform(-4, -2),
        activation=rng.choice(get_args(Activation)),
        loss=rng.choice(get_args(Loss)),
        outputs=rng.choice([1, 2]),
    )
    assert_close(*both(data, config, place), tolerance=1e-3)


def test_what_the_kernels_leave_to_each_other_needs_no_beginning(
    data: TrainingData, place: Device
) -> None:
    one, other = (start(data, SMALL, place) for _ in range(2))
    clean, poisoned = memory_of(one), memory_of(other)
    for tensor in (poisoned.product, poisoned.partial, poisoned.delta, poisoned.trace):
        tensor.fill_(torch.nan)
    assert_same(by_kernels(poisoned, other), by_kernels(clean, one))


def test_the_numbers_of_an_epoch_are_read_anew(data: TrainingData, place: Device) -> None:
    one, other = (start(data, SMALL, place) for _ in range(2))
    memory = memory_of(one)
    for rate in (0.01, 0.002):
        for lane in (one, other):
            lane.config = SMALL.replace(
                learning_rate=rate, weight_decay=rate, dropout=0.5 * rate, label_smoothing=rate
            )
            lane.progress.rates[0] = rate
        found, expected = by_kernels(memory, one), by_cohorts(other)
    assert_close(found, expected)


def test_a_lane_in_the_memory_of_another_computes_what_it_computes_alone(
    data: TrainingData, place: Device
) -> None:
    adam = SMALL.replace(optimizer="adam")
    first, second, alone = (start(data, adam, place, seed=seed) for seed in (1, 2, 2))
    used = memory_of(first)
    by_kernels(used, first)
    memories.enter(used, second)
    own = memory_of(alone)
    for _ in range(2):
        assert_same(by_kernels(used, second), by_kernels(own, alone))


def test_an_image_that_is_alone_in_its_batch_is_not_trained_on(
    data: TrainingData, place: Device
) -> None:
    found, expected = both(data, SMALL.replace(batch_size=79), place)
    assert found.sums[2] == expected.sums[2] == 79


# The interpreter computes with numpy, which warns.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_that_diverges_says_so(data: TrainingData, place: Device) -> None:
    config = SMALL.replace(
        batch_norm=False, activation="leaky_relu", learning_rate=10.0, normalize="none"
    )
    found, _ = both(data, config, place, n_epochs=6)
    assert not torch.isfinite(found.sums[0])


@pytest.mark.gpu
def test_bf16_factors_round_and_do_no_more(data: TrainingData, cuda: Device) -> None:
    device = Device(cuda.name, "bf16")
    one, other = (start(data, SMALL, place) for place in (device, Device(cuda.name, "fp32")))
    found, expected = (by_kernels(memory_of(lane), lane) for lane in (one, other))
    assert_close(found, expected, tolerance=LOOSE)
