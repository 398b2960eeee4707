"""How many repeats decide a pair of values."""

from typing import Final

import numpy as np

from hpo.stats.intervals import Floats, t_quantile, t_tail
from hpo.stats.paired import PairedTests, unmeasured_floor
from hpo.stats.records import Span

MOST: Final = 200
"""More repeats than anyone looks forward to."""

_LOOKS: Final = (*range(5, 50, 5), *range(50, 100, 10), *range(100, MOST + 1, 25))
_N_COURSES: Final = 400
_IN_RANGE: Final = (0.1, 0.9)


def repeats_to_decide(
    tests: PairedTests, index: int, *, margin: float | None, share: float, has_answers: bool
) -> Span:
    """Return from and to how many repeats, with those there are, the pair is decided.

    The repeats to come are drawn 400 times as those there are let expect: the true difference from
    its normal distribution about the mean, the variance by its chi-square. After every five
    repeats each course is judged as `paired_tests` would, at the level of today. What the images
    decide shows when they are answered twice; until then each course draws a part of the most that
    it can be. The range holds 80 % of the courses; its end is None where more than a tenth of them
    is undecided after 200.
    """
    mean, variance, floor, degrees, quantile = (
        float(array[index])
        for array in (tests.difference, tests.variance, tests.floor, tests.degrees, tests.quantile)
    )
    n = int(tests.n[index])
    looks = np.array([k for k in _LOOKS if k > n], dtype=np.float64)
    if not len(looks):
        return n + 1, None
    rng = np.random.default_rng(0)
    true_variance = variance * degrees / rng.chisquare(degrees, (_N_COURSES, 1))
    error = np.sqrt(true_variance / n + floor)
    true_difference = mean + error * rng.standard_normal((_N_COURSES, 1))
    n_new = np.diff(looks, prepend=n)
    sums = n_new * true_difference + np.sqrt(n_new * true_variance) * rng.standard_normal(
        (_N_COURSES, len(looks))
    )
    means = (n * mean + np.cumsum(sums, axis=1)) / looks
    upper = 1 - t_tail(np.array(quantile), np.array(degrees))
    quantiles = t_quantile(upper, degrees * (looks - 1) / (n - 1))
    floors: Floats | float = true_variance * unmeasured_floor(looks, share)
    if has_answers:
        most = true_variance * np.maximum(share - 1 / looks, 0.0)
        is_answered_twice = n * share >= 2 or not share
        floors = floor + (0.0 if is_answered_twice else rng.random((_N_COURSES, 1)) * most)
    half = quantiles * np.sqrt(true_variance / looks + floors)
    is_decided = np.abs(means) > half
    if margin is not None:
        is_decided |= np.abs(means) + half <= margin
    first = np.where(is_decided.any(axis=1), looks[is_decided.argmax(axis=1)], np.inf)
    low, high = np.quantile(first, _IN_RANGE, method="inverted_cdf")
    last = int(high) if np.isfinite(high) else None
    return int(low) if np.isfinite(low) else MOST + 1, last
