"""How many repeats it takes to tell a difference of a given size."""

import math
from typing import Final

import numpy as np

from hpo.stats.intervals import check_level_and_overlap, t_quantile

POWER: Final = 0.8
# two repeats are never proof of a difference: see paired.py
_FEWEST: Final = 3
_LARGEST_TABLE: Final = 1000


def needed_repeats(
    difference: float,
    *,
    deviation: float,
    overlap: float = 0.0,
    level: float = 0.95,
    n_pairs: int = 1,
) -> int | None:
    """Return the repeats with which a difference is told in four of five sweeps.

    None where no number of repeats is enough: with overlapping training sets the variance of a
    mean does not fall below deviation^2 * overlap. `deviation` is that of the paired differences;
    the level is shared among `n_pairs` pairs.
    """
    check_level_and_overlap(level, overlap)
    size = abs(difference)
    if size <= smallest_difference(
        deviation=deviation, overlap=overlap, level=level, n_pairs=n_pairs
    ):
        return None
    n = np.arange(_FEWEST, _LARGEST_TABLE + 1, dtype=np.float64)
    quantiles = t_quantile(_upper(level, n_pairs), n - 1) + t_quantile(POWER, n - 1)
    is_enough = quantiles * deviation * np.sqrt(1 / n + overlap) <= size
    if is_enough.any():
        return int(n[np.argmax(is_enough)])
    return math.ceil(1 / ((size / (_normal_sum(level, n_pairs) * deviation)) ** 2 - overlap))


def smallest_difference(
    *, deviation: float, overlap: float, level: float = 0.95, n_pairs: int = 1
) -> float:
    """Return the difference that not even endless repeats would tell in four of five sweeps."""
    return _normal_sum(level, n_pairs) * deviation * math.sqrt(overlap)


def _normal_sum(level: float, n_pairs: int) -> float:
    degrees = math.inf
    return float(t_quantile(_upper(level, n_pairs), degrees) + t_quantile(POWER, degrees))


def _upper(level: float, n_pairs: int) -> float:
    return 1 - (1 - level) / (2 * n_pairs)
