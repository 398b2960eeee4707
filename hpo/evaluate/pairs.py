"""Which differences of test accuracy between configurations are real.

Repeat i has the same seed, fold and test images in every configuration, so a pair is judged by
the differences of its repeats, with the errors of `crossed`: other trainings and other patients.
p-values are corrected for the number of pairs (Holm 1979), and each interval is taken at the level
at which Holm's procedure tested its pair, as `hpo.stats.compare_sweep` does. The pairs
of the best are corrected for those of all, as `hpo.stats.compare_best` does.

With one training each only these two models are compared, on the same images: there the exact
McNemar test has its say too, and the larger p-value counts. McNemar's test over the pooled answers
of several repeats would take one test set for many, and is not done.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hpo.evaluate.configurations import Answered
from hpo.evaluate.crossed import LEVEL, Spread, difference_interval, p_value, spread
from hpo.stats import Interval, PairComparison, mcnemar
from hpo.stats.intervals import Floats
from hpo.stats.paired import holm
from hpo.stats.sentences import label

Names = tuple[Hashable, Hashable]

_ALPHA: Final = 1 - LEVEL
_FEW: Final = 3


@dataclass(frozen=True)
class _Pair:
    """The paired difference of two configurations, `b` minus `a`; `exact` is McNemar's p-value."""

    a: Hashable
    b: Hashable
    spread: Spread | None
    exact: float = 0.0

    @property
    def p_value(self) -> float:
        return math.nan if self.spread is None else max(self.exact, p_value(self.spread))


def compare(
    answers: Mapping[Hashable, Answered],
    pairs: Sequence[Names],
    *,
    overlap: float,
    n_patients: int,
    n_tests: int | None = None,
) -> tuple[PairComparison, ...]:
    """Compare the test accuracies of pairs of configurations by their common repeats.

    `n_tests` says that these pairs stand for so many: they are then corrected for all of them as
    Bonferroni did, which takes no p-value of the others.
    """
    found = _cautious(
        [
            _pair((a, b), answers[a], answers[b], overlap=overlap, n_patients=n_patients)
            for a, b in pairs
        ]
    )
    corrected, divisors = _corrected([pair.p_value for pair in found], n_tests)
    return tuple(
        _compared(pair, float(p), level=1 - _ALPHA / float(divisor))
        for pair, p, divisor in zip(found, corrected, divisors, strict=True)
    )


def _pair(names: Names, a: Answered, b: Answered, *, overlap: float, n_patients: int) -> _Pair:
    common = [i for i in a.repeats if i in b.repeats]
    if not common:
        return _Pair(*names, None)
    of_a, of_b = ([x.repeats.index(i) for i in common] for x in (a, b))
    draws = b.accuracy[:, of_b] - a.accuracy[:, of_a]
    found = spread(draws, overlap=overlap, n_patients=n_patients)
    if len(common) > 1:
        return _Pair(*names, _with_least_error(found, overlap, step=1 / a.is_right.shape[1]))
    return _Pair(*names, found, mcnemar(a.is_right[of_a[0]], b.is_right[of_b[0]]))


def _cautious(pairs: list[_Pair]) -> list[_Pair]:
    """Judge a pair of few repeats by the largest error over repeats in its sweep.

    Trainings that collapse half of the time look steady in three repeats now and then; so
    `hpo.stats.compare_sweep` does it too.
    """
    errors = [pair.spread.repeat_error for pair in pairs if pair.spread]
    largest = max(errors, default=0.0)
    return [
        replace(pair, spread=replace(pair.spread, repeat_error=largest))
        if pair.spread and 1 < pair.spread.n_repeats <= _FEW
        else pair
        for pair in pairs
    ]


def _with_least_error(found: Spread, overlap: float, *, step: float) -> Spread:
    """Raise the deviation over repeats to that of 0 and one image.

    Differences that are counts agree now and then by chance. Two repeats agree too often to show
    their own deviation: there the step is the difference itself, and nothing is proved.
    """
    least = max(step, abs(found.mean)) if found.n_repeats == 2 else step
    error = least / math.sqrt(2) * math.sqrt(1 / found.n_repeats + overlap)
    return replace(found, repeat_error=max(found.repeat_error, error))


def _corrected(p_values: list[float], n_tests: int | None) -> tuple[Floats, Floats]:
    """Return corrected p-values, and by how many tests alpha was divided for each."""
    found = np.array(p_values)
    if n_tests is not None:
        return np.minimum(found * n_tests, 1.0), np.full_like(found, n_tests)
    return holm(found, alpha=_ALPHA) if p_values else (found, found)


def _compared(pair: _Pair, p: float, *, level: float) -> PairComparison:
    if pair.spread is None:
        return PairComparison(
            a=pair.a,
            b=pair.b,
            difference=None,
            low=None,
            high=None,
            p_value=None,
            is_real=False,
            n_pairs=0,
            sentence=f"no verdict on {label(pair.a)} and {label(pair.b)}: no repeat of both",
        )
    is_real = p < _ALPHA
    interval = difference_interval(pair.spread, level=level)
    low, high = interval.low, interval.high
    if not is_real and low is not None and high is not None:
        # McNemar's test may find less than the interval does: they must not contradict
        interval = replace(interval, low=min(low, 0.0), high=max(high, 0.0))
    return PairComparison(
        a=pair.a,
        b=pair.b,
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=p if math.isfinite(p) else None,
        is_real=is_real,
        n_pairs=pair.spread.n_repeats,
        sentence=_sentence(pair, interval, is_real=is_real),
    )


def _sentence(pair: _Pair, interval: Interval, *, is_real: bool) -> str:
    a, b = label(pair.a), label(pair.b)
    if interval.n == 1:
        a, b = f"the model of {a}", f"the model of {b}"
    low, high, mean = interval.low, interval.high, interval.mean
    if low is None or high is None or mean is None:
        return f"no difference between {a} and {b} on the test: the same answers"
    if is_real:
        winner, loser = (b, a) if mean > 0 else (a, b)
        bounds = sorted((abs(low), abs(high)))
        text = (
            f"{winner} beats {loser} on the test by {100 * abs(mean):.1f} points "
            f"({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"
        )
    else:
        text = (
            f"no difference between {a} and {b} can be told on the test "
            f"({100 * low:+.1f} to {100 * high:+.1f})"
        )
    if interval.n == 1:
        text += "; one training each says nothing of other trainings"
    return text
