"""A data set, and the part that training may see: each patient is on one side of each fold."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache as memoize
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.errors import DataError

TRAIN: Final = 0
VALIDATION: Final = 1
TEST: Final = 2
SPLITS: Final = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}

NORMAL: Final = 0
PNEUMONIA: Final = 1
CLASS_NAMES: Final = ("normal", "pneumonia")
"""The default class names of data, records and weights."""

SYNTHETIC: Final = "It was trained on synthetic images and has never seen a real X-ray."
"""The warning on a model that was trained on the phantom."""

N_FOLDS: Final = 5

MAX_IMAGES: Final = 500_000
MAX_PIXELS: Final = 64_000_000
# Resizing takes memory by the longer side.
MAX_SIDE: Final = 20_000

Pixels: TypeAlias = NDArray[np.uint8]
Indices: TypeAlias = NDArray[np.int64]
Stored: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""An image as stored, in 8 or 16 bits."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Chest X-rays with labels, patients and the source's own split.

    `labels` `(n,)` index `class_names`; `split` `(n,)` is TRAIN, then VALIDATION, then TEST;
    `patients` `(n,)` has a number per patient in order of appearance, or per image if patients are
    unknown; `has_patients` is true if all are known, `patients_by` describes from what. `files`
    names each image in messages, `sizes` `(n, 2)` holds stored height and width, and `digests` are
    equal if the stored pixels are equal; `n_bright_borders` counts images that are much brighter
    at the border than in the center. `originals(positions)` reads images as stored, as 8-bit gray,
    one at a time; `pixels_at(size, least_bits=0)` returns read-only uint8 `(n, size, size)`,
    resized once and cached, of 16-bit images for a network that was trained on images with these
    bits. `notes` are sentences for the user on what was left out or assumed. `bits` is the used
    depth of 16-bit images, 0 if there are none. `folds` `(n,)` are those named by the source,
    counted from 0.

    The fingerprint covers the stored pixels, labels, split and which images share a patient, that
    is, everything a training can depend on, but not where the data are stored.
    """

    name: str
    source: str
    format: str
    fingerprint: str
    is_phantom: bool
    has_patients: bool
    patients_by: str
    labels: NDArray[np.uint8]
    class_names: tuple[str, ...]
    patients: NDArray[np.int64]
    split: NDArray[np.uint8]
    files: tuple[str, ...]
    sizes: NDArray[np.int64]
    digests: tuple[str, ...]
    n_bright_borders: int
    originals: Callable[[Sequence[int]], Iterator[Pixels]]
    pixels_at: Callable[..., Pixels]
    notes: tuple[str, ...] = ()
    bits: int = 0
    folds: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, split: int) -> Indices:
        """Return the positions of the images of a split."""
        return np.flatnonzero(self.split == split)

    @property
    def n_folds(self) -> int:
        """The number of splits into training and validation: one if the source has its own."""
        if self.has_validation:
            return 1
        return N_FOLDS if self.folds is None else int(self.folds.max()) + 1

    @property
    def has_validation(self) -> bool:
        """Whether the source has its own validation split."""
        return bool((self.split == VALIDATION).any())


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Positions of training and validation images in the pool, ascending."""

    train: Indices
    validation: Indices


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The part of a data set for code that trains, scores or selects: without test labels.

    The pool contains all images that are not test, in the order of the data set. `pixels_at(size)`
    returns uint8 `(n_pool + n_test, size, size)`: the pool, then the test images. `fold(i)` is the
    split into training and validation of repeat i: fold i mod 5 of the five-fold split by patient
    and class drawn with seed i // 5, or the source's own validation split. If `is_stressed`,
    trainings are also measured under the stress battery; `stressed_at(size)` returns the changed
    pool if another process computed it. `patients` `(n_pool,)` numbers the patient of each image;
    without it each image counts as a patient. `code` is the FILE.py:NAME of a custom model, if the
    command line or a space file named one: nothing else is run.
    """

    fingerprint: str
    labels: NDArray[np.uint8]
    n_test: int
    pixels_at: Callable[[int], Pixels]
    fold: Callable[[int], Fold]
    is_stressed: bool = False
    stressed_at: Callable[[int], Pixels] | None = None
    patients: NDArray[np.int64] | None = None
    code: str | None = None

    @property
    def n_classes(self) -> int:
        """The number of classes; all of them occur in the pool."""
        return int(self.labels.max()) + 1

    @property
    def n_pool(self) -> int:
        """The number of images that may be trained or validated on."""
        return len(self.labels)


