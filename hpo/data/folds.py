"""Training and validation images of each repeat, with every patient on one side."""

from collections.abc import Callable
from functools import cache as memoize
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import (
    CLASSES,
    TEST,
    VALIDATION,
    Dataset,
    Fold,
    Indices,
    Pixels,
    TrainingData,
)
from hpo.errors import DataError

N_FOLDS: Final = 5


def seal(dataset: Dataset) -> TrainingData:
    """Return what training may see of a data set: no label of a test image.

    Raises:
        DataError: too few patients of a class for five folds, or the source's own validation
            split lacks a class.
    """
    pool, test = np.flatnonzero(dataset.split != TEST), dataset.where(TEST)
    order = np.concatenate([pool, test])
    is_in_order = np.array_equal(order, np.arange(len(order)))

    def pixels_at(size: int) -> Pixels:
        pixels = dataset.pixels_at(size)
        return pixels if is_in_order else pixels[order]  # The mapped file itself, not a copy.

    labels = dataset.labels[pool]
    own = np.flatnonzero(dataset.split[pool] == VALIDATION)
    return TrainingData(
        fingerprint=dataset.fingerprint,
        labels=labels,
        patients=dataset.patients[pool],
        n_test=len(test),
        pixels_at=pixels_at,
        fold=_own_split(labels, own) if len(own) else _folds(labels, dataset.patients[pool]),
    )


def _own_split(labels: NDArray[np.uint8], validation: Indices) -> Callable[[int], Fold]:
    fold = Fold(train=np.setdiff1d(np.arange(len(labels)), validation), validation=validation)
    if not _has_both_classes(labels, fold):
        raise DataError(
            "The validation split of this data set, or what it leaves for training, has images of "
            "one class only: give both splits both classes, or remove the validation split."
        )
    return lambda _repeat: fold


def _folds(labels: NDArray[np.uint8], patients: NDArray[np.int64]) -> Callable[[int], Fold]:
    n_normal, n_pneumonia = (len(np.unique(patients[labels == label])) for label in CLASSES)
    if min(n_normal, n_pneumonia) < N_FOLDS:
        raise DataError(
            f"Five folds need at least {N_FOLDS} patients of each class outside the test split, "
            f"but there are {n_normal} normal and {n_pneumonia} with pneumonia: add images, or a "
            "validation split (a folder val beside train)."
        )

    @memoize
    def draw(seed: int) -> list[Fold]:
        from sklearn.model_selection import StratifiedGroupKFold  # Half a second, when it trains.

        splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
        splits = splitter.split(np.zeros(len(labels)), labels, patients)
        folds = [Fold(train=train, validation=validation) for train, validation in splits]
        if not all(_has_both_classes(labels, fold) for fold in folds):
            raise DataError(
                "A fold by patient would lack normal or pneumonia images: too many of them belong "
                "to few patients. Add images of other patients, or a validation split (a folder "
                "val beside train)."
            )
        return folds

    return lambda repeat: draw(repeat // N_FOLDS)[repeat % N_FOLDS]


def _has_both_classes(labels: NDArray[np.uint8], fold: Fold) -> bool:
    return all(len(np.unique(labels[part])) == 2 for part in (fold.train, fold.validation))
