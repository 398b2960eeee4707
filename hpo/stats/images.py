"""Answers image by image: McNemar's test, statistics of resamples, variance due to images.

A statistic is a function of image weights `(resamples, images)` that returns `(resamples,)`: an
image that occurs twice in a resample has weight 2. A statistic of 2,000 resamples is one call.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpo.stats.intervals import Floats
from hpo.stats.paired import Pairs

Statistic: TypeAlias = Callable[[Floats], Floats]


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Return the exact two-sided p-value for two models being equally accurate.

    Only images that exactly one model classifies correctly matter; under the null hypothesis each
    falls to either side with probability one half (McNemar 1947).
    """
    from scipy.special import bdtr

    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def share(is_so: ArrayLike, *, among: ArrayLike | None = None) -> Statistic:
    """Return a statistic: the mean of values per image, among all images or some.

    `share(correct)` is the accuracy, `share(correct, among=labels == 1)` the sensitivity,
    `share((p - labels) ** 2)` the Brier score.
    """
    values = np.asarray(is_so, dtype=np.float64)
    counts = np.ones_like(values) if among is None else np.asarray(among, dtype=np.float64)

    def statistic(weights: Floats) -> Floats:
        return _ratio(weights @ (values * counts), weights @ counts)

    return statistic


def auroc(labels: ArrayLike, probabilities: ArrayLike) -> Statistic:
    """Return the statistic: the area under the ROC curve; equal probabilities count half.

    That is the rank statistic of Mann and Whitney (1947).
    """
    is_positive = np.asarray(labels).astype(bool)
    _, group = np.unique(np.asarray(probabilities), return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))

    def statistic(weights: Floats) -> Floats:
        ordered = weights[:, order]
        positive = np.add.reduceat(ordered * is_positive[order], starts, axis=1)
        negative = np.add.reduceat(ordered * ~is_positive[order], starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return _ratio((positive * below).sum(axis=1), pairs)

    return statistic


def image_variance(right: Floats, pairs: Pairs, patients: ArrayLike) -> tuple[Floats, Floats]:
    """Measure the contribution of the images to the variance of differences between values.

    Returns two parts for each pair, `(pairs,)`, NaN if not measured: the variance that remains for
    any number of answers to the same images, beyond the part contained in differences between
    repeats; and the variance of one repeat's difference due to the choice of its images.

    `right` `(values, repeats, images)` is 1 for a correct answer, 0 for a wrong one, NaN if the
    repeat was not scored on the image; `patients` `(images,)` is the patient of each image.

    The remaining part is estimated from images answered in two or more repeats: the mean product
    of different repeats' differences, minus the mean of all images. Over folds the differences
    between repeats already contain `1 / rounds` of it, which is subtracted; it counts in full if
    every repeat is scored on the same images.
    """
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    order = np.argsort(patient, kind="stable")
    starts = np.flatnonzero(np.diff(patient[order], prepend=-1))
    ordered = right[..., order]
    parts = [_of_pair(ordered[b] - ordered[a], starts) for a, b in pairs]
    persistent, sampled = np.array(parts).reshape(-1, 2).T
    return persistent, sampled


def _of_pair(differences: Floats, starts: NDArray[np.intp]) -> tuple[float, float]:
    """Return both parts for one pair; the images are sorted by patient."""
    is_scored = np.isfinite(differences)
    n_answers = is_scored.sum(axis=0)
    n_repeats, n_images = is_scored.any(axis=1).sum(), (n_answers > 0).sum()
    if not n_repeats:
        return np.nan, np.nan
    values = np.nan_to_num(differences)
    mean = values.sum() / is_scored.sum()
    # For each repeat, the sum over a patient's images minus its expectation.
    by_patient = np.add.reduceat(values - mean * is_scored, starts, axis=1)
    n_rounds = np.add.reduceat(n_answers, starts) / np.add.reduceat(n_answers > 0, starts).clip(1)
    is_repeated = n_rounds > 1
    total, squares = by_patient.sum(axis=0), (by_patient**2).sum(axis=0)
    products = (total**2 - squares)[is_repeated] / (n_rounds * (n_rounds - 1))[is_repeated]
    n_repeated = np.add.reduceat(n_answers > 0, starts)[is_repeated].sum()
    rounds = is_scored.sum() / n_images
    is_fixed = rounds == n_repeats
    remaining = max(0.0, products.sum() / n_repeated) / n_images if n_repeated else 0.0
    per_repeat = is_scored.sum() / n_repeats
    sampled = squares.sum() / n_repeats / per_repeat**2
    return float(remaining if is_fixed else remaining * (1 - 1 / rounds)), float(sampled)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
