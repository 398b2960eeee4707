"""Data sets in the terminal and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Final

from rich.markup import escape
from rich.table import Table

from hpo.cli.output import console, count, percent, print_line
from hpo.data import N_FOLDS, Dataset, Fold, seal
from hpo.data.audit import Audit, Leak, SplitCounts, count_splits

_MOST_LINES: Final = 10
_FEW: Final = 100


def folds_of(dataset: Dataset) -> list[Fold]:
    """Return the folds that trainings use: five, or the source's own split."""
    data = seal(dataset)
    return [data.fold(repeat) for repeat in range(1 if dataset.has_validation else N_FOLDS)]


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


def audit_document(dataset: Dataset, audit: Audit) -> dict[str, object]:
    """Return what `hpo data audit --json` prints."""
    return {
        **_identity(dataset),
        "splits": [asdict(counts) for counts in audit.splits],
        "random_split": _leak_document(audit.random_split),
        "own_folds": _leak_document(audit.own_folds),
        "shared_patients": audit.shared_patients,
        "duplicates": [
            {**asdict(found), "is_across_splits": found.is_across_splits}
            for found in audit.duplicates
        ],
    }


def print_info(dataset: Dataset, folds: Sequence[Fold]) -> None:
    """Print what a data set holds."""
    _print_splits(dataset, count_splits(dataset))
    low, high = (_height_by_width(f(axis=0)) for f in (dataset.sizes.min, dataset.sizes.max))
    _line("images", low if low == high else f"{low} to {high}; each is resized to a square")
    _line("patients", "known" if dataset.has_patients else "not known: each image counts as one")
    sizes = ", ".join(f"{len(fold.train)} + {len(fold.validation)}" for fold in folds)
    kind = "own split" if dataset.has_validation else "folds"
    _line(kind, f"{sizes} (training + validation)")
    _line("fingerprint", dataset.fingerprint)
    n_validation = len(folds[0].validation)
    if dataset.has_validation and n_validation < _FEW:
        step = percent(1 / n_validation)
        _line(
            "note",
            f"{n_validation} validation images: one of them is {step} points of accuracy. Without "
            "the validation split, folds of the training images take its place.",
        )


def print_audit(dataset: Dataset, audit: Audit) -> None:
    """Print what an audit found."""
    _print_splits(dataset, audit.splits)
    if audit.random_split and audit.own_folds:
        _line("siblings", "validation images with another image of the same patient in training")
        _line("  random split", _leak_text(audit.random_split))
        own = "  source's split" if dataset.has_validation else "  hpo's folds"
        _line(own, _leak_text(audit.own_folds))
        n_shared = count(len(audit.shared_patients), "patient")
        _line("in test", f"{n_shared} who are outside it too")
        _print_some(audit.shared_patients)
    else:
        _line("siblings", "not known: the source does not tell patients")
    across = [found for found in audit.duplicates if found.is_across_splits]
    differing = [found for found in audit.duplicates if found.has_different_labels]
    _line(
        "duplicates",
        f"{count(len(audit.duplicates), 'group')} of equal images, {len(across)} across splits, "
        f"{len(differing)} with different labels",
    )
    _print_some(" = ".join(found.files) for found in audit.duplicates)


def _identity(dataset: Dataset) -> dict[str, object]:
    return {
        "name": dataset.name,
        "source": dataset.source,
        "format": dataset.format,
        "is_phantom": dataset.is_phantom,
        "has_patients": dataset.has_patients,
        "fingerprint": dataset.fingerprint,
    }


def _leak_document(leak: Leak | None) -> dict[str, float] | None:
    return {**asdict(leak), "share": leak.share} if leak else None


def _leak_text(leak: Leak) -> str:
    number = f"{leak.n_with_sibling:.1f}".removesuffix(".0")
    return f"{number} of {leak.n_validation:.0f} on average ({percent(leak.share)} %)"


def _print_splits(dataset: Dataset, splits: Sequence[SplitCounts]) -> None:
    origin = "synthetic images" if dataset.is_phantom else dataset.format
    table = Table(
        title=escape(f"{dataset.name} ({origin})"), title_justify="left", title_style="bold"
    )
    table.add_column("split")
    for name in ("normal", "pneumonia", "patients"):
        table.add_column(name, justify="right")
    for counts in splits:
        patients = f"{counts.n_patients:,}" if dataset.has_patients else "–"
        table.add_row(counts.split, f"{counts.n_normal:,}", f"{counts.n_pneumonia:,}", patients)
    console.print(table)


def _print_some(lines: Iterable[str]) -> None:
    every = list(lines)
    for line in every[:_MOST_LINES]:
        _line("", line)
    if len(every) > _MOST_LINES:
        _line("", f"… and {len(every) - _MOST_LINES} more; --json has them all.")


def _line(name: str, text: str) -> None:
    print_line(f"{name:<18}{text}")


def _height_by_width(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"
