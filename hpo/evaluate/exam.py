"""The test labels, read here and nowhere else, with the resamples that intervals are made from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpo.data import TEST, Dataset, Fold, seal
from hpo.errors import DataError
from hpo.evaluate.crossed import draw_weights
from hpo.stats.intervals import Floats

Labels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Exam:
    """Truth and resamples of the test images, and of the pool for the gap to validation.

    Weights are `(1 + resamples, images)`, of patients of the test and of the pool drawn apart.
    """

    labels: Labels
    weights: Floats
    n_patients: int
    pool_labels: Labels
    pool_weights: Floats
    fold: Callable[[int], Fold]
    overlap: float


def check_test(dataset: Dataset) -> None:
    """Check that there is a test to open.

    Raises:
        DataError: there is no test split, or it holds one class only.
    """
    test = dataset.where(TEST)
    if not len(test):
        raise DataError(
            f"{dataset.name} has no test split, so there is nothing to open. Put images into "
            "test/NORMAL and test/PNEUMONIA beside train, then start a new study on them."
        )
    kinds = np.unique(dataset.labels[test])
    if len(kinds) < 2:
        kind = "pneumonia" if kinds[0] else "normal"
        raise DataError(
            f"All {len(test)} test images of {dataset.name} are {kind}: with one class there is "
            "no sensitivity and specificity to tell. Add test images of the other class, then "
            "start a new study on them."
        )


def open_exam(dataset: Dataset, *, overlap: float) -> Exam:
    """Return the labels of the test with their resamples."""
    test, pool = dataset.where(TEST), np.flatnonzero(dataset.split != TEST)
    sealed = seal(dataset)
    return Exam(
        labels=dataset.labels[test],
        weights=draw_weights(dataset.patients[test], seed=0),
        n_patients=len(np.unique(dataset.patients[test])),
        pool_labels=sealed.labels,
        pool_weights=draw_weights(dataset.patients[pool], seed=1),
        fold=sealed.fold,
        overlap=overlap,
    )
