"""The metrics of one model on one set of images, its ROC curve and its calibration."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.evaluate.records import CalibrationBin, Confusion, Roc
from hpo.stats import Statistic, auroc, share
from hpo.stats.intervals import Floats
from hpo.training.engine import of_label, predicted

Labels: TypeAlias = NDArray[np.uint8]
Bools: TypeAlias = NDArray[np.bool_]

_N_BINS: Final = 10
_SMALLEST: Final = 1e-7  # As in training.
_DIGITS: Final = 4
_FALSE_ALARMS: Final = np.linspace(0, 1, 101)


def statistics(labels: Labels, probabilities: Floats, *, threshold: float) -> dict[str, Statistic]:
    """Return every metric as a statistic of image weights.

    With two classes, a probability above the threshold means the second, positive one; with more
    classes the most likely one is predicted. `balanced_accuracy` is the mean over the classes of
    their recall: for two classes the mean of `specificity` and `sensitivity`. `auroc`
    of more than two classes is the mean over the classes, each against the rest. `brier` is the
    mean squared difference of probability and label, for more than two classes half the sum over
    the classes; `log_loss` the mean of -log of the true class's probability. `calibration_error`
    is the mean over ten bins of equal width of |mean probability - share of the positive class|,
    weighted by images (Naeini, Cooper and Hauskrecht 2015, Obtaining well calibrated probabilities
    using Bayesian binning, AAAI), or of the predicted class if there are more than two.
    """
    is_right = predicted(probabilities, threshold) == labels
    confidence, is_so = _confidence(labels, probabilities)
    errors = np.zeros((len(labels), _N_BINS))
    errors[np.arange(len(labels)), _bin_of(confidence)] = confidence - is_so
    n_classes = 2 if probabilities.ndim == 1 else probabilities.shape[1]
    recalls = [share(is_right, among=labels == label) for label in range(n_classes)]
    found = {"accuracy": share(is_right), "balanced_accuracy": _mean(recalls)}
    if n_classes == 2:
        found |= {"sensitivity": recalls[1], "specificity": recalls[0]}
        rank, squared = auroc(labels, probabilities), (probabilities - labels) ** 2
    else:
        is_label = labels[:, None] == np.arange(n_classes)
        rank = _mean([auroc(*of_one) for of_one in zip(is_label.T, probabilities.T, strict=True)])
        squared = ((probabilities - is_label) ** 2).sum(1) / 2
    right = of_label(probabilities, labels)
    return found | {
        "auroc": rank,
        "brier": share(squared),
        "log_loss": share(-np.log(right.clip(_SMALLEST, 1 - _SMALLEST))),
        "calibration_error": lambda weights: np.asarray(
            np.abs(weights @ errors).sum(axis=1) / weights.sum(axis=1)
        ),
    }


def count_answers(answers: NDArray[np.int64], labels: Labels, n_classes: int) -> Confusion:
    """Count predictions `(images,)` or `(repeats, images)` by the true class."""
    counts = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(counts, (np.broadcast_to(labels, answers.shape), answers), 1)
    return tuple(map(tuple, counts.tolist()))


def roc(labels: Labels, probabilities: Sequence[Floats]) -> Roc:
    """Return the ROC curve over the repeats, at every hundredth of the false positive rate."""
    from sklearn.metrics import roc_curve  # Importing it takes a second.

    lines = []
    for one in probabilities:
        false_alarms, sensitivity, _ = roc_curve(labels, one, drop_intermediate=False)
        # Where the curve is vertical, its upper end is used.
        is_corner = np.append(np.diff(false_alarms) > 0, True)
        lines.append(np.interp(_FALSE_ALARMS, false_alarms[is_corner], sensitivity[is_corner]))
    rows = (_FALSE_ALARMS, np.mean(lines, axis=0), np.min(lines, axis=0), np.max(lines, axis=0))
    points, mean, low, high = (tuple(round(float(x), _DIGITS) for x in row) for row in rows)
    return Roc(false_alarms=points, mean=mean, low=low, high=high)


def calibration(labels: Labels, probabilities: Sequence[Floats]) -> tuple[CalibrationBin, ...]:
    """Return the non-empty bins over all repeats."""
    pairs = [_confidence(labels, one) for one in probabilities]
    every, truth = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    bins = _bin_of(every)
    return tuple(
        CalibrationBin(
            predicted=round(float(every[bins == number].mean()), _DIGITS),
            observed=round(float(truth[bins == number].mean()), _DIGITS),
            n=int((bins == number).sum()),
        )
        for number in np.unique(bins)
    )


def _confidence(labels: Labels, probabilities: Floats) -> tuple[Floats, Floats]:
    """Return the assessed probability of each image, and whether it is true."""
    if probabilities.ndim == 1:
        return probabilities, labels.astype(np.float64)
    return probabilities.max(1), (probabilities.argmax(1) == labels).astype(np.float64)


def _mean(of_each: Sequence[Statistic]) -> Statistic:
    return lambda weights: np.mean([one(weights) for one in of_each], axis=0)


def _bin_of(probabilities: Floats) -> NDArray[np.int64]:
    """Return the bin of each probability, 0 to 9; 1.0 belongs to the last."""
    return np.minimum((probabilities * _N_BINS).astype(np.int64), _N_BINS - 1)
