"""Which differences of test accuracy between configurations are significant.

Repeat i has the same seed, fold and test images in every configuration, so a pair is judged by
the differences of its repeats, with the errors of `intervals`. p-values are corrected for the
number of pairs (Holm 1979), and each interval is taken at the level at which its pair was tested.
With one training each, the exact McNemar test is made as well, and the larger p-value counts; over
the pooled answers of several repeats it would take one test set for many.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from hpo.evaluate.intervals import LEVEL, Estimate, difference_interval, estimate, p_value
from hpo.evaluate.metrics import Bools
from hpo.stats import Interval, PairComparison, mcnemar
from hpo.stats.intervals import Floats
from hpo.stats.paired import step_down
from hpo.stats.sentences import label

Answers: TypeAlias = Mapping[int, tuple[Floats, Bools]]
"""By repeat: its accuracy under every resample `(1 + resamples,)`, which images are right."""

_ALPHA: Final = 1 - LEVEL
_FEW: Final = 3


def compare(
    answers: Mapping[Hashable, Answers],
    pairs: Sequence[tuple[Hashable, Hashable]],
    *,
    overlap: float,
    n_patients: int,
    n_tests: int | None = None,
) -> tuple[PairComparison, ...]:
    """Compare the test accuracies of pairs of configurations by their common repeats.

    `n_tests` says that these pairs were selected from so many: they are then corrected for all of
    them (Bonferroni), which takes no p-value of the others.
    """
    found = [_difference(answers[a], answers[b], overlap, n_patients) for a, b in pairs]
    # Trainings that collapse half of the time look steady in three repeats now and then: few
    # repeats are judged by the largest error in the sweep, much as in `hpo.stats.paired`.
    largest = max((one.repeat_error for one, _ in found if one), default=0.0)
    found = [
        (replace(one, repeat_error=largest) if one and 1 < one.n_repeats <= _FEW else one, exact)
        for one, exact in found
    ]
    p_values = np.array(
        [math.nan if one is None else max(exact, p_value(one)) for one, exact in found]
    )
    divisors = np.full_like(p_values, n_tests or 1)
    if n_tests is not None:
        p_values = np.minimum(p_values * n_tests, 1.0)
    elif pairs:
        p_values, divisors = step_down(p_values, alpha=_ALPHA)
    return tuple(
        _comparison(a, b, one, p=float(p), level=1 - _ALPHA / float(divisor))
        for (a, b), (one, _), p, divisor in zip(pairs, found, p_values, divisors, strict=True)
    )


def _difference(
    a: Answers, b: Answers, overlap: float, n_patients: int
) -> tuple[Estimate | None, float]:
    """Return `b` minus `a` over their common repeats, and of one repeat McNemar's p-value."""
    common = [repeat for repeat in a if repeat in b]
    if not common:
        return None, 0.0
    draws = np.stack([b[repeat][0] - a[repeat][0] for repeat in common], axis=1)
    found = estimate(draws, overlap=overlap, n_patients=n_patients)
    right_a, right_b = a[common[0]][1], b[common[0]][1]
    n = len(common)
    if n == 1:
        return found, mcnemar(right_a, right_b)
    # Differences that are counts agree now and then by chance: their deviation is at least that of
    # 0 and one image. Two repeats agree too often to show their own deviation: there the step is
    # the difference itself, and nothing is proved.
    step = 1 / len(right_a)
    least = max(step, abs(found.mean)) if n == 2 else step
    error = least / math.sqrt(2) * math.sqrt(1 / n + overlap)
    return replace(found, repeat_error=max(found.repeat_error, error)), 0.0


def _comparison(
    a: Hashable, b: Hashable, found: Estimate | None, *, p: float, level: float
) -> PairComparison:
    if found is None:
        names = f"{label(a)} vs {label(b)}"
        said = f"{names}: not comparable on the test because they have no repeat in common."
        return PairComparison(a, b, None, None, None, None, False, 0, said, "untested")
    interval, is_real = difference_interval(found, level=level), p < _ALPHA
    low, high = interval.low, interval.high
    if not is_real and low is not None and high is not None:
        # McNemar's test may find less than the interval does: they must not contradict.
        low, high = min(low, 0.0), max(high, 0.0)
    return PairComparison(
        a=a,
        b=b,
        difference=interval.mean,
        low=low,
        high=high,
        p_value=p if math.isfinite(p) else None,
        is_real=is_real,
        n_pairs=interval.n,
        sentence=_sentence(label(a), label(b), replace(interval, low=low, high=high), is_real),
        answer="better" if is_real else "undecided",
    )


def _sentence(a: str, b: str, interval: Interval, is_real: bool) -> str:
    low, high, mean = interval.low, interval.high, interval.mean
    if low is None or high is None or mean is None:
        return f"{a} vs {b}: the same answers on the test."
    if is_real:
        winner, loser = (b, a) if mean > 0 else (a, b)
        least, most = sorted((100 * abs(low), 100 * abs(high)))
        text = (
            f"{winner} has a higher test accuracy than {loser}, by {100 * abs(mean):.1f} points "
            f"(95 % interval {least:.1f} to {most:.1f})."
        )
    else:
        bounds = f"{100 * low:+.1f} to {100 * high:+.1f} points"
        text = f"{a} vs {b}: no significant difference on the test (95 % interval {bounds})."
    if interval.n == 1:
        text += " With one training each, this compares two models, not two configurations."
    return text
