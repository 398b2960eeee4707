"""The interval of a mean over repeats."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

Scores: TypeAlias = Iterable[float | None]
Floats: TypeAlias = NDArray[np.float64]

WIDEST: Final = 0.99  # A wider interval of a share or of a difference of shares is not shown.


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, its interval, and the standard deviation and number of the averaged values.

    `low`, `high` and `deviation` are None for fewer than two scores, `mean` for none. In documents
    of an evaluation, two fields have other names.
    """

    mean: Annotated[float | None, Field(alias="value")]
    low: float | None
    high: float | None
    deviation: float | None
    n: Annotated[int, Field(alias="n_repeats")]

    __pydantic_config__ = ConfigDict(validate_by_name=True, validate_by_alias=True)


def mean_interval(scores: Scores, *, level: float = 0.95, overlap: float = 0.0) -> Interval:
    """Return the mean of repeats with Student's t interval; None and NaN are left out.

    `overlap` is n_validation / n_train if the training sets of repeats overlap, as in
    cross-validation: scores are then not independent, and the variance of their mean is
    deviation^2 * (1 / n + overlap) (Nadeau & Bengio 2003, Inference for the
    generalization error, Machine Learning 52, equation 9).
    """
    finite = as_floats(scores)
    finite = finite[np.isfinite(finite)]
    n = len(finite)
    if n == 0:
        return Interval(None, None, None, None, 0)
    # Rounded once, so that the same scores in another order tie.
    mean = fmean(finite)
    if n < 2:
        return Interval(mean, None, None, None, n)
    deviation = float(finite.std(ddof=1))
    quantile = float(t_quantile((1 + level) / 2, n - 1))
    half = quantile * deviation * math.sqrt(1 / n + overlap)
    return Interval(mean, mean - half, mean + half, deviation, n)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `n` images (Wilson 1927)."""
    z2 = float(t_quantile(0.975, math.inf)) ** 2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, center - half), min(1.0, center + half)


def as_floats(scores: Scores) -> Floats:
    """Return scores as an array, with NaN for None."""
    return np.array([math.nan if score is None else score for score in scores], dtype=np.float64)


def t_quantile(probability: float | Floats, n_degrees: float | Floats) -> Floats:
    """Return the quantile of Student's t distribution."""
    # Imported here, and not from scipy.stats: 0.13 s instead of 0.5 s, and none for `hpo --help`.
    from scipy.special import stdtrit

    return np.asarray(stdtrit(n_degrees, probability), dtype=np.float64)


def t_tail(statistic: Floats, n_degrees: Floats) -> Floats:
    """Return the probability that Student's t is above `statistic`."""
    from scipy.special import stdtr

    return np.asarray(stdtr(n_degrees, -statistic), dtype=np.float64)
