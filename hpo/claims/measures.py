"""What is read off the curve of one training. Epochs count from 1."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

# a line through two points leaves nothing to fluctuate
_FEWEST: Final = 3


def epochs_to(accuracies: Sequence[float], target: float) -> float | None:
    """Return the first epoch at or above the target, infinity where none is.

    None where there are no accuracies.
    """
    if not accuracies:
        return None
    return next((n for n, value in enumerate(accuracies, start=1) if value >= target), math.inf)


def fluctuation(accuracies: Sequence[float]) -> float | None:
    """Return the standard deviation around the linear trend of the last half of the epochs.

    Two degrees of freedom go to the trend. None where the last half has fewer than three epochs.
    """
    half = np.asarray(accuracies[len(accuracies) // 2 :], dtype=np.float64)
    if len(half) < _FEWEST:
        return None
    epochs = np.arange(len(half)) - (len(half) - 1) / 2
    slope = (epochs @ half) / (epochs @ epochs)
    residuals = half - half.mean() - slope * epochs
    return float(math.sqrt((residuals @ residuals) / (len(half) - 2)))


def turning_epoch(losses: Sequence[float]) -> float | None:
    """Return the epoch of the lowest loss, infinity where that is the last: it has not turned.

    Of several lowest, the last counts. None where there are no losses.
    """
    if not losses:
        return None
    lowest = len(losses) - int(np.argmin(losses[::-1]))
    return lowest if lowest < len(losses) else math.inf


def rise(losses: Sequence[float]) -> float | None:
    """Return by how much the last loss is above the lowest; None where there are no losses."""
    return losses[-1] - min(losses) if losses else None
