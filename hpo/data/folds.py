"""Training and validation images of each repeat, with every patient on one side."""

from collections.abc import Callable, Sequence
from functools import cache as memoize

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import (
    N_FOLDS,
    TEST,
    VALIDATION,
    Dataset,
    Fold,
    Indices,
    Pixels,
    TrainingData,
)
from hpo.errors import DataError


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

    names, labels = dataset.class_names, dataset.labels[pool]
    own = [np.flatnonzero(dataset.split[pool] == VALIDATION)] if dataset.has_validation else []
    if dataset.folds is not None and not own:
        folds = dataset.folds[pool]
        own = [np.flatnonzero(folds == fold) for fold in range(dataset.n_folds)]
    return TrainingData(
        fingerprint=dataset.fingerprint,
        labels=labels,
        patients=dataset.patients[pool],
        n_test=len(test),
        pixels_at=pixels_at,
        fold=_own_splits(labels, own) if own else _folds(names, labels, dataset.patients[pool]),
    )


def _own_splits(
    labels: NDArray[np.uint8], validations: Sequence[Indices]
) -> Callable[[int], Fold]:
    every = np.arange(len(labels))
    folds = [
        Fold(train=np.setdiff1d(every, validation), validation=validation)
        for validation in validations
    ]
    if not all(_has_every_class(labels, fold) for fold in folds):
        raise DataError(
            "The validation split of this data set, or what it leaves for training, lacks a "
            "class: give both splits images of every class, or remove the validation split."
        )
    return lambda repeat: folds[repeat % len(folds)]


def _folds(
    names: Sequence[str], labels: NDArray[np.uint8], patients: NDArray[np.int64]
) -> Callable[[int], Fold]:
    n_of_each = {
        name: len(np.unique(patients[labels == label])) for label, name in enumerate(names)
    }
    if min(n_of_each.values()) < N_FOLDS:
        found = ", ".join(f"{n} of {name}" for name, n in n_of_each.items())
        raise DataError(
            f"Five folds need at least {N_FOLDS} patients of each class outside the test split, "
            f"but there are {found}: add images, or a validation split (a folder val beside "
            "train)."
        )

    @memoize
    def draw(seed: int) -> list[Fold]:
        from sklearn.model_selection import StratifiedGroupKFold  # Half a second, when it trains.

        splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
        splits = splitter.split(np.zeros(len(labels)), labels, patients)
        folds = [Fold(train=train, validation=validation) for train, validation in splits]
        if not all(_has_every_class(labels, fold) for fold in folds):
            raise DataError(
                f"A fold by patient would lack images of {' or '.join(names)}: too many of them "
                "belong to few patients. Add images of other patients, or a validation split (a "
                "folder val beside train)."
            )
        return folds

    return lambda repeat: draw(repeat // N_FOLDS)[repeat % N_FOLDS]


def _has_every_class(labels: NDArray[np.uint8], fold: Fold) -> bool:
    every = np.unique(labels)
    parts = (fold.train, fold.validation)
    return all(np.array_equal(np.unique(labels[part]), every) for part in parts)
