"""The arithmetic of paired comparisons, for one sweep or for thousands at once.

Arrays end in the axes `(values, repeats)`, `(pairs, repeats)` or `(pairs,)`. A pair of values is
judged by the differences of its repeats: repeat i has the same images, folds and seeds under every
value, so the difficulty of a repeat cancels in the difference.

The variance of a mean difference has two parts. The part due to trainings falls with the number of
repeats. The part due to images falls only with the number of images; it is measured if the answers
to single images are known (`hpo.stats.images`), and bounded otherwise.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpo.stats.intervals import Floats, t_quantile, t_tail

Pairs = NDArray[np.intp]

_MOST_SHAFFER: Final = 30
_ROUNDING: Final = 1e-9
_FEW: Final = 4
_SHARED_TRAINING: Final = 0.05


@dataclass(frozen=True, slots=True)
class PairedTests:
    """Arrays `(..., pairs)`; NaN or False for fewer than two common repeats.

    `variance` is that of one repeat, `floor` the part of the mean's variance that more repeats do
    not reduce. `quantile` is the quantile of Student's t at which the pair was tested, with
    `degrees` of freedom. `bound` is an upper bound for the size of the difference,
    `bound_quantile` its quantile; both are NaN without a margin.
    """

    difference: Floats
    variance: Floats
    floor: Floats
    degrees: Floats
    quantile: Floats
    low: Floats
    high: Floats
    p_value: Floats
    is_real: NDArray[np.bool_]
    bound: Floats
    bound_quantile: Floats
    n: NDArray[np.int64]


def paired_tests(
    scores: Floats,
    pairs: Pairs,
    *,
    level: float,
    share: float = 0.0,
    images: tuple[Floats, Floats] | None = None,
    step: float = 0.0,
    n_tests: int | None = None,
    margin: float | None = None,
) -> PairedTests:
    """Test for each pair of values whether the mean difference of its repeats is zero.

    With a `margin`, also test whether the difference is at least that large: `bound` is at most
    the margin exactly if that is ruled out.

    `scores` is `(..., values, repeats)`, NaN where missing; `pairs` `(pairs, 2)` holds indices of
    values. `share` is the part of all validation images that one repeat is scored on (0.2 with
    five folds), or 0 if every repeat is scored on the same images and nothing is claimed about
    others. `images` holds both parts of the variance due to images (`hpo.stats.images`). `step` is
    the smallest possible change of a score, 1 / n_images for an accuracy.

    The variance of a pair is the larger of its own, over its repeats, and the one shared by all
    values: the residual of the additive model value + repeat, which has more degrees of freedom.
    With fewer than five repeats the largest variance of any pair is used, because values that
    collapse half of the time look steady by chance.

    p-values are corrected for the number of pairs by Holm's procedure (1979), with the steps of
    Shaffer (1986) if all pairs are tested, or by Bonferroni's if the pairs were selected by their
    scores among `n_tests`. The interval of a pair has the level at which the procedure tested it
    (for all pairs left when it stopped, the level of the stop). So it excludes zero exactly if the
    corrected p-value is below 1 - level.

    A difference of at least the margin is ruled out by two one-sided tests (Schuirmann 1987),
    corrected by Holm's procedure, with three or more repeats; at most 1 - level of all sweeps rule
    one out falsely.
    """
    differences = scores[..., pairs[:, 1], :] - scores[..., pairs[:, 0], :]
    n = np.isfinite(differences).sum(axis=-1)
    is_testable = n >= 2
    mean = _mean(differences)
    own = np.nansum((differences - mean[..., None]) ** 2, axis=-1) / np.maximum(n - 1, 1)
    own = np.where(is_testable, _at_least_a_step(own, mean, n, step), np.nan)
    shared, shared_degrees = _shared_variance(scores)
    largest = np.max(np.nan_to_num(own), axis=-1, keepdims=True, initial=0.0)
    variance = np.where(n <= _FEW, np.maximum(largest, shared), np.maximum(own, shared))
    variance = np.where(is_testable, variance, np.nan)
    degrees = np.where(is_testable, np.maximum(n - 1, shared_degrees), 1).astype(np.float64)
    floor = _floor(variance, n, share, images)
    error = np.sqrt(variance / np.maximum(n, 1) + floor)
    size = np.abs(mean)
    statistic = np.divide(size, error, out=np.zeros_like(error), where=error > 0)
    raw = np.where(is_testable, 2 * t_tail(statistic, degrees), np.nan)
    if n_tests is None:
        n_values = scores.shape[-2]
        is_every_pair = len(pairs) == math.comb(n_values, 2) and n_values <= _MOST_SHAFFER
        n_values = n_values if is_every_pair else 0
        p_value, n_left = step_down(raw, alpha=1 - level, n_values=n_values)
    else:
        p_value, n_left = np.minimum(raw * n_tests, 1.0), np.full_like(raw, n_tests)
    quantile = t_quantile(1 - (1 - level) / (2 * n_left), degrees)
    half = quantile * error
    bound_quantile = np.full_like(error, np.nan)
    if margin is not None:
        room = margin - size
        below = np.divide(room, error, out=np.copysign(np.inf, room), where=error > 0)
        raw = np.where(n > 2, t_tail(below, degrees), np.nan)
        n_left = step_down(raw, alpha=1 - level)[1] if n_tests is None else n_left
        bound_quantile = np.where(n > 2, t_quantile(1 - (1 - level) / n_left, degrees), np.nan)
    return PairedTests(
        difference=mean,
        variance=variance,
        floor=floor,
        degrees=degrees,
        quantile=quantile,
        low=mean - half,
        high=mean + half,
        p_value=p_value,
        is_real=size > half,
        bound=size + bound_quantile * error,
        bound_quantile=bound_quantile,
        n=n,
    )


def step_down(p_values: Floats, *, alpha: float, n_values: int = 0) -> tuple[Floats, Floats]:
    """Correct the p-values along the last axis for their number (Holm 1979); NaN stays NaN.

    Also returns the divisor of alpha for each hypothesis when it was tested: the number that could
    still be true then or, after the procedure stopped, at the stop. These are all that were left,
    or fewer if the hypotheses are all pairs of `n_values` values: if one pair differs, not every
    other pair can be equal (Shaffer 1986).
    """
    order = np.argsort(p_values, axis=-1)
    ascending = np.take_along_axis(p_values, order, axis=-1)
    n_hypotheses = np.isfinite(p_values).sum(axis=-1, keepdims=True)
    n_left = np.maximum(n_hypotheses - np.arange(p_values.shape[-1]), 1).astype(np.float64)
    if n_values:
        is_whole = n_hypotheses == p_values.shape[-1]
        n_left = np.where(is_whole, _shaffer(n_values), n_left)
    corrected = np.minimum(np.maximum.accumulate(ascending * n_left, axis=-1), 1.0)
    n_rejected = (corrected <= alpha).sum(axis=-1, keepdims=True)
    at_stop = np.minimum(n_rejected, p_values.shape[-1] - 1)
    is_tested_later = np.arange(p_values.shape[-1]) >= n_rejected
    divisor = np.where(is_tested_later, np.take_along_axis(n_left, at_stop, axis=-1), n_left)
    undo = np.argsort(order, axis=-1)
    return np.take_along_axis(corrected, undo, axis=-1), np.take_along_axis(divisor, undo, axis=-1)


@cache
def _shaffer(n_values: int) -> Floats:
    """Return the largest possible number of equal pairs if 0, 1, … pairs differ."""
    n_pairs = math.comb(n_values, 2)
    possible = sorted(_numbers_of_equal_pairs(n_values))
    largest = [max(n for n in possible if n <= n_pairs - j) for j in range(n_pairs)]
    return np.maximum(np.array(largest, dtype=np.float64), 1.0)


@cache
def _numbers_of_equal_pairs(n_values: int) -> frozenset[int]:
    """Return the possible numbers of equal pairs: values fall into groups of equal ones."""
    if n_values == 0:
        return frozenset({0})
    return frozenset(
        math.comb(size, 2) + others
        for size in range(1, n_values + 1)
        for others in _numbers_of_equal_pairs(n_values - size)
    )


def _mean(differences: Floats) -> Floats:
    n = np.isfinite(differences).sum(axis=-1)
    total = np.nansum(differences, axis=-1)
    mean: Floats = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
    return mean


def _at_least_a_step(own: Floats, mean: Floats, n: NDArray[np.int64], step: float) -> Floats:
    """Return the variance over repeats, but at least that of 0 and one step.

    Scores that are counts sometimes agree exactly by chance, and a variance of 0 would make any
    difference certain. Two repeats agree by chance too often to estimate their variance: for
    these, and if all differences are equal and no step is known, the step is the difference
    itself.
    """
    is_constant = own <= (_ROUNDING * mean) ** 2
    is_unknown = (n == 2) | (is_constant & (step == 0))
    smallest = np.where(is_unknown, np.maximum(np.abs(mean), step), step)
    return np.asarray(np.maximum(own, smallest**2 / 2), dtype=np.float64)


def _shared_variance(scores: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the variance of a paired difference shared by all values, and its degrees.

    It is twice the residual variance of the additive model value + repeat, `(..., 1)` each; 0 if
    no degrees of freedom are left.
    """
    is_scored = np.isfinite(scores)
    n_of_values = is_scored.sum(axis=-1, keepdims=True)
    n_of_repeats = is_scored.sum(axis=-2, keepdims=True)
    residual = np.where(is_scored, scores, 0.0)
    # Exact in one pass if no score is missing; else rows and columns alternate.
    for _ in range(1 if is_scored.all() else 50):
        for axis, n in ((-1, n_of_values), (-2, n_of_repeats)):
            effect = residual.sum(axis=axis, keepdims=True) / np.maximum(n, 1)
            residual = np.where(is_scored, residual - effect, 0.0)
    degrees = (
        is_scored.sum(axis=(-1, -2))
        - (n_of_values[..., 0] > 0).sum(axis=-1)
        - (n_of_repeats[..., 0, :] > 0).sum(axis=-1)
        + 1
    )
    variance = 2 * (residual**2).sum(axis=(-1, -2)) / np.maximum(degrees, 1)
    return np.where(degrees > 0, variance, 0.0)[..., None], degrees[..., None]


def _floor(
    variance: Floats, n: NDArray[np.int64], share: float, images: tuple[Floats, Floats] | None
) -> Floats:
    """Return the part of the variance of a mean difference that more repeats do not reduce.

    A little is added for training images shared by repeats: 5 % of the smaller of both parts,
    which measured trainings did not exceed (docs/verdicts.md).
    """
    bound = variance * unmeasured_floor(n, share)
    if images is None:
        return bound
    persistent, sampled = images
    measured = persistent + _SHARED_TRAINING * np.minimum(sampled, variance)
    return np.where(np.isfinite(measured), measured, bound)


def unmeasured_floor(n: ArrayLike, share: float) -> Floats:
    """Return the floor as a share of one repeat's variance if the images are unknown.

    At most all of the variance of a repeat, which is scored on `share` of the images, is due to
    the images; the variance between repeats divided by their number already contains some of it.
    """
    more = np.maximum(share - 1 / np.maximum(n, 1), 0.0)
    return np.asarray(more + _SHARED_TRAINING * (share > 0), dtype=np.float64)
