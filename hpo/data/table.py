"""The table behind every data set: a row for each image, in any format."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache as memoize
from typing import Final, NamedTuple

from hpo.config import MOST_CLASSES, did_you_mean
from hpo.data.dataset import TEST, TRAIN, VALIDATION, Stored
from hpo.data.manifest import Manifest
from hpo.errors import DataError
from hpo.tables import count

# Common names of splits and classes, ignoring case.
SPLIT_NAMES: Final = {
    **dict.fromkeys(("train", "training", "trainset", "train_set"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing", "testset", "test_set"), TEST),
}
NEGATIVE: Final = {
    *("normal", "healthy", "negative", "control", "controls", "benign", "0", "no", "false", "neg"),
    *("no finding", "no_finding", "nofinding", "no pneumonia", "no_pneumonia", "non-pneumonia"),
}
POSITIVE: Final = {"pneumonia", "positive", "abnormal", "sick", "ill", "1", "yes", "true", "pos"}
_MOST_NAMED: Final = 5
_MOST_JOINED: Final = 4
_TEST_SHARE: Final = 0.2
_MOST_BY_SITE: Final = 0.1
NO_TEST: Final = "No test set was found"
BY_NAME: Final = "file name"


class Row(NamedTuple):
    """An image, with its labels and patient as in its source.

    `image` names it in messages; `labels` are spelled as in the source. `patient` is a key shared
    by the images of a patient, empty if the image counts as its own patient; `is_known` is
    true if the source names the patient. `label` is the class index in a settled table.
    """

    image: str
    labels: tuple[str, ...]
    split: int | None = None
    patient: str = ""
    is_known: bool = False
    site: str = ""
    fold: str = ""
    label: int = 0

    @property
    def whose(self) -> str:
        """A key of the patient: the image itself if nothing else is known."""
        return self.patient or self.image


@dataclass(frozen=True, kw_only=True)
class Table:
    """A data set before any image is decoded.

    `read(images)` reads the images of these names from `paths`; without paths, reading
    takes no time. `patients_by` describes what identifies the patients. `notes` describe what was
    left out or assumed. A settled table has `class_names`.
    """

    name: str
    location: str
    format: str
    rows: Sequence[Row]
    read: Callable[[Sequence[str]], Iterator[Stored]]
    paths: Sequence[str] = ()
    patients_by: str = ""
    is_phantom: bool = False
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


def settle(table: Table, manifest: Manifest) -> Table:
    """Choose classes, patients and splits, and leave out the images of other classes.

    Raises:
        DataError: missing or unclear classes, an image of two classes, or patients both in the
            test set and outside it.
    """
    notes = [*table.notes]
    class_names, label_of = _choose_classes(table, manifest, notes)
    used: dict[str, Row] = {}
    n_repeated, contradictory, misplaced = 0, list[str](), list[str]()
    left_out: Counter[str] = Counter()
    for row in table.rows:
        if (label := label_of(row.labels)) is None:
            left_out[", ".join(row.labels) or "no label"] += 1
        elif row.image not in used:
            used[row.image] = row._replace(label=label)
        else:
            n_repeated += 1
            contradictory += [row.image] * (used[row.image].label != label)
            places = {(r.split, r.fold, r.patient) for r in (used[row.image], row)}
            misplaced += [row.image] * (len(places) > 1)
    if contradictory:
        raise DataError(
            f"{table.location} lists {count(len(contradictory), 'image')} with different labels: "
            f"{named(contradictory)}. Correct the labels, or name both classes with positive and "
            "negative."
        )
    if misplaced:
        raise DataError(
            f"{table.location} lists {count(len(misplaced), 'image')} with different splits, "
            f"folds or patients: {named(misplaced)}. Correct the table."
        )
    if left_out:
        classes = named([f"{name} {n:,}" for name, n in left_out.most_common()])
        total = count(left_out.total(), "image")
        notes.append(f"Left out: {total} of other classes ({classes}).")
    if n_repeated:
        repeats = "1 row that repeats" if n_repeated == 1 else f"{n_repeated:,} rows that repeat"
        notes.append(f"Left out: {repeats} an image.")
    patients_by, rows = _find_patients(table, [*used.values()], manifest)
    rows = _choose_splits(rows, manifest, notes)
    rows.sort(key=lambda row: row.split or TRAIN)  # The sort is stable.
    _check_patients(table, patients_by, rows, manifest, notes)
    _check_sites(rows, notes)
    return replace(
        table, rows=rows, class_names=class_names, patients_by=patients_by, notes=tuple(notes)
    )


def named(names: Sequence[str]) -> str:
    """Return the first few names, for a message."""
    return ", ".join(names[:_MOST_NAMED]) + ", …" * (len(names) > _MOST_NAMED)


def plain(label: str) -> str:
    """Normalize a label for comparing and displaying: lower case, and 1.0 as 1."""
    return label.strip().casefold().removesuffix(".0")


def _choose_classes(
    table: Table, manifest: Manifest, notes: list[str]
) -> tuple[tuple[str, ...], Callable[[tuple[str, ...]], int | None]]:
    """Return the class names (of two, the negative first) and a function from labels to class.

    With more than two classes, an image with several labels has no class.
    """
    counts = Counter(plain(label) for row in table.rows for label in row.labels)
    listed = named([f"{name} ({n:,})" for name, n in counts.most_common()]) or "nothing"
    positive, negative = ({*map(plain, names)} for names in (manifest.positive, manifest.negative))
    for name in sorted(positive | negative):
        if name not in counts:
            hint = did_you_mean(name, counts) or "Choose an existing class."
            raise DataError(
                f"{table.location} has no class {name!r}: it contains {listed}. {hint}"
            )
    if both := positive & negative:
        raise DataError(f"{min(both)!r} is both positive and negative. Name it once.")
    if len(counts) < 2:
        raise DataError(
            f"{table.location} contains images of one class only: {listed}. Training needs two."
        )
    if not positive and not negative:
        if len(counts) > MOST_CLASSES:
            raise DataError(
                f"{table.location} contains {len(counts):,} classes: {listed}. The limit is "
                f"{MOST_CLASSES}. Use --positive NAME; all others then form the negative "
                "class."
            )
        if len(counts) > 2:
            notes.append(
                f"{len(counts)} classes, all trained; --positive NAME makes two: one against the "
                "rest."
            )
            numbers = {name: label for label, name in enumerate(sorted(counts, key=_in_order))}
            return tuple(
                numbers
            ), lambda labels: numbers[plain(labels[0])] if len(labels) == 1 else None
        negative = _guess_negative(table.location, counts, notes)
    is_any_positive = not negative
    rest = counts.keys() - positive - negative
    names = [_join(negative or rest, positive), _join(positive or rest, negative)]
    positive, negative = positive or rest, negative or rest
    if not positive or not negative:
        raise DataError(f"All classes of {table.location} are named positive, or all negative.")

    @memoize
    def label_of(labels: tuple[str, ...]) -> int | None:
        here = {*map(plain, labels)}
        is_positive, is_negative = bool(here & positive), bool(here & negative)
        if is_positive and is_negative and not is_any_positive:
            return None
        return int(is_positive) if is_positive or is_negative else None

    return (names[0], names[1]), label_of


def _in_order(name: str) -> list[str | int]:
    """Sort `class 2` before `class 10`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def _join(group: Collection[str], other: Collection[str]) -> str:
    """Return the name of a class that combines several labels."""
    if len(group) < _MOST_JOINED or not other:
        return " or ".join(sorted(group))
    return f"not {' or '.join(sorted(other))}"


