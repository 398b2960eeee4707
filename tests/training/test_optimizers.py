"""Learning rates compared with torch's schedulers; test_against_oracle.py compares the steps."""

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import optim

from hpo.config import TrainingConfig
from hpo.training.optimizers import FACTORS, learning_rates, plateau_step

EPOCHS = 30
THEIRS: dict[str, tuple[type[optim.lr_scheduler.LRScheduler], tuple[Any, ...]]] = {
    "none": (optim.lr_scheduler.ConstantLR, (1.0,)),
    "plateau": (optim.lr_scheduler.ConstantLR, (1.0,)),
    "cosine": (optim.lr_scheduler.CosineAnnealingLR, (EPOCHS,)),
    "step": (optim.lr_scheduler.StepLR, (7, 0.3)),
    "multistep": (optim.lr_scheduler.MultiStepLR, ([4, 5, 20], 0.3)),
    "polynomial": (optim.lr_scheduler.PolynomialLR, (EPOCHS, 2.5)),
}


@pytest.mark.parametrize("scheduler", FACTORS)
def test_schedules_match_torch(scheduler: str) -> None:
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    make, arguments = THEIRS[scheduler]
    theirs, rates = make(optimizer, *arguments), []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    fields = {"learning_rate": 0.2, "epochs": EPOCHS, "gamma": 0.3, "step_size": 7, "power": 2.5}
    fields |= {"scheduler": scheduler, "milestones": [4, 5, 20]}
    found = learning_rates(TrainingConfig.from_mapping(fields))
    assert found == pytest.approx(rates, rel=1e-9)
    assert found[0] == 0.2


@given(
    losses=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.30001, 0.5, float("nan")]), max_size=40),
    patience=st.integers(1, 4),
    gamma=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_plateau_matches_torch(losses: list[float], patience: int, gamma: float) -> None:
    config = TrainingConfig(scheduler="plateau", step_size=patience, gamma=gamma)
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience)
    theirs.factor = gamma
    state, rate = (math.inf, 0), 1e-3
    for loss in losses:
        theirs.step(loss)
        state, rate = plateau_step(config, state, learning_rate=rate, loss=loss)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
