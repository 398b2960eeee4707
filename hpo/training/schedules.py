"""The learning rate of every epoch: a table known beforehand, or plateau, which waits for losses.

Each member equals torch's scheduler of that name, stepped once after every epoch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from hpo.config import Scheduler, TrainingConfig

_Factor: TypeAlias = Callable[[TrainingConfig, int], float]

# Defaults of torch.optim.lr_scheduler.ReduceLROnPlateau.
_PLATEAU_THRESHOLD: Final = 1e-4
_PLATEAU_SMALLEST_CHANGE: Final = 1e-8


@dataclass(frozen=True, slots=True)
class Plateau:
    """Where a plateau schedule stands: the best loss so far, and the epochs since."""

    best: float = math.inf
    n_bad: int = 0


def learning_rates(config: TrainingConfig) -> tuple[float, ...]:
    """Return the learning rate of every epoch; that of plateau as if it never decayed."""
    factor = FACTORS[config.scheduler]
    return tuple(config.learning_rate * factor(config, epoch) for epoch in range(config.epochs))


def plateau_step(
    config: TrainingConfig, state: Plateau, *, learning_rate: float, loss: float
) -> tuple[Plateau, float]:
    """Take in the validation loss of an epoch; return the new state and learning rate.

    The rate is multiplied by `gamma` after more than `step_size` epochs without a lower loss.
    """
    if loss < state.best * (1 - _PLATEAU_THRESHOLD):
        return Plateau(best=loss), learning_rate
    n_bad = state.n_bad + 1
    if n_bad <= config.step_size:
        return Plateau(state.best, n_bad), learning_rate
    lower = learning_rate * config.gamma
    is_change = learning_rate - lower > _PLATEAU_SMALLEST_CHANGE
    return Plateau(state.best), lower if is_change else learning_rate


def _constant(_config: TrainingConfig, _epoch: int) -> float:
    return 1.0


def _cosine(config: TrainingConfig, epoch: int) -> float:
    return (1 + math.cos(math.pi * epoch / config.epochs)) / 2


def _step(config: TrainingConfig, epoch: int) -> float:
    return math.pow(config.gamma, epoch // config.step_size)


def _multistep(config: TrainingConfig, epoch: int) -> float:
    return math.pow(config.gamma, sum(epoch >= milestone for milestone in config.milestones))


def _polynomial(config: TrainingConfig, epoch: int) -> float:
    return math.pow(1 - epoch / config.epochs, config.power)


FACTORS: Final[dict[Scheduler, _Factor]] = {
    "none": _constant,
    "cosine": _cosine,
    "step": _step,
    "multistep": _multistep,
    "polynomial": _polynomial,
    "plateau": _constant,
}