def _guess_negative(location: str, names: Collection[str], notes: list[str]) -> set[str]:
    """Return which of two classes is negative, by its name."""
    negative = {name for name in names if name in NEGATIVE}
    if len(negative) != 1:
        negative = {name for name in names if name not in POSITIVE}
    if len(negative) != 1:
        raise DataError(
            f"It is unclear which of {' and '.join(sorted(names))} is the positive class of "
            f"{location}. Use --positive {max(names)} or --positive {min(names)}."
        )
    (positive,) = {*names} - negative
    if positive != "pneumonia":
        notes.append(
            f"By its name, {min(negative)} is the negative class and {positive} the positive one; "
            "--positive NAME changes this."
        )
    return negative


def _find_patients(table: Table, rows: list[Row], manifest: Manifest) -> tuple[str, list[Row]]:
    """Return what identifies the patients, and the rows, with patients found by a pattern."""
    if not (regex := manifest.patient_regex):
        return table.patients_by, rows
    with_patients, n_found = list[Row](), 0
    for row in rows:
        match = regex.search(row.image)
        key = next(filter(None, match.groups()), match[0]) if match else ""
        n_found += bool(key)
        # An image without a match keeps the patient that the source names.
        with_patients.append(row._replace(patient=key, is_known=True) if key else row)
    if not n_found:
        raise DataError(
            f"--patient-regex {regex.pattern!r} finds no patient in {len(rows):,} names, "
            f"such as {rows[0].image}. Correct it: its first group is the patient."
        )
    return "--patient-regex", with_patients


