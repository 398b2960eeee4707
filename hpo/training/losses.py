"""Losses of logits `(..., batch, outputs)` against labels `(..., batch)`: one output per class, or
one for two classes.

A target is a label with smoothing s, as in `torch.nn.functional.cross_entropy`: 1 - s + s/K for
the true one of K classes, s/K for each other.

- bce: cross entropy of the sigmoid of each output with the target of its class, averaged over the
  outputs.
- ce: cross entropy of the softmax of the outputs; with one output z, of softmax(0, z).
- focal: focal loss of the same softmax (Lin et al. 2017, equation 4, without class weights):
  -(1 - p)^gamma log p.
- l1, mse, smooth_l1: the same softmax against the targets of all classes, averaged over them; with
  one output, sigmoid(z) against the target of the second class.

Two classes have their own formulas, in the difference of two outputs.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.choices import Loss
from hpo.config import TrainingConfig
from hpo.training.layers import fill_up

# For a probability closer to 1, log(1 - p) is undefined in float32.
_SMALLEST: Final = 1e-7

# Losses of images from logits, targets and gamma. Targets `(..., batch)` are for the second of two
# classes, `(..., batch, classes)` for more.
_ImageLosses: TypeAlias = Callable[[Tensor, Tensor, Tensor | float], Tensor]


def train_losses(
    loss: Loss,
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    smoothing: Tensor,
    gamma: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return losses, and 1 for correct answers, `(2, lanes, batch)`, and the mean's gradient.

    `logits` and the gradient are `(lanes, batch, outputs)`, `labels` `(lanes, batch)`,
    `class_weights` `(lanes, classes)`; label smoothing and the focal loss's gamma `(lanes, 1)`.
    """
    n = logits.shape[1]
    more = fill_up(n) - n
    leaf = F.pad(logits, (0, 0, 0, more)).requires_grad_()
    labels = F.pad(labels, (0, more))
    with torch.enable_grad():
        losses = image_losses(loss, leaf, labels, smoothing, gamma)
        losses = losses * class_weights.gather(1, labels)
    (gradient,) = torch.autograd.grad(losses, leaf, torch.full_like(losses, 1 / n))
    is_right = answers(leaf.detach()) == labels
    return torch.stack([losses.detach(), is_right.to(losses.dtype)])[:, :, :n], gradient[:, :n]


def mean_loss(
    config: TrainingConfig, logits: Tensor, labels: Tensor, class_weights: Tensor
) -> Tensor:
    """Return the configuration's loss of logits `(batch, outputs)`, the mean over the images.

    `class_weights` `(classes,)` are factors of the losses of their images.
    """
    losses = image_losses(config.loss, logits, labels, config.label_smoothing, config.focal_gamma)
    return (losses * class_weights[labels]).mean()


def image_losses(
    loss: Loss, logits: Tensor, labels: Tensor, smoothing: Tensor | float, gamma: Tensor | float
) -> Tensor:
    """Return the loss of each image; smoothing and gamma are numbers, or one per lane."""
    n_classes = max(2, logits.shape[-1])
    if n_classes == 2:
        targets = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
        return LOSSES[loss](logits, targets, gamma)
    if isinstance(smoothing, Tensor) and isinstance(gamma, Tensor):
        smoothing, gamma = smoothing[..., None], gamma[..., None]
    is_right = F.one_hot(labels, n_classes).to(logits.dtype)
    return _LOSSES_OF_MANY[loss](logits, is_right * (1 - smoothing) + smoothing / n_classes, gamma)


def probabilities(config: TrainingConfig, logits: Tensor) -> Tensor:
    """Return the probability of the second of two classes `(..., batch)`, or of each if more.

    It is above 0.5 if the second output is higher. The two sigmoids of bce with two outputs are
    two estimates of one probability: their log-odds z1 and -z0 are averaged. A softmax would add
    them and be overconfident. Those of more classes are divided by their sum.
    """
    is_bce, n_outputs = config.loss == "bce", logits.shape[-1]
    if n_outputs > 2:
        return (F.logsigmoid(logits) if is_bce else logits).softmax(-1)
    odds = log_odds(logits)
    return torch.sigmoid(odds / 2 if is_bce and n_outputs == 2 else odds)


def answers(logits: Tensor) -> Tensor:
    """Return the most probable class of each image; if equal the first."""
    if logits.shape[-1] > 2:
        return logits.argmax(-1)
    return (log_odds(logits).sigmoid() > 0.5).to(torch.int64)


def log_odds(logits: Tensor) -> Tensor:
    """Return the log-odds of the second of two classes `(..., batch)`, as in a softmax."""
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


LOSSES: Final[dict[Loss, _ImageLosses]] = {
    "bce": _bce,
    "ce": lambda z, t, _: _cross_entropy(log_odds(z), t),
    "focal": _focal,
    # The other class is equally far from its target, so the mean over both is that of one.
    "l1": lambda z, t, _: (log_odds(z).sigmoid() - t).abs(),
    "mse": lambda z, t, _: (log_odds(z).sigmoid() - t).square(),
    "smooth_l1": lambda z, t, _: F.smooth_l1_loss(log_odds(z).sigmoid(), t, reduction="none"),
}


def _focal_of_many(logits: Tensor, targets: Tensor, gamma: Tensor | float) -> Tensor:
    log_p = logits.log_softmax(-1)
    log_q = torch.log(-torch.expm1(log_p.clamp(max=-_SMALLEST)))
    return -(targets * (gamma * log_q).exp() * log_p).sum(-1)


_LOSSES_OF_MANY: Final[dict[Loss, _ImageLosses]] = {
    "bce": lambda z, t, _: _cross_entropy(z, t).mean(-1),
    "ce": lambda z, t, _: -(t * z.log_softmax(-1)).sum(-1),
    "focal": _focal_of_many,
    "l1": lambda z, t, _: (z.softmax(-1) - t).abs().mean(-1),
    "mse": lambda z, t, _: (z.softmax(-1) - t).square().mean(-1),
    "smooth_l1": lambda z, t, _: F.smooth_l1_loss(z.softmax(-1), t, reduction="none").mean(-1),
}
