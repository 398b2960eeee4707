import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import optim

from hpo.config import TrainingConfig
from hpo.training.schedules import FACTORS, Plateau, learning_rates, plateau_step

EPOCHS = 30


def torch_rates(make: type[optim.lr_scheduler.LRScheduler], *args: object) -> list[float]:
    """Step one of torch's schedulers after every epoch; note the rate of each epoch."""
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = make(optimizer, *args)
    rates = []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def our_rates(**fields: object) -> tuple[float, ...]:
    base = {"learning_rate": 0.2, "epochs": EPOCHS, "gamma": 0.3, "step_size": 7, "power": 2.5}
    return learning_rates(TrainingConfig.from_mapping(base | fields))


def test_no_schedule_keeps_the_rate() -> None:
    assert our_rates(scheduler="none") == (0.2,) * EPOCHS
    assert our_rates(scheduler="plateau") == (0.2,) * EPOCHS


def test_cosine_is_that_of_torch() -> None:
    expected = torch_rates(optim.lr_scheduler.CosineAnnealingLR, EPOCHS)
    assert our_rates(scheduler="cosine") == pytest.approx(expected, rel=1e-12)


def test_step_is_that_of_torch() -> None:
    expected = torch_rates(optim.lr_scheduler.StepLR, 7, 0.3)
    assert our_rates(scheduler="step") == pytest.approx(expected, rel=1e-12)


def test_multistep_is_that_of_torch() -> None:
    expected = torch_rates(optim.lr_scheduler.MultiStepLR, [4, 5, 20], 0.3)
    found = our_rates(scheduler="multistep", milestones=[4, 5, 20])
    assert found == pytest.approx(expected, rel=1e-12)


def test_polynomial_is_that_of_torch() -> None:
    expected = torch_rates(optim.lr_scheduler.PolynomialLR, EPOCHS, 2.5)
    assert our_rates(scheduler="polynomial") == pytest.approx(expected, rel=1e-9)


@given(
    losses=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.30001, 0.5, float("nan")]), max_size=40),
    patience=st.integers(1, 4),
    gamma=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_plateau_is_that_of_torch(losses: list[float], patience: int, gamma: float) -> None:
    config = TrainingConfig(scheduler="plateau", step_size=patience, gamma=gamma)
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience)
    theirs.factor = gamma
    state, rate = Plateau(), 1e-3
    for loss in losses:
        theirs.step(loss)
        state, rate = plateau_step(config, state, learning_rate=rate, loss=loss)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


def test_every_schedule_starts_at_the_learning_rate() -> None:
    for scheduler in FACTORS:
        rates = our_rates(scheduler=scheduler)
        assert rates[0] == 0.2
        assert len(rates) == EPOCHS
