"""The engine in float64 compared with the oracle, over all losses, optimizers, …"""

from typing import Any, get_args

import numpy as np
import pytest

from hpo.choices import Activation, Loss, Optimizer, Scheduler, ScoredWeights
from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack
from hpo.training.engine import TrainingResult
from tests.training import oracle
from tests.training.together import Job, make_data, numbers, train_together

FEW = make_data(24, 18)
FEW_OF_FOUR = make_data(28, 19, n_classes=4)
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
# Its validation loss falls for seven epochs, then rises.
OVERFITTING = SMALL.replace(optimizer="sgd", learning_rate=0.1, dropout=0.0, epochs=12)


def check(*configs: TrainingConfig, data: TrainingData = FEW) -> list[TrainingResult]:
    """Train in one stack, compare each lane with the oracle, and return the results."""
    jobs = [Job(config) for config in configs]
    results = train_together(stack.open_stack(data, device=oracle.EXACT), jobs)
    for job, found in zip(jobs, results, strict=True):
        expected = oracle.train(job.config, data, seed=job.seed, fold=job.fold)
        assert found.run.kept_epoch == expected.run.kept_epoch
        assert found.weights.keys() == expected.weights.keys()
        for key, weight in expected.weights.items():
            assert found.weights[key].dtype == weight.dtype, key
            assert distance(found.weights[key], weight) <= 1e-9, key
        losses = [
            [[e.train["loss"], e.validation["loss"]] for e in r.run.epochs]
            for r in (found, expected)
        ]
        assert distance(*map(np.array, losses)) <= 1e-9
        # Probabilities are float32, and so is what is measured of them.
        both = (np.array(one.run.test_probabilities) for one in (found, expected))
        assert distance(*both) <= 1e-6
        assert distance(numbers(found), numbers(expected)) <= 1e-6
    return results


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference; NaN, which fails every comparison, where one has it."""
    assert one.shape == other.shape
    return float(np.abs(one - other).max())


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_engine_and_oracle_agree_with_every_schedule(optimizer: str) -> None:
    check(*(SMALL.replace(optimizer=optimizer, scheduler=s) for s in get_args(Scheduler)))


CASES: dict[str, dict[str, Any]] = {
    "odd widths": {"hidden": [7, 33, 13], "dropout": [0.0, 0.4, 0.0]},
    "one layer": {"hidden": [31], "dropout": 0.5},
    "no batch norm": {"batch_norm": False},
    "no batch norm, one layer": {"batch_norm": False, "hidden": [9], "dropout": 0.0},
    "pixels as they are": {"normalize": "none"},
    "centered images": {"normalize": "image"},
    "augmented": {"augment_pose": 0.1, "augment_stretch": 0.1, "augment_flip": True},
    "last batch of one image": {"batch_size": 17},
    "averaged weights, many steps": {"weights": "average", "batch_size": 2, "epochs": 2},
}


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_engine_and_oracle_agree_in_every_setting(fields: dict[str, Any]) -> None:
    check(SMALL.replace(**fields), SMALL.replace(optimizer="rmsprop", **fields))


@pytest.mark.parametrize("fields", [{"weight_decay": 0.0}, {"momentum": 0.0}], ids=str)
def test_engine_and_oracle_agree_without_weight_decay_or_momentum(fields: dict[str, Any]) -> None:
    check(*(SMALL.replace(optimizer=optimizer, **fields) for optimizer in get_args(Optimizer)))


@pytest.mark.parametrize(
    ("outputs", "data"), [(1, FEW), (2, FEW), (4, FEW_OF_FOUR)], ids=["1", "2", "4"]
)
@pytest.mark.parametrize(
    ("loss", "activation"), list(zip(get_args(Loss), get_args(Activation), strict=True))
)
def test_engine_and_oracle_agree_with_every_loss_and_activation(
    loss: str, activation: str, outputs: int, data: TrainingData
) -> None:
    config = SMALL.replace(loss=loss, activation=activation, outputs=outputs, label_smoothing=0.1)
    others = {"focal_gamma": 1.5, "class_weight": "balanced"}
    results = check(
        *(config.replace(**fields) for fields in ({"focal_gamma": 0.0}, others)), data=data
    )
    assert {result.weights["9.weight"].shape for result in results} == {(outputs, 5)}


def test_engine_and_oracle_keep_the_same_epoch_in_early_stopping() -> None:
    waits = (1, 2, 3)
    for weights in get_args(ScoredWeights):
        config = OVERFITTING.replace(weights=weights, epochs=20)
        results = check(*(config.replace(early_stopping=wait) for wait in waits))
        runs = [result.run for result in results]
        assert [len(run.epochs) - run.kept_epoch for run in runs] == list(waits)


def test_engine_and_oracle_lower_the_rate_on_the_same_plateau() -> None:
    [found] = check(OVERFITTING.replace(scheduler="plateau"))
    assert len({epoch.learning_rate for epoch in found.run.epochs}) > 1
