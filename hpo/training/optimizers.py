"""Optimizer steps on the tensors of one lane, in place: torch's fused kernels, called directly.

An optimizer object looks through its groups and state at every step, which at small images takes
as long as the step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from hpo.config import Optimizer, TrainingConfig
from hpo.training.layout import Scratch

# Defaults of torch.optim.
BETAS: Final = (0.9, 0.999)
ALPHA: Final = 0.99
EPSILON: Final = 1e-8

_Tensors: TypeAlias = list[Tensor]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What an optimizer remembers of each of a lane's tensors.

    `first` and `second` are moving means of gradients and of their squares; `steps` count.
    """

    first: _Tensors
    second: _Tensors
    steps: _Tensors


@dataclass(frozen=True, kw_only=True)
class Step:
    """The tensors of one lane and their gradients, which an update may overwrite."""

    parameters: _Tensors
    gradients: _Tensors
    learning_rate: float
    scratch: Scratch


_Update: TypeAlias = Callable[[TrainingConfig, Moments, Step], None]


def open_moments(config: TrainingConfig, parameters: _Tensors) -> Moments:
    """Return the moments before the first step; lists are empty where they serve nothing."""
    has_first = config.optimizer in ("adam", "adamw") or config.momentum > 0
    has_second = config.optimizer != "sgd"
    return Moments(
        first=[torch.zeros_like(p) for p in parameters] if has_first else [],
        second=[torch.zeros_like(p) for p in parameters] if has_second else [],
        steps=[torch.zeros((), device=p.device) for p in parameters],
    )


def update(config: TrainingConfig, moments: Moments, step: Step) -> None:
    """Take one step of the configuration's optimizer."""
    torch._foreach_add_(moments.steps, 1)
    UPDATES[config.optimizer](config, moments, step)


def _adam(config: TrainingConfig, moments: Moments, step: Step) -> None:
    _fused_adam(torch._fused_adam_, config, moments, step)


def _adamw(config: TrainingConfig, moments: Moments, step: Step) -> None:
    _fused_adam(torch._fused_adamw_, config, moments, step)


def _fused_adam(
    kernel: Callable[..., None], config: TrainingConfig, moments: Moments, step: Step
) -> None:
    kernel(
        step.parameters,
        step.gradients,
        moments.first,
        moments.second,
        [],
        moments.steps,
        lr=step.learning_rate,
        beta1=BETAS[0],
        beta2=BETAS[1],
        weight_decay=config.weight_decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )


def _sgd(config: TrainingConfig, moments: Moments, step: Step) -> None:
    torch._fused_sgd_(
        step.parameters,
        step.gradients,
        moments.first,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        lr=step.learning_rate,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        # Moments that begin as zeros take in the first gradient whole, as torch's first step does.
        is_first_step=False,
    )


def _rmsprop(config: TrainingConfig, moments: Moments, step: Step) -> None:
    # torch has no fused RMSprop.
    for index, (parameter, gradient) in enumerate(
        zip(step.parameters, step.gradients, strict=True)
    ):
        if config.weight_decay:
            gradient.add_(parameter, alpha=config.weight_decay)
        square = moments.second[index]
        square.mul_(ALPHA).addcmul_(gradient, gradient, value=1 - ALPHA)
        root = step.scratch.take("root", tuple(square.shape), square.dtype)
        torch.sqrt(square, out=root).add_(EPSILON)
        if not config.momentum:
            parameter.addcdiv_(gradient, root, value=-step.learning_rate)
            continue
        first = moments.first[index]
        first.mul_(config.momentum).addcdiv_(gradient, root)
        parameter.add_(first, alpha=-step.learning_rate)


UPDATES: Final[dict[Optimizer, _Update]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}
