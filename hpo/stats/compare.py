"""The verdict of a sweep: which of its values differ significantly, and by how much."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from hpo.stats.images import image_variance
from hpo.stats.intervals import Floats, Scores, as_floats, mean_interval, t_quantile, t_tail
from hpo.stats.paired import PairedTests, paired_tests, unmeasured_floor
from hpo.stats.records import (
    ACCURACY,
    MOST_REPEATS,
    Answer,
    PairComparison,
    ScoreKind,
    Span,
    SweepComparison,
)
from hpo.stats.sentences import pair_sentence

V = TypeVar("V", bound=Hashable)

# Pocock 1977, Group sequential methods, table 1: the nominal level of each look.
_POCOCK: Final = (0.05, 0.0294, 0.0221, 0.0182, 0.0158, 0.0142, 0.0130, 0.0120, 0.0112, 0.0106)
MOST_LOOKS: Final = len(_POCOCK)

_LOOKS: Final = (*range(5, 50, 5), *range(50, 100, 10), *range(100, MOST_REPEATS + 1, 25))
_N_COURSES: Final = 400
_IN_RANGE: Final = (0.1, 0.9)
# Estimating the repeats needed takes a millisecond per pair; it is left out for more pairs.
_MOST_OUTLOOKS: Final = 100


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to validation images, by value and repeat, in the order of its scores.

    `right` is `(values, repeats, images)`: 1 for a correct answer, 0 for a wrong one, NaN if the
    repeat was not scored on the image. `patients` `(images,)` is the patient of each image.
    """

    right: Floats
    patients: ArrayLike


def compare_sweep(
    scores: Mapping[V, Scores],
    *,
    pairs: Sequence[tuple[V, V]] | None = None,
    most: int | None = None,
    overlap: float = 0.0,
    level: float = 0.95,
    kind: ScoreKind = ACCURACY,
    n_images: int | None = None,
    step: float = 0.0,
    answers: Answers | None = None,
) -> SweepComparison:
    """Compare every pair of values of a sweep by its repeats.

    `scores` holds per value the scores of repeats 0, 1, …; None or NaN where a repeat is missing
    or failed. Repeat i of one value is compared with repeat i of the other, so both must have the
    same images and seeds. `overlap` is n_validation / n_train if the training sets of repeats
    overlap. `n_images` is the number of images that a repeat is scored on: a share changes by at
    least one of them; `step` is the smallest change of other scores. `answers` determine the
    variance due to images; without them it is bounded from above.

    If `pairs` are given, only these are compared and corrected for. Among more than `most` values,
    those with the best means are compared but corrected for all pairs: the same scores select the
    best, so a difference due to luck would otherwise appear significant too often.
    """
    table, n_tests = _table(scores), None
    if most is not None and len(table) > most:
        sign = 1 if kind.direction == "maximize" else -1
        means = {v: sign * float(np.nanmean(a)) for v, a in table.items() if np.isfinite(a).any()}
        best = set(sorted(means, key=lambda value: -means[value])[:most])
        table, n_tests = {v: a for v, a in table.items() if v in best}, math.comb(len(means), 2)
    pairs = list(combinations(table, 2)) if pairs is None else pairs
    values = list(table)
    rows = [place for place, value in enumerate(scores) if value in table]
    indices = np.array([[values.index(a), values.index(b)] for a, b in pairs], dtype=np.intp)
    share = overlap / (1 + overlap)
    comparisons: list[PairComparison] = []
    if len(indices):
        tests = paired_tests(
            np.stack(list(table.values())),
            indices,
            level=level,
            share=share,
            images=(
                image_variance(answers.right[rows], indices, answers.patients) if answers else None
            ),
            step=1 / n_images if n_images and kind.is_share else step,
            n_tests=n_tests,
            margin=kind.margin,
        )
        for i, names in enumerate(pairs):
            pair = _pair(names, tests, i, kind)
            if pair.answer == "undecided" and len(pairs) <= _MOST_OUTLOOKS:
                has_answers = answers is not None
                span = _repeats_to_decide(
                    tests, i, margin=kind.margin, share=share, has_answers=has_answers
                )
                pair = replace(pair, repeats=span)
            a, b = (table[name] for name in names)
            is_identical = pair.n_pairs >= 2 and not np.nan_to_num(b - a).any()
            n_alone = int((np.isfinite(a) ^ np.isfinite(b)).sum())
            sentence = pair_sentence(
                pair, kind, level=level, is_identical=is_identical, n_alone=n_alone
            )
            comparisons.append(replace(pair, sentence=sentence))
    return SweepComparison(
        values={v: mean_interval(s, level=level, overlap=overlap) for v, s in table.items()},
        pairs=tuple(comparisons),
        n_left_out=n_tests - len(comparisons) if n_tests else 0,
        kind=kind,
    )


