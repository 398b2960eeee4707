"""What a number would be with other trainings and other patients, both at once.

Repeats and images are crossed, as readers and cases are in reader studies, and the variances are
taken as there (Obuchowski and Rockette 1995, Communications in Statistics 24; Hillis 2007,
Statistics in Medicine 26): over repeats the variance that `hpo.stats.mean_interval` takes, over
images the covariance between repeats under a bootstrap by patient. What an image owes to one
training alone is in the first part already. The two margins, Student's t for each, add in squares
(Howe 1974, Journal of the American Statistical Association 69). docs/evaluation.md has the
measured coverage.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from hpo.stats import Interval
from hpo.stats.intervals import Floats, t_quantile

LEVEL: Final = 0.95

_N_RESAMPLES: Final = 1000
_HALVINGS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over repeats with its two standard errors. NaN where it is not defined.

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

    A resample draws patients with replacement, and all images of a patient come along.
    """
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    chances = np.full(len(names), 1 / max(len(names), 1))
    counts = np.random.default_rng(seed).multinomial(len(names), chances, size=_N_RESAMPLES)
    return np.concatenate([np.ones((1, len(patient))), counts[:, patient].astype(np.float64)])


def estimate(draws: Floats, *, overlap: float, n_patients: int) -> Estimate:
    """Return mean and errors of draws `(1 + resamples, repeats)`, the numbers in the first row.

    `overlap` is n_validation / n_train. Resamples in which a repeat has no value (an AUROC of one
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
        # Never less than the variance of these very models over patients.
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
    """Return half the width of the interval; NaN where there is none."""
    if found.n_patients < 2 or found.repeat_error + found.image_error == 0:
        return math.nan
    upper = (1 + level) / 2
    images = float(t_quantile(upper, found.n_patients - 1)) * found.image_error
    if found.n_repeats < 2:
        return images
    return math.hypot(images, float(t_quantile(upper, found.n_repeats - 1)) * found.repeat_error)


def share_interval(found: Estimate) -> Interval:
    """Return the interval of a number between 0 and 1; none where it is 0 or 1 throughout."""
    mean, half = found.mean, margin(found)
    slope = mean * (1 - mean)
    if not (slope > 0 and math.isfinite(half)):
        return _interval(found, math.nan, math.nan)
    center, reach = math.log(mean / (1 - mean)), half / slope
    return _interval(found, _expit(center - reach), _expit(center + reach))


def difference_interval(found: Estimate, *, level: float = LEVEL) -> Interval:
    """Return the interval of a difference of shares; none where every resample is the same."""
    mean, half = found.mean, margin(found, level=level)
    return _interval(found, mean - half, mean + half)


def p_value(found: Estimate) -> float:
    """Return the largest p at which the interval of level 1 - p still holds zero."""
    if not math.isfinite(margin(found)):
        return math.nan if found.mean else 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds_zero = middle > 0 and margin(found, level=1 - middle) >= abs(found.mean)
        low, high = (middle, high) if holds_zero else (low, middle)
    return high


def _interval(found: Estimate, low: float, high: float) -> Interval:
    """Cut an interval at -1 and 1; it has no bounds where these are NaN."""
    mean, deviation = (x if math.isfinite(x) else None for x in (found.mean, found.deviation))
    if not (math.isfinite(low) and math.isfinite(high)):
        return Interval(mean, None, None, deviation, found.n_repeats)
    return Interval(mean, max(-1.0, low), min(1.0, high), deviation, found.n_repeats)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
