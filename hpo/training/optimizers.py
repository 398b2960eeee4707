"""Optimizer steps on the tensors of one lane, and the learning rate of every epoch.

The steps are torch's fused kernels, in place and called directly: an optimizer object searches its
groups and state at every step, which for small images takes as long as the step. Each schedule
equals torch's scheduler of that name, stepped once after every epoch.
"""

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from hpo.choices import Scheduler
from hpo.config import TrainingConfig
from hpo.training.layers import Scratch

# An update of the average reads and writes all weights; at every step it would take 10 % of it.
AVERAGE_EVERY: Final = 8
AVERAGE_POWER: Final = 5

# Defaults of torch.optim.
ALPHA: Final = 0.99
EPSILON: Final = 1e-8
_ADAM: Final[dict[str, Any]] = {"beta1": 0.9, "beta2": 0.999, "eps": EPSILON, "amsgrad": False}

# Defaults of torch.optim.lr_scheduler.ReduceLROnPlateau.
_PLATEAU_THRESHOLD: Final = 1e-4
_PLATEAU_SMALLEST_CHANGE: Final = 1e-8

_Tensors: TypeAlias = list[Tensor]

Moments: TypeAlias = tuple[_Tensors, _Tensors, _Tensors]
"""Moving means of the gradients of a lane's tensors and of their squares, empty if the optimizer
has none, and step counts."""


def open_moments(config: TrainingConfig, parameters: _Tensors) -> Moments:
    """Return the moments before the first step."""
    has_first = config.optimizer in ("adam", "adamw") or config.momentum > 0
    has_second = config.optimizer != "sgd"
    return (
        [torch.zeros_like(p) for p in parameters] if has_first else [],
        [torch.zeros_like(p) for p in parameters] if has_second else [],
        [torch.zeros((), device=p.device) for p in parameters],
    )


def update(
    config: TrainingConfig,
    moments: Moments,
    parameters: _Tensors,
    gradients: _Tensors,
    learning_rate: float,
    scratch: Scratch,
) -> None:
    """Take one step of the configuration's optimizer; it may overwrite the gradients."""
    first, second, steps = moments
    torch._foreach_add_(steps, 1)
    decay = config.weight_decay
    shared: dict[str, Any] = {"lr": learning_rate, "weight_decay": decay, "maximize": False}
    match config.optimizer:
        case "adam":
            torch._fused_adam_(parameters, gradients, first, second, [], steps, **_ADAM, **shared)
        case "adamw":
            torch._fused_adamw_(parameters, gradients, first, second, [], steps, **_ADAM, **shared)
        case "sgd":
            shared |= {"momentum": config.momentum, "dampening": 0.0, "nesterov": False}
            # Like torch's, moments that start at zero take the first gradient in full.
            torch._fused_sgd_(parameters, gradients, first, is_first_step=False, **shared)
        case "rmsprop":  # torch has no fused kernel.
            for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
                if decay:
                    gradient.add_(parameter, alpha=decay)
                square = second[index]
                square.mul_(ALPHA).addcmul_(gradient, gradient, value=1 - ALPHA)
                root = scratch.take("root", tuple(square.shape), square.dtype)
                torch.sqrt(square, out=root).add_(EPSILON)
                if config.momentum:
                    first[index].mul_(config.momentum).addcdiv_(gradient, root)
                    parameter.add_(first[index], alpha=-learning_rate)
                else:
                    parameter.addcdiv_(gradient, root, value=-learning_rate)


def average_share(n_steps: int, n_averaged: int, *, is_last: bool) -> float | None:
    """Return how far the average of `n_averaged` steps moves towards the weights after `n_steps`.

    None if it waits: it moves every few steps, and at the end of an epoch. Step t has the weight t
    to the power of `AVERAGE_POWER - 1` (Shamir and Zhang 2013, section 4): the last 13 % of the
    steps are half of the average. The share does not depend on the total number of steps, so a
    training may be extended.
    """
    if n_steps % AVERAGE_EVERY and not is_last:
        return None
    return 1 - (n_averaged / n_steps) ** AVERAGE_POWER


# The share of the learning rate in an epoch, counted from 0.
FACTORS: Final[dict[Scheduler, Callable[[TrainingConfig, int], float]]] = {
    "none": lambda _config, _epoch: 1.0,
    "cosine": lambda c, epoch: (1 + math.cos(math.pi * epoch / c.epochs)) / 2,
    "step": lambda c, epoch: math.pow(c.gamma, epoch // c.step_size),
    "multistep": lambda c, epoch: math.pow(c.gamma, sum(epoch >= n for n in c.milestones)),
    "polynomial": lambda c, epoch: math.pow(1 - epoch / c.epochs, c.power),
    "plateau": lambda _config, _epoch: 1.0,
}


def learning_rates(config: TrainingConfig) -> list[float]:
    """Return the learning rate of every epoch; for plateau as if it never decayed."""
    factor = FACTORS[config.scheduler]
    return [config.learning_rate * factor(config, epoch) for epoch in range(config.epochs)]


def plateau_step(
    config: TrainingConfig, state: tuple[float, int], *, learning_rate: float, loss: float
) -> tuple[tuple[float, int], float]:
    """Process the validation loss of an epoch; return the new state and learning rate.

    The state is the lowest loss and the number of epochs since. The rate is multiplied by `gamma`
    after more than `step_size` epochs without a lower loss.
    """
    best, n_bad = state
    if loss < best * (1 - _PLATEAU_THRESHOLD):
        return (loss, 0), learning_rate
    if n_bad < config.step_size:
        return (best, n_bad + 1), learning_rate
    lower = learning_rate * config.gamma
    is_change = learning_rate - lower > _PLATEAU_SMALLEST_CHANGE
    return (best, 0), lower if is_change else learning_rate