def level_of_looks(n_looks: int) -> float:
    """Return the level of each of `n_looks` comparisons with a joint coverage of 95 %."""
    return 1 - _POCOCK[min(n_looks, MOST_LOOKS) - 1]


def _table(scores: Mapping[V, Scores]) -> dict[V, Floats]:
    """Return arrays of equal length, with NaN for missing scores."""
    arrays = [as_floats(repeats) for repeats in scores.values()]
    table = np.full((len(arrays), max(map(len, arrays), default=0)), np.nan)
    for row, array in zip(table, arrays, strict=True):
        row[: len(array)] = np.where(np.isfinite(array), array, np.nan)
    return dict(zip(scores, table, strict=True))


def _pair(names: tuple[V, V], tests: PairedTests, index: int, kind: ScoreKind) -> PairComparison:
    n, is_real = int(tests.n[index]), bool(tests.is_real[index])
    difference, low, high, p_value = (
        float(x[index]) for x in (tests.difference, tests.low, tests.high, tests.p_value)
    )
    if n < 2:
        single = difference if n else None
        return PairComparison(*names, single, None, None, None, is_real, n, "", answer="untested")
    # Shares differ by at most 1, so intervals are limited to it.
    limit = 1.0 if kind.is_share else math.inf
    low, high = max(low, -limit), min(high, limit)
    bound = min(float(tests.bound[index]), limit) if np.isfinite(tests.bound[index]) else None
    is_small = kind.margin is not None and bound is not None and bound <= kind.margin
    answer: Answer = "same" if is_small else "better" if is_real else "undecided"
    return PairComparison(
        *names, difference, low, high, p_value, is_real, n, "", answer=answer, bound=bound
    )


def _repeats_to_decide(
    tests: PairedTests, index: int, *, margin: float | None, share: float, has_answers: bool
) -> Span:
    """Return the fewest and most repeats, including present ones, that decide the pair.

    Future repeats are simulated 400 times: the true difference is drawn from its normal
    distribution around the mean, the variance from its chi-square distribution. After every five
    repeats each simulation is tested like `paired_tests`, at the present level. The variance due
    to images is measured once they are answered twice; until then each simulation draws a share of
    its upper bound. The range covers 80 % of the simulations; its end is None if more than a tenth
    is undecided after 200 repeats.
    """
    mean, variance, floor, degrees = (
        float(array[index])
        for array in (tests.difference, tests.variance, tests.floor, tests.degrees)
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

    def later(quantile: float) -> Floats:
        upper = 1 - t_tail(np.array(quantile), np.array(degrees))
        return t_quantile(upper, degrees * (looks - 1) / (n - 1))

    floors: Floats | float = true_variance * unmeasured_floor(looks, share)
    if has_answers:
        most = true_variance * np.maximum(share - 1 / looks, 0.0)
        is_answered_twice = n * share >= 2 or not share
        floors = floor + (0.0 if is_answered_twice else rng.random((_N_COURSES, 1)) * most)
    errors = np.sqrt(true_variance / looks + floors)
    is_decided = np.abs(means) > later(float(tests.quantile[index])) * errors
    if margin is not None:
        bounds = np.abs(means) + later(float(tests.bound_quantile[index])) * errors
        is_decided |= bounds <= margin
    first = np.where(is_decided.any(axis=1), looks[is_decided.argmax(axis=1)], np.inf)
    low, high = np.quantile(first, _IN_RANGE, method="inverted_cdf")
    last = int(high) if np.isfinite(high) else None
    return int(low) if np.isfinite(low) else MOST_REPEATS + 1, last
