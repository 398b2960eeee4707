"""Losses of every image, for all lanes at once; `hpo.training.losses` says what they are.

Written by the log-odds of the two classes instead of a softmax over two outputs: it is the same
function, and works number by number.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import Loss
from hpo.training.layout import fill_up

# From logits and targets `(lanes, batch, outputs)` or log-odds and targets `(lanes, batch)`, and
# focal_gamma `(lanes, 1)`, to losses `(lanes, batch)`.
_Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


class Softness(NamedTuple):
    """What a loss is softened by, of each lane `(lanes, 1)`."""

    smoothing: Tensor
    focal_gamma: Tensor


def compare(
    loss: Loss, logits: Tensor, labels: Tensor, softness: Softness
) -> tuple[Tensor, Tensor]:
    """Return losses, and 1 for right answers, `(2, lanes, batch)`, and the mean's gradient.

    `logits` and the gradient are `(lanes, batch, outputs)`, `labels` `(lanes, batch)` in their
    precision.
    """
    n = logits.shape[1]
    more = fill_up(n) - n
    leaf = F.pad(logits, (0, 0, 0, more)).requires_grad_()
    targets = F.pad(labels, (0, more))
    with torch.enable_grad():
        losses = image_losses(loss, leaf, targets, softness)
    (gradient,) = torch.autograd.grad(losses, leaf, torch.full_like(losses, 1 / n))
    rights = (log_odds(leaf.detach()).sigmoid() > 0.5) == targets
    return torch.stack([losses.detach(), rights.to(losses.dtype)])[:, :, :n], gradient[:, :n]


def image_losses(loss: Loss, logits: Tensor, labels: Tensor, softness: Softness) -> Tensor:
    """Return the loss of each image `(lanes, batch)`.

    `logits` are `(lanes, batch, outputs)`, `labels` `(lanes, batch)` in their precision.
    """
    targets = labels * (1 - softness.smoothing) + softness.smoothing / 2
    return LOSSES[loss](logits, targets, softness.focal_gamma)


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
