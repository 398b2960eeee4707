"""The engine in float64 against the readable way to train, over all losses, optimizers, …"""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any, get_args

import numpy as np
import pytest

from hpo.config import Activation, Loss, Optimizer, Scheduler, TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack
from hpo.training.engine import TrainingResult
from tests.training import oracle
from tests.training.together import Job, train_together

SMALL = TrainingConfig(
    image_size=8,
    hidden=(6, 5),
    dropout=(0.3, 0.2),
    weight_decay=0.01,
    batch_size=10,
    epochs=3,
    learning_rate=0.01,
    step_size=1,
    milestones=(1, 2),
    gamma=0.5,
)


@pytest.fixture(scope="module")
def few(make_data: Callable[[int, int], TrainingData]) -> TrainingData:
    return make_data(24, 18)


def train_with_both(
    data: TrainingData, configs: list[TrainingConfig]
) -> Iterator[tuple[TrainingConfig, TrainingResult, TrainingResult]]:
    """Yield what the stacked engine found for each configuration, and what was expected."""
    jobs = [Job(config) for config in configs]
    found = train_together(stack.open_stack(data, device=oracle.EXACT), jobs)
    expected = [oracle.train(job.config, data, seed=job.seed, fold=job.fold) for job in jobs]
    yield from zip(configs, found, expected, strict=True)


def assert_close(found: TrainingResult, expected: TrainingResult, name: str) -> None:
    assert found.kept_epoch == expected.kept_epoch, name
    assert found.weights.keys() == expected.weights.keys(), name
    for key, weight in expected.weights.items():
        assert found.weights[key].dtype == weight.dtype, (name, key)
        assert distance(found.weights[key], weight) <= 1e-9, (name, key)
    assert distance(losses(found), losses(expected)) <= 1e-9, name
    for one, other in (
        (found.validation_probabilities, expected.validation_probabilities),
        (found.test_probabilities, expected.test_probabilities),
    ):
        # They are float32.
        assert distance(one, other) <= 1e-6, name


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference; NaN, which fails every comparison, where one has it."""
    assert one.shape == other.shape
    return float(np.abs(one - other).max())


def losses(result: TrainingResult) -> np.ndarray:
    """Return the rate, both losses and both accuracies of every epoch, and the last loss."""
    epochs = [
        (
            epoch.learning_rate,
            epoch.train.loss,
            epoch.train.accuracy,
            epoch.validation.loss,
            epoch.validation.accuracy,
        )
        for epoch in result.epochs
    ]
    return np.array([*np.ravel(epochs), result.train.loss])


@pytest.mark.parametrize("activation", get_args(Activation))
def test_both_ways_train_alike_with_every_loss(few: TrainingData, activation: str) -> None:
    optimizers = cycle(get_args(Optimizer))
    configs = [
        SMALL.replace(loss=loss, activation=activation, optimizer=next(optimizers))
        for loss in get_args(Loss)
    ]
    for config, found, expected in train_with_both(few, configs):
        assert_close(found, expected, f"{config.loss}, {config.optimizer}")


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_both_ways_train_alike_with_every_schedule(few: TrainingData, optimizer: str) -> None:
    schedulers = get_args(Scheduler)
    configs = [SMALL.replace(optimizer=optimizer, scheduler=name) for name in schedulers]
    for config, found, expected in train_with_both(few, configs):
        assert_close(found, expected, config.scheduler)


CASES: dict[str, dict[str, Any]] = {
    "odd widths": {"hidden": [7, 33, 13], "dropout": [0.0, 0.4, 0.0]},
    "one layer": {"hidden": [31], "dropout": 0.5},
    "no batch norm": {"batch_norm": False},
    "no batch norm, one layer": {"batch_norm": False, "hidden": [9], "dropout": 0.0},
    "no dropout, no decay": {"dropout": 0.0, "weight_decay": 0.0},
    "no momentum": {"momentum": 0.0},
    "label smoothing": {"label_smoothing": 0.2},
    "pixels as they are": {"normalize": "none"},
    "centered images": {"normalize": "image"},
    "augmented": {"augment_pose": 0.1, "augment_stretch": 0.1, "augment_flip": True},
    "last batch of one image": {"batch_size": 17},
}


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_both_ways_train_alike_in_every_setting(
    few: TrainingData, fields: dict[str, Any], optimizer: str
) -> None:
    config = SMALL.replace(optimizer=optimizer, **fields)
    [(_, found, expected)] = train_with_both(few, [config])
    assert_close(found, expected, "")


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("loss", get_args(Loss))
def test_both_ways_train_alike_with_one_output_and_with_two(
    few: TrainingData, loss: str, outputs: int
) -> None:
    configs = [
        SMALL.replace(loss=loss, outputs=outputs, label_smoothing=0.1, focal_gamma=gamma)
        for gamma in (0.0, 1.5)
    ]
    for config, found, expected in train_with_both(few, configs):
        assert found.weights["9.weight"].shape == (outputs, 5)
        assert_close(found, expected, f"gamma = {config.focal_gamma}")


# Its validation loss falls for seven epochs, then rises.
OVERFITTING = SMALL.replace(optimizer="sgd", learning_rate=0.1, dropout=0.0, epochs=12)


def test_both_ways_keep_the_same_epoch_of_early_stopping(few: TrainingData) -> None:
    configs = [OVERFITTING.replace(early_stopping=n) for n in (1, 2, 3)]
    for config, found, expected in train_with_both(few, configs):
        assert_close(found, expected, f"early_stopping = {config.early_stopping}")
        assert found.kept_epoch == len(found.epochs) - config.early_stopping


def test_both_ways_lower_the_rate_on_the_same_plateau(few: TrainingData) -> None:
    [(_, found, expected)] = train_with_both(few, [OVERFITTING.replace(scheduler="plateau")])
    assert_close(found, expected, "plateau")
    assert len({epoch.learning_rate for epoch in found.epochs}) > 1
