"""The metrics of one model on one set of images, as statistics of image weights."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.stats import Statistic, auroc, share
from hpo.stats.intervals import Floats

N_BINS: Final = 10


def statistics(
    labels: NDArray[np.uint8], probabilities: Floats, *, threshold: float
) -> dict[str, Statistic]:
    """Return every metric; a probability above the threshold means pneumonia.

    accuracy, balanced_accuracy (the mean of the next two), sensitivity (pneumonia images called
    so), specificity (normal images called so), auroc, brier (mean squared difference of
    probability and label) and calibration_error: the mean over ten bins of equal width of
    |mean probability - share of pneumonia|, weighted by images (Naeini, Cooper and Hauskrecht
    2015, Obtaining well calibrated probabilities using Bayesian binning, AAAI).
    """
    is_ill = labels == 1
    is_called_ill = probabilities > threshold
    sensitivity = share(is_called_ill, among=is_ill)
    specificity = share(~is_called_ill, among=~is_ill)
    return {
        "accuracy": share(is_called_ill == is_ill),
        "balanced_accuracy": _mean_of(sensitivity, specificity),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "auroc": auroc(labels, probabilities),
        "brier": share((probabilities - labels) ** 2),
        "calibration_error": calibration_error(labels, probabilities),
    }


def calibration_error(labels: NDArray[np.uint8], probabilities: Floats) -> Statistic:
    """Return the statistic: the expected calibration error in ten bins of equal width."""
    misses = np.zeros((len(labels), N_BINS))
    misses[np.arange(len(labels)), bin_of(probabilities)] = probabilities - labels

    def statistic(weights: Floats) -> Floats:
        return np.asarray(np.abs(weights @ misses).sum(axis=1) / weights.sum(axis=1))

    return statistic


def bin_of(probabilities: Floats) -> NDArray[np.int64]:
    """Return the bin of each probability, 0 to 9; 1.0 belongs to the last."""
    return np.minimum((probabilities * N_BINS).astype(np.int64), N_BINS - 1)


def _mean_of(one: Statistic, other: Statistic) -> Statistic:
    return lambda weights: (one(weights) + other(weights)) / 2
