"""Intervals for other trainings and other patients, both at once.

Repeats and images are crossed, as are readers and cases in reader studies, and the variances are
estimated as there (Obuchowski and Rockette 1995, Communications in Statistics 24; Hillis 2007,
Statistics in Medicine 26): over repeats the variance that `hpo.stats.mean_interval` uses, over
images the covariance between repeats under a bootstrap by patient. The interaction of an image
with one training is contained in the first part. The two margins, each with Student's t, add in
squares (Howe 1974, Journal of the American Statistical Association 69). docs/evaluation.md has the
measured coverage.

Repeat i has the same seed, fold and test images in every configuration, so a pair is judged by the
differences of its repeats. p-values are corrected for the number of pairs (Holm 1979), and each
interval has the level at which its pair was tested. With one training each, the exact McNemar test
is also computed, and the larger p-value is used; pooling the answers of several repeats would
treat one test set as several.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hpo.evaluate.metrics import Bools
from hpo.stats import Interval, PairComparison, mcnemar
from hpo.stats.intervals import WIDEST, Floats, t_quantile
from hpo.stats.paired import step_down
from hpo.stats.sentences import label
from hpo.tables import count

Answers: TypeAlias = Mapping[int, tuple[Mapping[str, Floats], Bools]]
"""By repeat: each metric under every resample `(1 + resamples,)`, and the correct images."""

LEVEL: Final = 0.95

_ALPHA: Final = 1 - LEVEL
_FEW: Final = 3
_N_RESAMPLES: Final = 1000
_HALVINGS: Final = 50
_LARGEST: Final = 700.0
"""A larger exponent overflows."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over repeats with its two standard errors; NaN if undefined.

    `repeat_error` is 0 for one repeat: the estimate is then about that one model.
    """

    mean: float
    deviation: float
    repeat_error: float
    image_error: float
    n_repeats: int
    n_patients: int


def draw_weights(patients: ArrayLike, *, seed: int) -> Floats:
    """Return image weights `(1 + resamples, images)`: all ones, then one row per resample.

    A resample draws patients with replacement, with all their images.
    """
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    chances = np.full(len(names), 1 / max(len(names), 1))
    counts = np.random.default_rng(seed).multinomial(len(names), chances, size=_N_RESAMPLES)
    return np.concatenate([np.ones((1, len(patient))), counts[:, patient].astype(np.float64)])


def estimate(draws: Floats, *, overlap: float, n_patients: int) -> Estimate:
    """Return mean and errors of draws `(1 + resamples, repeats)`, actual values in the first row.

    `overlap` is n_validation / n_train. Resamples in which a repeat is undefined (an AUROC of one
    class) are left out.
    """
    values, resampled = draws[0], draws[1:]
    resampled = resampled[np.isfinite(resampled).all(axis=1)]
    n, mean = len(values), float(values.mean())
    deviation = repeat_error = image_error = math.nan
    if len(resampled) >= 2 and math.isfinite(mean):
        covariance = np.cov(resampled, rowvar=False).reshape(n, n)
        repeats, shared = 0.0, float(covariance.mean())
        if n > 1:
            deviation = float(values.std(ddof=1))
            repeats = deviation**2 * (1 / n + overlap)
            shared = float((covariance.sum() - covariance.trace()) / (n * (n - 1)))
        repeat_error = math.sqrt(repeats)
        # Never less than the variance of these models over patients.
        image_error = math.sqrt(max(shared, float(covariance.mean()) - repeats, 0.0))
    return Estimate(
        mean=mean,
        deviation=deviation,
        repeat_error=repeat_error,
        image_error=image_error,
        n_repeats=n,
        n_patients=n_patients,
    )


def margin(found: Estimate, *, level: float = LEVEL) -> float:
    """Return half the width of the interval; NaN if there is none."""
    if found.n_patients < 2 or found.repeat_error + found.image_error == 0:
        return math.nan
    upper = (1 + level) / 2
    images = float(t_quantile(upper, found.n_patients - 1)) * found.image_error
    if found.n_repeats < 2:
        return images
    return math.hypot(images, float(t_quantile(upper, found.n_repeats - 1)) * found.repeat_error)


def metric_interval(found: Estimate, *, is_share: bool = True) -> Interval:
    """Return the interval of a number between 0 and 1, or of a loss above 0.

    It uses the logit scale, or the log scale for a loss; there is none for exactly 0 or 1.
    """
    mean, half = found.mean, margin(found)
    slope = mean * (1 - mean) if is_share else mean
    if not (slope > 0 and math.isfinite(half)):
        return _interval(found, math.nan, math.nan)
    center, reach = math.log(mean / (1 - mean) if is_share else mean), half / slope
    back = _expit if is_share else math.exp
    return _interval(found, back(center - reach), back(min(center + reach, _LARGEST)))


def difference_interval(
    found: Estimate, *, level: float = LEVEL, is_share: bool = True
) -> Interval:
    """Return the interval of a difference; none if all resamples are equal."""
    mean, half, most = found.mean, margin(found, level=level), 1.0 if is_share else math.inf
    low, high = np.clip([mean - half, mean + half], -most, most)
    return _interval(found, float(low), float(high))


def p_value(found: Estimate) -> float:
    """Return the largest p at which the interval of level 1 - p still contains zero."""
    if not math.isfinite(margin(found)):
        return math.nan if found.mean else 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds_zero = middle > 0 and margin(found, level=1 - middle) >= abs(found.mean)
        low, high = (middle, high) if holds_zero else (low, middle)
    return high


def compare(
    answers: Mapping[Hashable, Answers],
    pairs: Sequence[tuple[Hashable, Hashable]],
    *,
    overlap: float,
    n_patients: int,
    n_tests: int | None = None,
) -> tuple[PairComparison, ...]:
    """Compare the test accuracies of pairs of configurations by their common repeats.

    `n_tests` is the number of pairs that these were selected from: p-values are then corrected for
    all of them (Bonferroni).
    """
    found = _steady([_difference(answers[a], answers[b], overlap, n_patients) for a, b in pairs])
    # NaN, as for test images of one patient, stays NaN: `np.maximum` passes it on.
    p_values = np.array(
        [math.nan if one is None else np.maximum(exact, p_value(one)) for one, exact in found]
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


def compare_metric(
    answers: Sequence[Answers], other: Answers, metric: str, *, overlap: float, n_patients: int
) -> list[Interval | None]:
    """Return a metric of each minus that of another over their common repeats, None without any.

    The levels are not corrected for the number of comparisons.
    """
    found = _steady([_difference(other, one, overlap, n_patients, metric) for one in answers])
    intervals = list[Interval | None]()
    for one, exact in found:
        is_unclear = metric == "accuracy" and exact >= _ALPHA
        interval = difference_interval(one, is_share=metric != "log_loss") if one else None
        intervals.append(_with_zero(interval) if interval and is_unclear else interval)
    return intervals


def _with_zero(interval: Interval) -> Interval:
    """Widen an interval to zero: McNemar's test may be more conservative, and must not differ."""
    if interval.low is None or interval.high is None:
        return interval
    return replace(interval, low=min(interval.low, 0.0), high=max(interval.high, 0.0))


