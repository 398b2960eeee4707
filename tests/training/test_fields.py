"""Every active field of a configuration changes the training; an inactive one does not."""

from typing import Any

import numpy as np
import pytest

from hpo.config import TrainingConfig
from hpo.training.engine import TrainingResult
from tests.training.conftest import Train

BASE = TrainingConfig(
    image_size=16, hidden=(8, 6), dropout=0.25, batch_size=16, epochs=4, learning_rate=0.01
)

# For every field: another value, and the changes to the base that make the field active.
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "hidden": ([8, 7], {}),
    "activation": ("tanh", {}),
    "batch_norm": (False, {}),
    "dropout": ([0.25, 0.5], {}),
    "loss": ("focal", {"outputs": 1}),
    "outputs": (2, {}),
    "focal_gamma": (1.0, {"loss": "focal"}),
    "label_smoothing": (0.1, {}),
    "class_weight": ("balanced", {}),
    "optimizer": ("adamw", {"weight_decay": 0.1}),
    "learning_rate": (0.02, {}),
    "momentum": (0.5, {"optimizer": "sgd"}),
    "weight_decay": (0.1, {}),
    "scheduler": ("cosine", {}),
    "step_size": (2, {"scheduler": "step"}),
    "gamma": (0.5, {"scheduler": "step", "step_size": 2}),
    "milestones": ([1, 2], {"scheduler": "multistep"}),
    "power": (2.0, {"scheduler": "polynomial"}),
    "batch_size": (20, {}),
    "epochs": (5, {}),
    "image_size": (12, {}),
    "normalize": ("image", {}),
    "align": ("template", {}),
    "augment_pose": (0.1, {}),
    "augment_stretch": (0.1, {}),
    "augment_exposure": (0.1, {}),
    "augment_flip": (True, {}),
    "early_stopping": (1, {"epochs": 30, "learning_rate": 0.1}),
    "weights": ("average", {}),
}


def are_equal(first: TrainingResult, second: TrainingResult) -> bool:
    return first.run.epochs == second.run.epochs and all(
        np.array_equal(weight, second.weights.get(name)) for name, weight in first.weights.items()
    )


def test_every_field_has_a_case() -> None:
    # For custom models see tests/training/test_custom.py.
    assert CASES.keys() | {"model"} == TrainingConfig.model_fields.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_field_changes_the_training(train: Train, name: str) -> None:
    value, active = CASES[name]
    base = BASE.replace(**active)
    assert not are_equal(train(base), train(base.replace(**{name: value})))


# These are inactive only at the value that has no effect.
SOMETIMES = {"align", "augment_stretch", "class_weight", "weights"}


@pytest.mark.parametrize("name", sorted(CASES.keys() - BASE.active_fields().keys() - SOMETIMES))
def test_an_inactive_field_changes_nothing(train: Train, name: str) -> None:
    assert are_equal(train(BASE), train(BASE.replace(**{name: CASES[name][0]})))
