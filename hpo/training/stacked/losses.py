"""Losses of every image, for all lanes at once; `hpo.training.losses` says what they are.

Written by the log-odds of the two classes instead of a softmax over two outputs: it is the same
function, and works number by number.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import Loss

# From logits and targets `(lanes, batch, outputs)` or log-odds and targets `(lanes, batch)`, and
# focal_gamma `(lanes, 1)`, to losses `(lanes, batch)`.
_Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


def image_losses(
    loss: Loss, logits: Tensor, labels: Tensor, smoothing: Tensor, focal_gamma: Tensor
) -> Tensor:
    """Return the loss of each image `(lanes, batch)`.

    `logits` are `(lanes, batch, outputs)`, `labels` `(lanes, batch)` in their precision;
    `smoothing` and `focal_gamma` `(lanes, 1)`.
    """
    targets = labels * (1 - smoothing) + smoothing / 2
    return LOSSES[loss](logits, targets, focal_gamma)


def log_odds(logits: Tensor) -> Tensor:
    """Return the log-odds of pneumonia `(lanes, batch)`, as a softmax has it."""
    return logits[..., 0] if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]


def _bce(logits: Tensor, targets: Tensor, _: Tensor) -> Tensor:
    if logits.shape[-1] == 1:
        return _cross_entropy(logits[..., 0], targets)
    both = torch.stack([1 - targets, targets], dim=-1)
    return _cross_entropy(logits, both).sum(-1) / 2


def _cross_entropy(z: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, targets, reduction="none")


def _ce(logits: Tensor, targets: Tensor, _: Tensor) -> Tensor:
    return _cross_entropy(log_odds(logits), targets)


def _focal(logits: Tensor, targets: Tensor, gamma: Tensor) -> Tensor:
    z = log_odds(logits)
    log_ill, log_normal = F.logsigmoid(z), F.logsigmoid(-z)
    ill = targets * (gamma * log_normal).exp() * log_ill
    return -(ill + (1 - targets) * (gamma * log_ill).exp() * log_normal)


def _compare(compare: Callable[[Tensor, Tensor], Tensor]) -> _Loss:
    def loss(logits: Tensor, targets: Tensor, _: Tensor) -> Tensor:
        # The other class is as far from its target: the mean over both is that of one.
        return compare(log_odds(logits).sigmoid(), targets)

    return loss


LOSSES: Final[dict[Loss, _Loss]] = {
    "bce": _bce,
    "ce": _ce,
    "focal": _focal,
    "l1": _compare(lambda p, t: (p - t).abs()),
    "mse": _compare(lambda p, t: (p - t).square()),
    "smooth_l1": _compare(lambda p, t: F.smooth_l1_loss(p, t, reduction="none")),
}