def _choose_splits(rows: list[Row], manifest: Manifest, notes: list[str]) -> list[Row]:
    """Return the rows with their splits; a test set is drawn if the source names no split."""
    if any(row.split is not None for row in rows):
        merged = {None: TRAIN} | ({VALIDATION: TRAIN} if manifest.merge_val else {})
        return [row._replace(split=merged.get(row.split, row.split)) for row in rows]
    class_of: dict[str, int] = {}
    for row in rows:
        class_of[row.whose] = max(row.label, class_of.get(row.whose, 0))
    drawn: set[str] = set()
    for label in set(class_of.values()):
        # Sorting by a digest hardly changes the test set if images are added later.
        keys = sorted(
            (key for key, of in class_of.items() if of == label),
            key=lambda key: hashlib.sha256(key.encode()).digest(),
        )
        drawn.update(keys[: max(1, round(len(keys) * _TEST_SHARE))])
    rows = [row._replace(split=TEST if row.whose in drawn else TRAIN) for row in rows]
    n_test = sum(row.split == TEST for row in rows)
    whose = count(len(drawn), "patient") if rows[0].is_known else "each its own patient"
    notes.append(
        f"{NO_TEST}: {n_test:,} images ({whose}), a fifth of each class, are set "
        "aside for testing, always the same ones."
    )
    return rows


def _check_patients(
    table: Table, patients_by: str, rows: Sequence[Row], manifest: Manifest, notes: list[str]
) -> None:
    """Refuse or report patients with images on both sides of a split or of the source's folds."""
    known_rows = [row for row in rows if row.is_known]
    not_test = [row for row in known_rows if row.split != TEST]
    has_validation = any(row.split == VALIDATION for row in rows)
    tested = {row.patient for row in known_rows if row.split == TEST}
    parts = defaultdict[str, set[int | str | None]](set)
    for row in not_test:
        parts[row.patient].add(row.split if has_validation else row.fold)
    where = "validation and training" if has_validation else "several folds"
    for shared, place, results in (
        (tested & parts.keys(), "both in the test set and outside it", "test results"),
        ({key for key, of in parts.items() if len(of) > 1}, f"in {where}", "scores"),
    ):
        if not shared:
            continue
        patients = f"{count(len(shared), 'patient')} ({named(sorted(shared))})"
        # Patients from file names are a guess.
        if patients_by != BY_NAME and not manifest.allow_shared_patients:
            raise DataError(
                f"{table.location} has {patients} {place}, by {patients_by}. Correct the splits, "
                "or use --allow-shared-patients."
            )
        notes.append(f"Warning: {patients} are {place}: {results} may be too good.")


def _check_sites(rows: Sequence[Row], notes: list[str]) -> None:
    """Report if the site alone predicts the label: a network may learn the site instead."""
    pairs = Counter((row.site, row.label) for row in rows if row.site)
    sites, labels = {site for site, _ in pairs}, {label for _, label in pairs}
    if len(sites) < 2:
        return
    total = pairs.total()
    by_site = sum(max(pairs[site, label] for label in labels) for site in sites) / total
    majority = max(sum(pairs[site, label] for site in sites) for label in labels) / total
    if by_site - majority > _MOST_BY_SITE:
        notes.append(
            f"Warning: the site alone predicts {100 * by_site:.0f} % of the labels (the majority "
            f"class {100 * majority:.0f} %). A network may learn the site instead of the disease."
        )