def count_classes(names: Sequence[str], labels: NDArray[np.uint8]) -> dict[str, int]:
    """Count the images of each class by its name."""
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def limit_fault(height: int, width: int, n_images: int = 1) -> str | None:
    """Return a message if images are too large or too many, else None."""
    if height * width > MAX_PIXELS:
        return f"{width} x {height} pixels; the limit is {MAX_PIXELS:,} pixels"
    if max(height, width) > MAX_SIDE:
        return f"{width} x {height} pixels; the limit is {MAX_SIDE:,} pixels a side"
    if n_images > MAX_IMAGES:
        return f"{n_images:,} images; the limit is {MAX_IMAGES:,}"
    return None


def seal(dataset: Dataset) -> TrainingData:
    """Return the part of a data set that training may see: without test labels.

    Raises:
        DataError: too few patients of a class for five folds, or the source's own validation
            split lacks a class.
    """
    n_pool = int((dataset.split != TEST).sum())  # The test images follow it.
    labels, patients = dataset.labels[:n_pool], dataset.patients[:n_pool]
    own = [dataset.where(VALIDATION)] if dataset.has_validation else []
    if dataset.folds is not None and not own:
        folds = dataset.folds[:n_pool]
        own = [np.flatnonzero(folds == fold) for fold in range(dataset.n_folds)]
    return TrainingData(
        fingerprint=dataset.fingerprint,
        labels=labels,
        patients=patients,
        n_test=len(dataset) - n_pool,
        pixels_at=dataset.pixels_at,
        fold=_own_splits(labels, own) if own else _folds(dataset.class_names, labels, patients),
    )


def _own_splits(
    labels: NDArray[np.uint8], validations: Sequence[Indices]
) -> Callable[[int], Fold]:
    pool = np.arange(len(labels))
    folds = [
        Fold(train=np.setdiff1d(pool, validation), validation=validation)
        for validation in validations
    ]
    if not all(_has_every_class(labels, fold) for fold in folds):
        raise DataError(
            "The validation split of this data set, or the rest for training, lacks a class. Give "
            "both splits images of every class, or remove the validation split."
        )
    return lambda repeat: folds[repeat % len(folds)]


def _folds(
    names: Sequence[str], labels: NDArray[np.uint8], patients: NDArray[np.int64]
) -> Callable[[int], Fold]:
    n_of_each = {
        name: len(np.unique(patients[labels == label])) for label, name in enumerate(names)
    }
    if min(n_of_each.values()) < N_FOLDS:
        counts = ", ".join(f"{n} of {name}" for name, n in n_of_each.items())
        raise DataError(
            f"Five folds need at least {N_FOLDS} patients of each class outside the test split, "
            f"but there are {counts}. Add images, or a validation split (a folder val next to "
            "train)."
        )

    @memoize
    def draw(seed: int) -> list[Fold]:
        from sklearn.model_selection import StratifiedGroupKFold  # Takes half a second.

        splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
        splits = splitter.split(np.zeros(len(labels)), labels, patients)
        folds = [Fold(train=train, validation=validation) for train, validation in splits]
        if not all(_has_every_class(labels, fold) for fold in folds):
            raise DataError(
                f"A fold by patient would lack images of {' or '.join(names)}: too many of them "
                "belong to few patients. Add images of other patients, or a validation split (a "
                "folder val next to train)."
            )
        return folds

    return lambda repeat: draw(repeat // N_FOLDS)[repeat % N_FOLDS]


def _has_every_class(labels: NDArray[np.uint8], fold: Fold) -> bool:
    classes = np.unique(labels)
    parts = (fold.train, fold.validation)
    return all(np.array_equal(np.unique(labels[part]), classes) for part in parts)
