"""Metrics of probabilities against labels, in numpy: cheap enough for every epoch."""

from collections.abc import Collection
from dataclasses import astuple
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.training.engine import Probabilities, ValidationMetrics

_Floats = NDArray[np.float64]
_Labels = NDArray[np.uint8]

# A probability of 0 or 1 in float32 stands for one nearer than this; its log must stay finite.
_SMALLEST: Final = 1e-7


def measure(probabilities: Probabilities, labels: _Labels, *, loss: float) -> ValidationMetrics:
    """Return every metric of these images; `loss` is the configuration's own, passed through."""
    p = probabilities.astype(np.float64)
    return ValidationMetrics(
        loss=loss,
        accuracy=accuracy(p, labels),
        balanced_accuracy=balanced_accuracy(p, labels),
        auroc=auroc(p, labels),
        log_loss=log_loss(p, labels),
        brier=brier(p, labels),
    )


def mean_metrics(measured: Collection[ValidationMetrics]) -> ValidationMetrics:
    """Return the mean of each metric."""
    columns = zip(*map(astuple, measured), strict=True)
    return ValidationMetrics(*map(fmean, columns))


def accuracy(p: _Floats, labels: _Labels) -> float:
    """Return the share of images on the right side of 0.5; 0.5 itself means normal."""
    return float(np.mean((p > 0.5) == labels))


def balanced_accuracy(p: _Floats, labels: _Labels) -> float:
    """Return the mean over the classes that occur of the share of right answers."""
    is_right = (p > 0.5) == labels
    return float(np.mean([is_right[labels == label].mean() for label in np.unique(labels)]))


def auroc(p: _Floats, labels: _Labels) -> float:
    """Return the share of pairs (pneumonia, normal) ranked rightly, ties as half; nan without one.

    The rank statistic of Mann and Whitney (1947).
    """
    is_positive = labels.astype(bool)
    n_positive = int(is_positive.sum())
    n_pairs = n_positive * (len(labels) - n_positive)
    if n_pairs == 0 or not np.isfinite(p).all():
        return float("nan")
    _, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mid_ranks[place][is_positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / n_pairs)


def log_loss(p: _Floats, labels: _Labels) -> float:
    """Return the mean negative log-likelihood, probabilities kept 1e-7 away from 0 and 1."""
    right = np.where(labels == 1, p, 1 - p)
    return float(-np.log(np.clip(right, _SMALLEST, 1 - _SMALLEST)).mean())


def brier(p: _Floats, labels: _Labels) -> float:
    """Return the mean squared difference of probability and label."""
    return float(np.mean((p - labels) ** 2))
