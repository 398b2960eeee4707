"""Tables of labels (CSV), and the images that they name.

A manifest describes the columns; the rest is guessed from their names and reported.
"""

import codecs
import csv
import gzip
import io
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from hpo.config import did_you_mean
from hpo.data.dataset import MAX_IMAGES, TEST, TRAIN
from hpo.data.image_folders import images_of, list_images, patients_of
from hpo.data.manifest import Manifest
from hpo.data.table import NEGATIVE, POSITIVE, SPLIT_NAMES, Row, Table, named, plain
from hpo.errors import DataError
from hpo.tables import count
from hpo.untrusted import printable

_SUFFIXES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_SEPARATORS: Final = ",;\t|"
_MAX_BYTES: Final = 500_000_000
_N_TRIED: Final = 50
# Common names of columns, in letters and digits only.
_USUAL: Final = {
    "label": (
        *("label", "labels", "class", "target", "findinglabels", "finding", "diagnosis"),
        *("disease", "category", "classname", "pneumonia", "y"),
    ),
    "patient": ("patientid", "patient", "subjectid", "subject", "pid", "patientnumber"),
    "site": ("site", "hospital", "institution", "center", "centre", "source"),
    "split": ("split", "subset", "partition", "set", "usage"),
    "fold": ("fold", "kfold"),
}
# Names in this column of Hugging Face's metadata.csv are relative to its folder.
_FILE_NAME: Final = "file_name"
# PadChest writes ['normal', 'pneumonia'].
_AROUND_LABELS: Final = " []'\""

