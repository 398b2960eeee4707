"""ROC and calibration of the repeats of one configuration."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.evaluate.metrics import N_BINS, bin_of
from hpo.evaluate.records import CalibrationBin, Roc
from hpo.stats.intervals import Floats

_GRID: Final = np.linspace(0, 1, 101)
_DIGITS: Final = 4


def roc(labels: NDArray[np.uint8], probabilities: Sequence[Floats]) -> Roc:
    """Return the ROC curve over the repeats, at every hundredth of false alarms."""
    lines = np.stack([_line(labels, p) for p in probabilities])
    return Roc(
        false_alarms=_rounded(_GRID),
        mean=_rounded(lines.mean(axis=0)),
        low=_rounded(lines.min(axis=0)),
        high=_rounded(lines.max(axis=0)),
    )


def calibration(
    labels: NDArray[np.uint8], probabilities: Sequence[Floats]
) -> tuple[CalibrationBin, ...]:
    """Return the bins that hold an answer, all repeats together."""
    truth = np.tile(labels, len(probabilities)).astype(np.float64)
    every = np.concatenate(probabilities)
    place = bin_of(every)
    bins = ((place == number) for number in range(N_BINS))
    return tuple(
        CalibrationBin(
            predicted=round(float(every[is_in].mean()), _DIGITS),
            observed=round(float(truth[is_in].mean()), _DIGITS),
            n=int(is_in.sum()),
        )
        for is_in in bins
        if is_in.any()
    )


def _line(labels: NDArray[np.uint8], probabilities: Floats) -> Floats:
    """Return the sensitivity at each share of false alarms; equal probabilities go together."""
    order = np.argsort(-probabilities, kind="stable")
    is_last = np.append(np.diff(probabilities[order]) != 0, True)
    is_ill = labels[order] == 1
    found = np.cumsum(is_ill)[is_last] / is_ill.sum()
    alarms = np.cumsum(~is_ill)[is_last] / (~is_ill).sum()
    alarms, found = np.append(0.0, alarms), np.append(0.0, found)
    is_corner = np.append(np.diff(alarms) > 0, True)
    return np.asarray(np.interp(_GRID, alarms[is_corner], found[is_corner]))


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in values)
