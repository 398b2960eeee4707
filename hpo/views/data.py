"""Data sets and audits as JSON and as tables."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from hpo.data.audit import Audit, Leak
from hpo.data.dataset import SPLITS, Dataset, Fold, count_classes
from hpo.tables import DASH, Column, Row, Table, count

_MOST_EQUAL: Final = 4
_MOST_LINES: Final = 10


def show_dataset(dataset: Dataset, folds: Sequence[Fold]) -> tuple[dict[str, Any], Table]:
    """Return a data set as JSON and as a table; image sizes are height and width."""
    smallest, largest = (side(axis=0).tolist() for side in (dataset.sizes.min, dataset.sizes.max))
    sizes = " to ".join(f"{width} x {height}" for height, width in (smallest, largest))
    if smallest == largest:
        sizes = sizes.partition(" to ")[0]
    else:
        sizes += ", each resized"
    parts = ", ".join(f"{len(fold.train)} + {len(fold.validation)}" for fold in folds)
    kind = "The source's own split" if dataset.has_validation else "Folds"
    by = dataset.patients_by
    notes = [
        f"Image size: {sizes}; depth: {dataset.bits or 8} bits",
        f"Patients: {f'identified by {by}' if dataset.has_patients else 'unknown'}",
        f"{kind} (training + validation images): {parts}",
        f"Fingerprint: {dataset.fingerprint}",
    ]
    document, table = _show_splits(dataset, notes)
    document |= {
        "image_sizes": {"smallest": smallest, "largest": largest},
        "folds": [
            {"n_train": len(fold.train), "n_validation": len(fold.validation)} for fold in folds
        ],
    }
    return document, table


def show_audit(dataset: Dataset, audit: Audit) -> tuple[dict[str, Any], Table]:
    """Return an audit as JSON and as a table."""
    document, table = _show_splits(dataset, [*_findings(dataset, audit)])
    return document | asdict(audit), table


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
        yield "Patient leakage: unknown, because not all patients are known."
    for kind, groups in (
        ("Duplicates: {} of equal images", audit.duplicates),
        ("Near copies: {} of nearly identical images", audit.near_copies),
    ):
        if groups is None:
            yield "Near copies: not searched, because there are too many images."
            continue
        across = sum(group.is_across_splits for group in groups)
        differing = sum(group.has_different_labels for group in groups)
        yield (
            f"{kind.format(count(len(groups), 'group'))}, {across} across splits, {differing} "
            "with different labels"
        )
        yield from _some([_equal_text(group.files) for group in groups])


def _show_splits(dataset: Dataset, notes: Sequence[str]) -> tuple[dict[str, Any], Table]:
    """Count the images and patients of each nonempty split."""
    splits, rows = [], []
    for split, name in SPLITS.items():
        if len(images := dataset.where(split)):
            classes = count_classes(dataset.class_names, dataset.labels[images])
            n_patients = len(np.unique(dataset.patients[images]))
            splits.append({"split": name, "classes": classes, "n_patients": n_patients})
            patients = f"{n_patients:,}" if dataset.has_patients else DASH
            rows.append(Row((name, *(f"{n:,}" for n in classes.values()), patients)))
    document = {
        "name": dataset.name,
        "source": dataset.source,
        "format": dataset.format,
        "is_phantom": dataset.is_phantom,
        "has_patients": dataset.has_patients,
        "patients_by": dataset.patients_by,
        "bits": dataset.bits or 8,
        "notes": list(dataset.notes),
        "fingerprint": dataset.fingerprint,
        "splits": splits,
    }
    origin = "synthetic images" if dataset.is_phantom else dataset.format
    return document, Table(
        columns=(Column("split", "text"), *map(Column, (*dataset.class_names, "patients"))),
        rows=tuple(rows),
        notes=(*notes, *dataset.notes),
        title=f"{dataset.name} ({origin})",
    )


def _leak_text(leak: Leak) -> str:
    number = f"{leak.n_with_sibling:.1f}".removesuffix(".0")
    return f"{number} of {leak.n_validation:.0f} ({100 * leak.share:.1f} %)"


def _equal_text(files: Sequence[str]) -> str:
    n_more = len(files) - _MOST_EQUAL
    return " = ".join(files[:_MOST_EQUAL]) + (f" and {n_more} more" if n_more > 0 else "")


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        yield f"  … and {len(lines) - _MOST_LINES} more; --json lists all."
