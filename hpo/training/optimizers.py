"""Optimizers: torch's own, fused where torch has a fused kernel."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import torch
from torch import Tensor, optim

from hpo.config import Optimizer, TrainingConfig

_Build: TypeAlias = Callable[[Iterable[Tensor], TrainingConfig], optim.Optimizer]


def build_optimizer(config: TrainingConfig, parameters: Iterable[Tensor]) -> optim.Optimizer:
    """Return the configuration's optimizer with the learning rate of the first epoch."""
    return OPTIMIZERS[config.optimizer](parameters, config)


def warm_up() -> None:
    """Make the first optimizer of the process, for which torch imports for a second.

    Otherwise that second counts as time of the first training.
    """
    optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def set_learning_rate(optimizer: optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of the steps to come."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def _adam(parameters: Iterable[Tensor], config: TrainingConfig) -> optim.Optimizer:
    return optim.Adam(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def _adamw(parameters: Iterable[Tensor], config: TrainingConfig) -> optim.Optimizer:
    return optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def _sgd(parameters: Iterable[Tensor], config: TrainingConfig) -> optim.Optimizer:
    return optim.SGD(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )


def _rmsprop(parameters: Iterable[Tensor], config: TrainingConfig) -> optim.Optimizer:
    # torch has no fused RMSprop.
    return optim.RMSprop(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        foreach=True,
    )


OPTIMIZERS: Final[dict[Optimizer, _Build]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}
