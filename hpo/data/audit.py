"""The audit of a data set: patients on both sides of a split, and duplicate images."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np

from hpo.data.dataset import SPLITS, TEST, Dataset, Indices, seal

_N_DRAWS: Final = 20
_SIDE: Final = 32
_ALIKE: Final = 0.995
_BLOCK: Final = 1024
_MOST_COMPARED: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Validation images, averaged over splits, and those whose patient is also in training."""

    n_validation: float
    n_with_sibling: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Images with equal or similar pixels, by file name, and their splits."""

    files: tuple[str, ...]
    splits: tuple[str, ...]
    has_different_labels: bool
    is_across_splits: bool


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The findings. `random_split` and `own_folds` are None where patients are not known.

    `own_folds` are the folds that trainings use. `shared_patients` contains one file of each
    patient who is both in the test set and outside it. `near_copies` are unequal pairs that
    correlate by 0.995 or more at 32 pixels: copies of another size, contrast or compression
    correlate by 0.997 or more, and no two of 2,400 X-rays of different patients by more than
    0.978. None if there are too many to compare.
    """

    random_split: Leak | None
    own_folds: Leak | None
    shared_patients: tuple[str, ...]
    n_bright_borders: int
    duplicates: tuple[Duplicates, ...]
    near_copies: tuple[Duplicates, ...] | None


def audit(dataset: Dataset) -> Audit:
    """Count images, patients, leaks and duplicates.

    Raises:
        DataError: the data set cannot be split into folds.
    """
    random_split, own_folds = _leaks(dataset) if dataset.has_patients else (None, None)
    test = dataset.where(TEST)
    tested, firsts = np.unique(dataset.patients[test], return_index=True)
    is_shared = np.isin(tested, dataset.patients[dataset.split != TEST])
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(dataset.digests):
        alike[digest].append(position)
    return Audit(
        random_split=random_split,
        own_folds=own_folds,
        shared_patients=tuple(dataset.files[i] for i in test[firsts[is_shared]]),
        duplicates=tuple(_group(dataset, equal) for equal in alike.values() if len(equal) > 1),
        n_bright_borders=dataset.n_bright_borders,
        near_copies=tuple(_near_copies(dataset)) if len(dataset) <= _MOST_COMPARED else None,
    )


def _leaks(dataset: Dataset) -> tuple[Leak, Leak]:
    """Measure random splits of a fifth of each class, as in most scripts, and the folds of hpo."""
    data = seal(dataset)
    patients = dataset.patients[dataset.split != TEST]

    def leak(validations: Sequence[Indices]) -> Leak:
        n_with_sibling = fmean(
            int(np.isin(patients[validation], np.delete(patients, validation)).sum())
            for validation in validations
        )
        n_validation = fmean(map(len, validations))
        share = n_with_sibling / n_validation
        return Leak(n_validation=n_validation, n_with_sibling=n_with_sibling, share=share)

    parts = [np.flatnonzero(data.labels == label) for label in range(data.n_classes)]
    drawn = []
    for seed in range(_N_DRAWS):
        random = np.random.default_rng(seed)
        fifths = [random.permutation(part)[: max(1, round(len(part) / 5))] for part in parts]
        drawn.append(np.concatenate(fifths))
    return leak(drawn), leak([data.fold(repeat).validation for repeat in range(dataset.n_folds)])


def _near_copies(dataset: Dataset) -> Iterator[Duplicates]:
    values = dataset.pixels_at(_SIDE).reshape(len(dataset), -1).astype(np.float32)
    values -= values.mean(1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK] @ values[start:].T
        for i, j in np.argwhere(np.triu(block, 1) > _ALIKE).tolist():
            first, second = start + i, start + j
            if dataset.digests[first] != dataset.digests[second]:
                yield _group(dataset, [first, second])


def _group(dataset: Dataset, positions: list[int]) -> Duplicates:
    splits = tuple(SPLITS[split] for split in np.unique(dataset.split[positions]))
    return Duplicates(
        files=tuple(dataset.files[position] for position in positions),
        splits=splits,
        has_different_labels=len(np.unique(dataset.labels[positions])) > 1,
        is_across_splits=len(splits) > 1,
    )