_Lines: TypeAlias = list[dict[str, str]]
_Find: TypeAlias = Callable[[str], str | None]


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name."""
    return path.name.lower().endswith(_SUFFIXES) and path.is_file()


def tables_in(folder: Path) -> tuple[str, ...]:
    """Return the table of labels in a folder of images: metadata.csv, or the only table.

    Tables named after splits, or a metadata.csv in the folder of each split, are one table.

    Raises:
        DataError: there are several tables.
    """
    tables = sorted(path.name for path in folder.iterdir() if is_table(path))
    metadata = [name for name in tables if name.lower() == "metadata.csv"]
    if len(tables) < 2 or metadata:
        parts = [path.relative_to(folder).as_posix() for path in folder.glob("*/metadata.csv")]
        return tuple((metadata or tables)[:1] or sorted(parts))
    if len({*map(_split_named, tables)} - {""}) == len(tables):
        return tuple(tables)
    raise DataError(
        f"{folder} contains several tables: {named(tables)}. Choose one, or write a manifest "
        "(hpo data describe)."
    )


def read(manifest: Manifest, base: Path, *, name: str, location: Path) -> tuple[Table, Manifest]:
    """Read the table of a manifest; return it, and the manifest completed by guesses.

    Paths of the manifest are relative to `base`.

    Raises:
        DataError: a table that cannot be read, missing columns or images.
    """
    sources = [base / table for table in manifest.table]
    place = base if len(sources) > 1 else sources[0].parent
    folders = [base / folder for folder in manifest.images] or [place]
    files = _files(folders)
    find = _finder(files)
    header, lines, notes = _read_lines(sources, folders[0], find)
    manifest = _complete(manifest, header, lines, find, len(files), sources[0], notes)
    roles = ("path", *_USUAL)
    column = {role: _column(n, header) for role in roles if (n := getattr(manifest, role))}
    lines = _select(manifest, header, lines, notes)
    matched = [(line, find(line[column["path"]])) for line in lines]
    missing = [line[column["path"]] for line, image in matched if not image]
    _leave_out(missing, sources[0], notes, is_allowed=manifest.skip_broken)
    pairs = [(line, image) for line, image in matched if image]
    images = [*dict.fromkeys(image for _, image in pairs)]
    if (n_unused := len(files) - len(images)) and not manifest.keep:
        notes.append(f"Left out: {count(n_unused, 'image')} that the table does not name.")
    by, keys = f"column {manifest.patient}", dict[str, tuple[str, bool]]()
    if not manifest.patient:
        by, of_each, _ = patients_of(images, [files[image] for image in images])
        keys = dict(zip(images, of_each, strict=True))
    split_of = _splits(images, find, base, manifest, sources[0], notes)
    rows = []
    for line, image in pairs:
        cells = {role: line[name].strip() for role, name in column.items()}
        labels = [cells["label"]]
        if manifest.separator:
            labels = [part.strip(_AROUND_LABELS) for part in labels[0].split(manifest.separator)]
        patient = keys.get(image) or (cells["patient"], bool(cells["patient"]))
        split, site, fold = (cells.get(role, "") for role in ("split", "site", "fold"))
        kinds = tuple(filter(None, labels))
        rows.append(Row(image, kinds, split_of(image, split), *patient, site, fold))
    table = Table(
        name=name,
        location=str(location),
        format="table of images",
        rows=rows,
        patients_by=by,
        notes=tuple(notes),
        paths=[files[image] for image in images],
        read=lambda some: images_of([files[image] for image in some]),
    )
    return table, manifest


def _leave_out(
    missing: Sequence[str], source: Path, notes: list[str], *, is_allowed: bool
) -> None:
    """Report missing images that a source names, or refuse them."""
    if not (names := [*dict.fromkeys(missing)]):
        return
    if not is_allowed:
        raise DataError(
            f"{source} names {count(len(names), 'image')} not in the folders of images: "
            f"{named([*map(printable, names)])}. Correct the names or the folder, or use "
            "--skip-broken to leave them out."
        )
    notes.append(f"Left out: {len(names):,} of the images that {source.name} names: missing.")


def _splits(
    images: Sequence[str],
    find: _Find,
    base: Path,
    manifest: Manifest,
    source: Path,
    notes: list[str],
) -> Callable[[str, str], int | None]:
    """Return a function that finds the split of an image: by test list, cell or folder."""
    tested = set[str]()
    if manifest.test:  # Each line contains a name, possibly between other words.
        tests = base / manifest.test
        try:
            listed = tests.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as problem:
            raise DataError(
                f"The list of test images {tests} cannot be read: {problem}. It must contain one "
                "image per line."
            ) from None
        of_line = {line: {find(word) or "" for word in (line, *line.split())} for line in listed}
        tested = tested.union(*of_line.values()) - {""}
        missing = [line for line, names in of_line.items() if line.strip() and not any(names)]
        _leave_out(missing, tests, notes, is_allowed=manifest.skip_broken and bool(tested))
    tops = {image: SPLIT_NAMES.get(image.partition("/")[0].casefold()) for image in images}
    has_splits = len({*tops.values()}) > 1

    def split_of(image: str, cell: str) -> int | None:
        if manifest.test:
            return TEST if image in tested else TRAIN
        if not manifest.split:
            return tops[image] if has_splits else None
        if cell and cell.casefold() not in SPLIT_NAMES:
            raise DataError(
                f"{source} has {cell!r} in column {manifest.split!r}, which is not a split. Write "
                "train, val or test, or use fold for numbered folds."
            )
        return SPLIT_NAMES.get(cell.casefold())

    return split_of


def _read_lines(
    sources: Sequence[Path], folder: Path, find: _Find
) -> tuple[list[str], _Lines, list[str]]:
    """Read tables with the same columns; each of several is a split, by its name or folder."""
    columns, lines, notes = list[str](), _Lines(), list[str]()
    for source in sources:
        first, *cells = _parse(source, notes)
        header = [printable(name.strip()) for name in first]
        if any("." in name and find(name) for name in header):  # It is an image, not a header.
            header, cells = [f"column {i + 1}" for i in range(len(first))], [first, *cells]
        rows: _Lines = [dict(zip(header, line, strict=True)) for line in cells]
        if len(sources) > 1:
            place = Path(os.path.relpath(source.parent, folder)).as_posix()
            split = _split_named(source.name) or _split_named(source.parent.name)
            for line in rows:
                line.setdefault("split", split)
                if place != "." and _FILE_NAME in line:
                    line[_FILE_NAME] = f"{place}/{line[_FILE_NAME]}"
            header = [*dict.fromkeys([*header, "split"])]
        if columns and columns != header:
            raise DataError(
                f"{source} has other columns than {sources[0]}: {', '.join(header)}. Give tables "
                "with the same columns."
            )
        columns, lines = header, lines + rows
    if len(lines) > MAX_IMAGES:
        raise DataError(f"{sources[0]} has {len(lines):,} lines; the limit is {MAX_IMAGES:,}.")
    return columns, lines, notes


def _parse(source: Path, notes: list[str]) -> list[list[str]]:
    """Read the cells of a table of any separator, encoding and compression."""
    try:
        with gzip.open(source) if source.suffix.lower() == ".gz" else source.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        try:
            text = content.decode("utf-16" if is_wide else "utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
            notes.append(f"{source.name} is not UTF-8 text: it is read as Latin-1.")
        first = text.partition("\n")[0]
        separator = max(_SEPARATORS, key=first.count)
        separator = separator if separator in first else " "
        # Spreadsheets may write line breaks in cells.
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=separator) if line]
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as problem:
        raise DataError(
            f"{source} cannot be read as a table: {str(problem)[:200]}. Save it as CSV with a "
            "header line of column names."
        ) from None
    n_columns = len(lines[0]) if lines else 0
    if n_columns < 2 or len(lines) < 2:
        raise DataError(
            f"{source} is not a table of images: it has {count(n_columns, 'column')} and "
            f"{count(len(lines), 'line')}. Save it as CSV with a header line of column names."
        )
    wrong = [(i, len(line)) for i, line in enumerate(lines, start=1) if len(line) != n_columns]
    if wrong:
        faults = [f"row {number:,} has {count(n, 'cell')}" for number, n in wrong]
        has_more = any(n > n_columns for _, n in wrong)
        advice = (
            f"Quote cells that contain {separator!r}." if has_more else "Add the missing ones."
        )
        raise DataError(
            f"{source} has {count(n_columns, 'column')}, but {named(faults)}. {advice}"
        )
    return lines


def _split_named(name: str) -> str:
    """Return the split that a name such as train_labels.csv begins with, or ""."""
    word = re.split("[^a-z]", name.casefold())[0]
    return word if word in SPLIT_NAMES else ""


def _column(name: str, header: Sequence[str]) -> str:
    """Return the name of a column as written in the table."""
    for column in header:
        if column.casefold() == name.strip().casefold():
            return column
    hint = did_you_mean(name, header) or "Choose one of them."
    raise DataError(f"The table has no column {name!r}, but {', '.join(header)}. {hint}")


def _complete(
    manifest: Manifest,
    header: Sequence[str],
    lines: _Lines,
    find: _Find,
    n_files: int,
    source: Path,
    notes: list[str],
) -> Manifest:
    """Guess missing fields of the manifest from names and cells, and report them."""
    guessed: dict[str, Any] = {}
    if not manifest.path:
        tried = lines[:_N_TRIED]
        # The index column of pandas has no name.
        fits = {c: len({find(line[c]) for line in tried} - {None}) for c in header if c}
        guessed["path"] = max(fits, key=fits.__getitem__)
        if not fits[guessed["path"]]:
            raise DataError(
                f"No column of {source} names existing images: its columns are "
                f"{', '.join(header)}. Its folders contain {count(n_files, 'image')}. Name the "
                "right folders in a manifest (hpo data describe)."
            )
    used = {getattr(manifest, role).casefold() for role in ("path", *_USUAL)}
    used |= {*guessed.values(), ""}
    free = {
        re.sub("[^a-z0-9]", "", column.casefold()): column
        for column in reversed(header)
        if not {column, column.casefold()} & used
    }
    for role, usual in _USUAL.items():
        name = next((free[key] for key in usual if key in free), None)
        if not name or getattr(manifest, role) or (role == "split" and manifest.test):
            continue
        if role != "split" or {plain(line[name]) for line in lines} <= {"", *SPLIT_NAMES}:
            guessed[role] = name
            free = {key: column for key, column in free.items() if column != name}
    if not manifest.label and "label" not in guessed:
        # The only unused column or, without a header, the one with the most known class names.
        classes = NEGATIVE | POSITIVE
        usual_names = Counter(
            c for line in lines for c in free.values() if plain(line[c]) in classes
        )
        if len(free) == 1 or (usual_names and header[0] == "column 1"):
            guessed["label"] = max(free.values(), key=usual_names.__getitem__)
    label = manifest.label or guessed.get("label")
    if not label:
        raise DataError(
            f"The label column of {source} is unclear: {', '.join(header)}. Write a "
            f'manifest, chest.toml, with table = "{source.name}" and label = "COLUMN": --data '
            "chest.toml."
        )
    guessed |= _classes({line[_column(label, header)].strip() for line in lines} - {""}, manifest)
    if guessed:
        guesses = ", ".join(f"{key} = {json.dumps(value)}" for key, value in guessed.items())
        notes.append(f"Guessed from {source.name}: {guesses}.")
    return manifest.model_copy(update=guessed)


def _classes(labels: set[str], manifest: Manifest) -> dict[str, Any]:
    """Guess the separator of labels in a cell, and the meaning of labels in public data sets."""
    guesses: dict[str, Any] = {}
    cut = next((mark for mark in "|;" if any(mark in label for label in labels)), "")
    cut = "," if all(label.startswith("[") for label in labels) else cut
    single = {
        plain(part.strip(_AROUND_LABELS)) for label in labels for part in label.split(cut or None)
    }
    if cut and not manifest.separator:
        guesses["separator"] = cut
    if manifest.positive or manifest.negative:
        return guesses
    if "separator" in guesses and "pneumonia" in single:
        guesses |= {"positive": ("pneumonia",), "negative": (*sorted(single & NEGATIVE),)}
    elif single == {"-1", "0", "1"}:  # CheXpert: -1 is uncertain.
        guesses |= {"positive": ("1",), "negative": ("0",)}
    return guesses


def _select(manifest: Manifest, header: Sequence[str], lines: _Lines, notes: list[str]) -> _Lines:
    """Return the lines selected by `keep`."""
    for name, values in manifest.keep.items():
        column, selected = _column(name, header), {plain(value) for value in values}
        matching = [line for line in lines if plain(line[column]) in selected]
        if not matching:
            cells = named(sorted({line[column] for line in lines}))
            raise DataError(f"No row has {' or '.join(values)} in column {name!r}, but {cells}.")
        if n := len(lines) - len(matching):
            notes.append(f"Left out: {count(n, 'row')} of other {name} than {', '.join(values)}.")
        lines = matching
    return lines


def _files(folders: Sequence[Path]) -> dict[str, str]:
    """Return the paths of the images, by their paths relative to the folders."""
    files: dict[str, str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"There is no folder {folder} of images. Correct `images` in the manifest."
            )
        for file in list_images(folder)[0]:
            if file in files:
                raise DataError(
                    f"{file} is in {files[file]} and below {folder}, so a table cannot "
                    "distinguish them. Name one folder above both."
                )
            files[file] = f"{folder}/{file}"
    return files


def _finder(files: Iterable[str]) -> _Find:
    """Return a function that finds the image for a cell: by its path, or only by its name.

    Both work with or without the suffix; a name shared by several images matches none. A path may
    have additional parent folders.
    """
    exact, bare = dict[str, str](), dict[str, str]()
    for file in files:
        stem = file.rpartition(".")[0]
        exact[stem] = "" if stem in exact else file
        for place in (file, stem):
            name = place.rpartition("/")[2]
            bare[name] = "" if name in bare else file
    exact |= {file: file for file in files}

    def find(cell: str) -> str | None:
        place = cell.strip().replace("\\", "/").removeprefix("./")
        if "/" not in place:
            return exact.get(place) or bare.get(place) or None
        while place and ".." not in place:
            if place in exact:
                return exact[place] or None
            place = place.partition("/")[2]
        return None

    return find
