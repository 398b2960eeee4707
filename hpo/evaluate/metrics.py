"""The metrics of one model on one set of images, its ROC curve and its calibration."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.evaluate.records import CalibrationBin, Confusion, Roc
from hpo.stats import Statistic, auroc, share
from hpo.stats.intervals import Floats

Labels: TypeAlias = NDArray[np.uint8]
Bools: TypeAlias = NDArray[np.bool_]

_N_BINS: Final = 10
_DIGITS: Final = 4
_FALSE_ALARMS: Final = np.linspace(0, 1, 101)


def statistics(labels: Labels, probabilities: Floats, *, threshold: float) -> dict[str, Statistic]:
    """Return every metric as a statistic of image weights.

    A probability above the threshold means pneumonia. `balanced_accuracy` is the mean of
    sensitivity and specificity, `brier` the mean squared difference of probability and label.
    `calibration_error` is the mean over ten bins of equal width of |mean probability - share of
    pneumonia|, weighted by images (Naeini, Cooper and Hauskrecht 2015, Obtaining well calibrated
    probabilities using Bayesian binning, AAAI).
    """
    is_positive = labels == 1
    predicted_positive = probabilities > threshold
    sensitivity = share(predicted_positive, among=is_positive)
    specificity = share(~predicted_positive, among=~is_positive)
    errors = np.zeros((len(labels), _N_BINS))
    errors[np.arange(len(labels)), _bin_of(probabilities)] = probabilities - labels
    return {
        "accuracy": share(predicted_positive == is_positive),
        "balanced_accuracy": lambda weights: (sensitivity(weights) + specificity(weights)) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "auroc": auroc(labels, probabilities),
        "brier": share((probabilities - labels) ** 2),
        "calibration_error": lambda weights: np.asarray(
            np.abs(weights @ errors).sum(axis=1) / weights.sum(axis=1)
        ),
    }


def count_answers(predicted_positive: Bools, labels: Labels) -> Confusion:
    """Count right and wrong answers `(images,)` or `(repeats, images)`."""
    is_positive = labels == 1
    return Confusion(
        true_positive=int((predicted_positive & is_positive).sum()),
        false_negative=int((~predicted_positive & is_positive).sum()),
        false_positive=int((predicted_positive & ~is_positive).sum()),
        true_negative=int((~predicted_positive & ~is_positive).sum()),
    )


def roc(labels: Labels, probabilities: Sequence[Floats]) -> Roc:
    """Return the ROC curve over the repeats, at every hundredth of the false positive rate."""
    from sklearn.metrics import roc_curve  # It takes a second to import.

    lines = []
    for one in probabilities:
        false_alarms, sensitivity, _ = roc_curve(labels, one, drop_intermediate=False)
        # Where the curve rises straight up, its upper end counts.
        is_corner = np.append(np.diff(false_alarms) > 0, True)
        lines.append(np.interp(_FALSE_ALARMS, false_alarms[is_corner], sensitivity[is_corner]))
    rows = (_FALSE_ALARMS, np.mean(lines, axis=0), np.min(lines, axis=0), np.max(lines, axis=0))
    points, mean, low, high = (tuple(round(float(x), _DIGITS) for x in row) for row in rows)
    return Roc(false_alarms=points, mean=mean, low=low, high=high)


def calibration(labels: Labels, probabilities: Sequence[Floats]) -> tuple[CalibrationBin, ...]:
    """Return the bins that hold an answer, all repeats together."""
    truth = np.tile(labels, len(probabilities)).astype(np.float64)
    every = np.concatenate(probabilities)
    bins = _bin_of(every)
    return tuple(
        CalibrationBin(
            predicted=round(float(every[bins == number].mean()), _DIGITS),
            observed=round(float(truth[bins == number].mean()), _DIGITS),
            n=int((bins == number).sum()),
        )
        for number in np.unique(bins)
    )


def _bin_of(probabilities: Floats) -> NDArray[np.int64]:
    """Return the bin of each probability, 0 to 9; 1.0 belongs to the last."""
    return np.minimum((probabilities * _N_BINS).astype(np.int64), _N_BINS - 1)
