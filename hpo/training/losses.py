"""Losses of logits `(..., batch, outputs)` against labels `(..., batch)`, with one output or two.

A target is a label with smoothing s, as in `torch.nn.functional.cross_entropy`: 1 - s/2 for the
right class, s/2 for the other.

- bce: cross entropy of sigmoid(z); with two outputs the mean over those of sigmoid(z0) and
  sigmoid(z1), each with its own target.
- ce: cross entropy of softmax(z0, z1); with one output z, of softmax(0, z).
- focal: focal loss of the same softmax (Lin et al. 2017, equation 4, without class weights):
  -(1 - p)^gamma log p.
- l1, mse, smooth_l1: softmax(z0, z1) against the targets of both classes, the mean over both; with
  one output, sigmoid(z) against the target of pneumonia.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.choices import Loss
from hpo.config import TrainingConfig
from hpo.training.layers import fill_up

# Losses of images from logits, the targets of pneumonia and gamma.
_ImageLosses: TypeAlias = Callable[[Tensor, Tensor, Tensor | float], Tensor]


def train_losses(
    loss: Loss,
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    smoothing: Tensor,
    gamma: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return losses, and 1 for right answers, `(2, lanes, batch)`, and the mean's gradient.

    `logits` and the gradient are `(lanes, batch, outputs)`, `labels` `(lanes, batch)`,
    `class_weights` `(lanes, classes)`; label smoothing and the focal loss's gamma `(lanes, 1)`.
    """
    n = logits.shape[1]
    more = fill_up(n) - n
    leaf = F.pad(logits, (0, 0, 0, more)).requires_grad_()
    labels = F.pad(labels, (0, more))
    weights, labels = class_weights.gather(1, labels), labels.to(leaf.dtype)
    with torch.enable_grad():
        losses = LOSSES[loss](leaf, labels * (1 - smoothing) + smoothing / 2, gamma) * weights
    (gradient,) = torch.autograd.grad(losses, leaf, torch.full_like(losses, 1 / n))
    is_right = (log_odds(leaf.detach()).sigmoid() > 0.5) == labels
    return torch.stack([losses.detach(), is_right.to(losses.dtype)])[:, :, :n], gradient[:, :n]


def mean_loss(
    config: TrainingConfig, logits: Tensor, labels: Tensor, class_weights: Tensor
) -> Tensor:
    """Return the configuration's loss of logits `(batch, outputs)`, the mean over the images.

    `class_weights` `(classes,)` are factors of the losses of their images.
    """
    smoothing = config.label_smoothing
    targets = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    losses = LOSSES[config.loss](logits, targets, config.focal_gamma)
    return (losses * class_weights[labels]).mean()


def probabilities(config: TrainingConfig, logits: Tensor) -> Tensor:
    """Return the probability of pneumonia `(..., batch)`: above 0.5 where output 2 is higher.

    The two sigmoids of bce with two outputs are two estimates of one probability: their log-odds
    z1 and -z0 are averaged. A softmax would add them, and be overconfident.
    """
    is_pair = config.loss == "bce" and config.n_outputs == 2
    return torch.sigmoid(log_odds(logits) / 2 if is_pair else log_odds(logits))


def log_odds(logits: Tensor) -> Tensor:
    """Return the log-odds of pneumonia `(..., batch)`, as a softmax has them."""
    return logits[..., 0] if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]


def _cross_entropy(z: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, targets, reduction="none")


def _bce(logits: Tensor, targets: Tensor, _: Tensor | float) -> Tensor:
    if logits.shape[-1] == 1:
        return _cross_entropy(logits[..., 0], targets)
    return _cross_entropy(logits, torch.stack([1 - targets, targets], dim=-1)).sum(-1) / 2


def _focal(logits: Tensor, targets: Tensor, gamma: Tensor | float) -> Tensor:
    z = log_odds(logits)
    log_p, log_q = F.logsigmoid(z), F.logsigmoid(-z)
    positive = targets * (gamma * log_q).exp() * log_p
    return -(positive + (1 - targets) * (gamma * log_p).exp() * log_q)


def _distance(compare: Callable[[Tensor, Tensor], Tensor]) -> _ImageLosses:
    # The other class is as far from its target: the mean over both is that of one.
    return lambda logits, targets, _: compare(log_odds(logits).sigmoid(), targets)


LOSSES: Final[dict[Loss, _ImageLosses]] = {
    "bce": _bce,
    "ce": lambda z, t, _: _cross_entropy(log_odds(z), t),
    "focal": _focal,
    "l1": _distance(lambda p, t: (p - t).abs()),
    "mse": _distance(lambda p, t: (p - t).square()),
    "smooth_l1": _distance(lambda p, t: F.smooth_l1_loss(p, t, reduction="none")),
}
