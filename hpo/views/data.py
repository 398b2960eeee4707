"""Data sets as tables and as JSON: what they hold, and what an audit finds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Final

from hpo.data import Dataset, Fold
from hpo.data.audit import Audit, Leak, SplitCounts, count_splits
from hpo.tables import DASH, Column, Row, Table, count

_MOST_LINES: Final = 10
_MOST_INVERTED: Final = 0.1


def info_table(dataset: Dataset, folds: Sequence[Fold]) -> Table:
    """Return what a data set holds."""
    low, high = (f(axis=0) for f in (dataset.sizes.min, dataset.sizes.max))
    sizes = [f"{size[1]} x {size[0]}" for size in (low, high)]
    is_one = sizes[0] == sizes[1]
    parts = ", ".join(f"{len(fold.train)} + {len(fold.validation)}" for fold in folds)
    kind = "The source's own split" if dataset.has_validation else "Folds"
    return _splits_table(
        dataset,
        count_splits(dataset),
        [
            f"Image size: {sizes[0] if is_one else f'{sizes[0]} to {sizes[1]}, each resized'}",
            f"Patients: {'known' if dataset.has_patients else 'unknown'}",
            f"{kind} (training + validation images): {parts}",
            f"Fingerprint: {dataset.fingerprint}",
            *dataset.notes,
        ],
    )


def info_document(dataset: Dataset, folds: Sequence[Fold]) -> dict[str, object]:
    """Return what `hpo data info --json` prints; image sizes are height and width."""
    return {
        **_identity(dataset),
        "splits": [asdict(counts) for counts in count_splits(dataset)],
        "image_sizes": {
            "smallest": dataset.sizes.min(axis=0).tolist(),
            "largest": dataset.sizes.max(axis=0).tolist(),
        },
        "folds": [
            {"n_train": len(fold.train), "n_validation": len(fold.validation)} for fold in folds
        ],
    }


def audit_table(dataset: Dataset, audit: Audit) -> Table:
    """Return what an audit found."""
    return _splits_table(dataset, audit.splits, [*_findings(dataset, audit), *dataset.notes])


def _findings(dataset: Dataset, audit: Audit) -> Iterator[str]:
    if audit.random_split and audit.own_folds:
        yield (
            "Patient leakage (validation images whose patient also appears in training, on "
            "average):"
        )
        yield f"  a random split: {_leak_text(audit.random_split)}"
        own = "the source's split" if dataset.has_validation else "the folds of hpo"
        yield f"  {own}: {_leak_text(audit.own_folds)}"
        yield f"Patients both in the test set and outside it: {len(audit.shared_patients):,}"
        yield from _some(audit.shared_patients)
    else:
        yield "Patient leakage: unknown, as the source does not name the patients of all images."
    across = sum(found.is_across_splits for found in audit.duplicates)
    differing = sum(found.has_different_labels for found in audit.duplicates)
    yield (
        f"Duplicates: {count(len(audit.duplicates), 'group')} of equal images, {across} across "
        f"splits, {differing} with different labels"
    )
    yield from _some(" = ".join(found.files) for found in audit.duplicates)
    if audit.n_bright_borders > _MOST_INVERTED * len(dataset):
        yield (
            f"Warning: {audit.n_bright_borders:,} of {len(dataset):,} images are brighter at the "
            "border than in the center. They may be inverted: air white, bones black."
        )


def audit_document(dataset: Dataset, audit: Audit) -> dict[str, object]:
    """Return what `hpo data audit --json` prints."""
    return _identity(dataset) | asdict(audit)


def _identity(dataset: Dataset) -> dict[str, object]:
    return {
        "name": dataset.name,
        "source": dataset.source,
        "format": dataset.format,
        "is_phantom": dataset.is_phantom,
        "has_patients": dataset.has_patients,
        "notes": list(dataset.notes),
        "fingerprint": dataset.fingerprint,
    }


def _splits_table(dataset: Dataset, splits: Sequence[SplitCounts], notes: Sequence[str]) -> Table:
    rows = []
    for counts in splits:
        patients = f"{counts.n_patients:,}" if dataset.has_patients else DASH
        cells = (counts.split, f"{counts.n_normal:,}", f"{counts.n_pneumonia:,}", patients)
        rows.append(Row(cells))
    origin = "synthetic images" if dataset.is_phantom else dataset.format
    return Table(
        columns=(Column("split", "text"), *map(Column, ("normal", "pneumonia", "patients"))),
        rows=tuple(rows),
        notes=tuple(notes),
        title=f"{dataset.name} ({origin})",
    )


def _leak_text(leak: Leak) -> str:
    number = f"{leak.n_with_sibling:.1f}".removesuffix(".0")
    return f"{number} of {leak.n_validation:.0f} ({100 * leak.share:.1f} %)"


def _some(lines: Iterable[str]) -> Iterator[str]:
    every = list(lines)
    yield from (f"  {line}" for line in every[:_MOST_LINES])
    if len(every) > _MOST_LINES:
        yield f"  … and {len(every) - _MOST_LINES} more; --json has all of them."
