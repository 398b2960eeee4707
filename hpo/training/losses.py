"""Losses over logits `(batch, outputs)` and integer labels `(batch,)`, with one output or two.

Every loss takes the same logits and labels. A target is a label with smoothing s, as in
`torch.nn.functional.cross_entropy`: 1 - s/2 for the right class, s/2 for the other.

- bce: cross entropy of sigmoid(z); with two outputs the mean over those of sigmoid(z0) and
  sigmoid(z1), each with its own target.
- ce: cross entropy of softmax(z0, z1); with one output z, of softmax(0, z).
- focal: focal loss of the same softmax.
- l1, mse, smooth_l1: softmax(z0, z1) against the targets of both classes, the mean over both; with
  one output, sigmoid(z) against the target of pneumonia.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import Loss, TrainingConfig

_LossFunction: TypeAlias = Callable[[Tensor, Tensor, TrainingConfig], Tensor]


def mean_loss(config: TrainingConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the configuration's loss, the mean over the images."""
    one_hot = F.one_hot(labels.long(), 2).to(logits.dtype)
    smoothing = config.label_smoothing
    return LOSSES[config.loss](logits, one_hot * (1 - smoothing) + smoothing / 2, config)


def probabilities(config: TrainingConfig, logits: Tensor) -> Tensor:
    """Return the probability of pneumonia `(batch,)`, above 0.5 where the second output is higher.

    The two sigmoids of bce with two outputs are two estimates of one probability: their log-odds
    z1 and -z0 are averaged. A softmax would add them, and be overconfident.
    """
    log_odds = _log_odds(logits)
    if config.loss == "bce" and config.n_outputs == 2:
        log_odds = log_odds / 2
    return torch.sigmoid(log_odds)


def _log_odds(logits: Tensor) -> Tensor:
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def _own_targets(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the targets of the outputs there are: one output is that of pneumonia."""
    return targets[:, 2 - logits.shape[1] :]


def _class_log_probabilities(logits: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return torch.cat([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)
    return F.log_softmax(logits, dim=1)


def _bce(logits: Tensor, targets: Tensor, _: TrainingConfig) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, _own_targets(logits, targets))


def _ce(logits: Tensor, targets: Tensor, _: TrainingConfig) -> Tensor:
    return -(targets * _class_log_probabilities(logits)).sum(1).mean()


def _focal(logits: Tensor, targets: Tensor, config: TrainingConfig) -> Tensor:
    """Lin et al. 2017, equation 4: -(1 - p)^gamma log p, without class weights."""
    log_p = _class_log_probabilities(logits)
    # 1 - p of one class is p of the other: exact where p is close to 1, and its power is smooth.
    focus = (config.focal_gamma * log_p.flip(1)).exp()
    return -(targets * focus * log_p).sum(1).mean()


def _compare_probabilities(compare: Callable[[Tensor, Tensor], Tensor]) -> _LossFunction:
    def loss(logits: Tensor, targets: Tensor, _: TrainingConfig) -> Tensor:
        p = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
        return compare(p, _own_targets(logits, targets))

    return loss


LOSSES: Final[dict[Loss, _LossFunction]] = {
    "bce": _bce,
    "ce": _ce,
    "focal": _focal,
    "l1": _compare_probabilities(F.l1_loss),
    "mse": _compare_probabilities(F.mse_loss),
    "smooth_l1": _compare_probabilities(F.smooth_l1_loss),
}