def _steady(
    differences: Sequence[tuple[Estimate | None, float]],
) -> list[tuple[Estimate | None, float]]:
    """Judge few repeats by the largest error over repeats in the sweep.

    Trainings that collapse half of the time can look steady in three repeats; `hpo.stats.paired`
    does the same.
    """
    largest = max((one.repeat_error for one, _ in differences if one), default=0.0)
    return [
        (replace(one, repeat_error=largest) if one and 1 < one.n_repeats <= _FEW else one, exact)
        for one, exact in differences
    ]


def _difference(
    a: Answers, b: Answers, overlap: float, n_patients: int, metric: str = "accuracy"
) -> tuple[Estimate | None, float]:
    """Return `b` minus `a` over their common repeats, and for one repeat McNemar's p-value."""
    common = [repeat for repeat in a if repeat in b]
    if not common:
        return None, 0.0
    draws = np.stack([b[repeat][0][metric] - a[repeat][0][metric] for repeat in common], axis=1)
    found = estimate(draws, overlap=overlap, n_patients=n_patients)
    right_a, right_b = a[common[0]][1], b[common[0]][1]
    n = len(common)
    if n == 1:
        return found, mcnemar(right_a, right_b)
    # Differences of counts sometimes agree by chance: their deviation is at least that of 0 and
    # one image. Two repeats agree too often to estimate a deviation: there the step is the
    # difference itself, and nothing is proved.
    step = 1 / len(right_a)
    least = max(step, abs(found.mean)) if n == 2 else step
    error = least / math.sqrt(2) * math.sqrt(1 / n + overlap)
    return replace(found, repeat_error=max(found.repeat_error, error)), 0.0


def _comparison(
    a: Hashable, b: Hashable, found: Estimate | None, *, p: float, level: float
) -> PairComparison:
    if found is None:
        names = f"{label(a)} vs {label(b)}"
        said = f"{names}: not comparable on the test, because they share no repeat."
        return PairComparison(a, b, None, None, None, None, False, 0, said, "untested")
    interval, is_real = difference_interval(found, level=level), p < _ALPHA
    interval = interval if is_real else _with_zero(interval)
    return PairComparison(
        a=a,
        b=b,
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=p if math.isfinite(p) else None,
        is_real=is_real,
        n_pairs=interval.n,
        sentence=_sentence(label(a), label(b), interval, is_real),
        answer="better" if is_real else "undecided",
    )


def _sentence(a: str, b: str, interval: Interval, is_real: bool) -> str:
    low, high, mean = interval.low, interval.high, interval.mean or 0.0
    winner, loser = (b, a) if mean > 0 else (a, b)
    better = f"{winner} has a higher test accuracy than {loser}, by {100 * abs(mean):.1f} points"
    if low is None or high is None:
        if not mean:
            return f"{a} vs {b}: equally many correct answers on the test."
        if not is_real:
            return f"{a} vs {b}: an interval needs test images of two patients or more."
        return f"{better}."
    if is_real:
        least, most = sorted((100 * abs(low), 100 * abs(high)))
        text = f"{better} (95 % interval {least:.1f} to {most:.1f})."
    else:
        bounds = f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f} points)"
        few = f"with {count(interval.n, 'repeat')}, too few for a useful interval"
        what = few if high - low > WIDEST else bounds
        text = f"{a} vs {b}: no significant difference on the test {what}."
    if interval.n == 1:
        text += " With one training each, this compares two models, not two configurations."
    return text


def _interval(found: Estimate, low: float, high: float) -> Interval:
    """Return an interval, without bounds if one of them is NaN."""
    mean, deviation = (x if math.isfinite(x) else None for x in (found.mean, found.deviation))
    is_point = high - low < 1e-9  # All resamples are equal within rounding.
    if math.isnan(low) or math.isnan(high) or is_point:
        return Interval(mean, None, None, deviation, found.n_repeats)
    return Interval(mean, low, high, deviation, found.n_repeats)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -_LARGEST else 0.0
