"""The arithmetic of paired comparisons, for one sweep or for thousands at once.

Arrays end in the axes `(pairs, repeats)` or `(pairs,)`. A pair of values is judged by the
differences of its repeats: repeat i has the same images, folds and seeds under every value, so
what is easy or hard about a repeat drops out of the difference.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.stats.intervals import Floats, t_quantile, t_tail

_LARGEST_DENOMINATOR: Final = 2000
_ROUNDING: Final = 1e-9
_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class PairedTests:
    """Arrays `(..., pairs)`; NaN, and False, where fewer than two repeats pair up."""

    difference: Floats
    deviation: Floats
    low: Floats
    high: Floats
    p_value: Floats
    is_real: NDArray[np.bool_]
    n: NDArray[np.int64]


def paired_tests(
    differences: Floats,
    *,
    overlap: float,
    level: float,
    resolution: float,
    n_tests: int | None = None,
) -> PairedTests:
    """Test for each pair whether the mean of `differences` `(..., pairs, repeats)` is zero.

    Student's t with the variance of Nadeau and Bengio (2003) and the p-values of Holm (1979). NaN
    marks a repeat without partner. `resolution` is the step of the scores, 1 / n_images for a
    share of right answers, 0 where they have none.

    A pair's interval is taken at the level at which Holm's procedure tested the pair (for all
    pairs that were left when it stopped: the level of the stop). So it excludes zero exactly where
    the corrected p-value is below 1 - level. Intervals of Bonferroni's level would now and then
    hold zero for a pair that Holm's procedure calls different.

    Where the deviation of a pair cannot be trusted, it is raised: see `_deviation`, `_caution`.

    `n_tests` says that these pairs are some of so many, chosen by their scores: they are then
    corrected for all of them as Bonferroni did, which takes no p-value of the others.
    """
    n = np.isfinite(differences).sum(axis=-1)
    is_testable = n >= 2
    degrees = np.where(is_testable, n - 1, 1).astype(np.float64)
    mean = _mean(differences, n)
    deviation = np.where(is_testable, _deviation(differences, mean, degrees, resolution), np.nan)
    deviation = _caution(deviation, n)
    error = deviation * np.sqrt(1 / np.maximum(n, 1) + overlap)
    size = np.abs(mean)
    statistic = np.divide(size, error, out=np.zeros_like(error), where=error > 0)
    raw = np.where(is_testable, 2 * t_tail(statistic, degrees), np.nan)
    if n_tests is None:
        p_value, n_left = holm(raw, alpha=1 - level)
    else:
        p_value, n_left = np.minimum(raw * n_tests, 1.0), np.full_like(raw, n_tests)
    half = t_quantile(1 - (1 - level) / (2 * n_left), degrees) * error
    return PairedTests(
        difference=mean,
        deviation=deviation,
        low=mean - half,
        high=mean + half,
        p_value=p_value,
        is_real=size > half,
        n=n,
    )


def holm(p_values: Floats, *, alpha: float) -> tuple[Floats, Floats]:
    """Correct the p-values along the last axis for their number (Holm 1979); NaN stays NaN.

    Also returns by how many hypotheses alpha was divided when each had its turn: as many as were
    left then, or, after the procedure stopped, as many as were left at the stop.
    """
    order = np.argsort(p_values, axis=-1)
    ascending = np.take_along_axis(p_values, order, axis=-1)
    n_hypotheses = np.isfinite(p_values).sum(axis=-1, keepdims=True)
    n_left = np.maximum(n_hypotheses - np.arange(p_values.shape[-1]), 1)
    corrected = np.minimum(np.maximum.accumulate(ascending * n_left, axis=-1), 1.0)
    is_rejected = corrected <= alpha
    n_at_stop = np.maximum(n_hypotheses - is_rejected.sum(axis=-1, keepdims=True), 1)
    divisor = np.where(is_rejected, n_left, n_at_stop).astype(np.float64)
    undo = np.argsort(order, axis=-1)
    return np.take_along_axis(corrected, undo, axis=-1), np.take_along_axis(divisor, undo, axis=-1)


def find_resolution(differences: Floats) -> float:
    """Return the step of differences `(pairs, repeats)` of shares: 1 / n_images, or 0 for none.

    Shares of n images differ by multiples of 1 / n, rounded scores by multiples of their last
    digit. Each repeat may have another n, so each is looked at alone. What shifts all scores
    leaves the step as it is.
    """
    if not (np.abs(differences) > 0).any():
        return 0.0
    denominators = []
    for column in differences.T:
        finite = [float(difference) for difference in column if math.isfinite(difference)]
        exact = [Fraction(d).limit_denominator(_LARGEST_DENOMINATOR) for d in finite]
        if any(abs(d - float(f)) > _ROUNDING for d, f in zip(finite, exact, strict=True)):
            return 0.0
        denominators.append(math.lcm(*(fraction.denominator for fraction in exact)))
    return 1 / max(denominators)


def _mean(differences: Floats, n: NDArray[np.int64]) -> Floats:
    total = np.nansum(differences, axis=-1)
    mean: Floats = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
    return mean


def _deviation(differences: Floats, mean: Floats, degrees: Floats, resolution: float) -> Floats:
    """Return the standard deviation over repeats, but at least that of 0 and one step.

    Scores that are counts agree to the last image now and then by chance, and a deviation of 0
    would make any difference certain. Two repeats agree by chance too often to show their own
    deviation: there, and where all differences are equal and no step is known, the step is the
    difference itself.
    """
    variance: Floats = np.nansum((differences - mean[..., None]) ** 2, axis=-1) / degrees
    is_constant = variance <= (_ROUNDING * mean) ** 2
    is_unknown = (degrees == 1) | (is_constant & (resolution == 0))
    step = np.where(is_unknown, np.maximum(np.abs(mean), resolution), resolution)
    deviation: Floats = np.sqrt(np.maximum(variance, step**2 / 2))
    return deviation


def _caution(deviation: Floats, n: NDArray[np.int64]) -> Floats:
    """Judge a pair of three repeats by the largest deviation in its sweep.

    Where trainings collapse half of the time, one value in eight collapses in all three repeats,
    one in eight in none, and the pair looks steady. With measured scores of such a configuration
    the plain test claimed a difference in 9 % of sweeps without one; with four repeats in 3 %.
    """
    largest = np.max(np.nan_to_num(deviation), axis=-1, keepdims=True, initial=0.0)
    return np.where((n <= _FEW) & np.isfinite(deviation), largest, deviation)
