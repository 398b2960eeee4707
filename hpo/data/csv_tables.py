"""Tables of labels (CSV), and the images that they name.

A manifest says which columns hold what; what it does not say is guessed by their names, and said.
"""

import codecs
import csv
import gzip
import io
import json
import posixpath
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hpo.config import did_you_mean
from hpo.data.dataset import MAX_IMAGES, TEST, TRAIN
from hpo.data.image_folders import images_of, list_images, patients_of
from hpo.data.manifest import Manifest
from hpo.data.table import BY_NAME, NEGATIVE, SPLIT_NAMES, Row, Table, named, plain
from hpo.errors import DataError
from hpo.tables import count
from hpo.untrusted import printable

_SUFFIXES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_SEPARATORS: Final = ",;\t|"
_MAX_BYTES: Final = 500_000_000
_N_TRIED: Final = 50
# How people call the columns, in letters and digits alone.
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


class _Cells(NamedTuple):
    """A table as text: its header, and its lines, which are as long."""

    header: list[str]
    lines: list[list[str]]
    notes: list[str]


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name."""
    return path.name.lower().endswith(_SUFFIXES) and path.is_file()


def beside(folder: Path) -> Path | None:
    """Return the table of labels in a folder of images: metadata.csv, or the only one.

    Raises:
        DataError: there are several.
    """
    found = sorted(filter(is_table, folder.iterdir()))
    metadata = [path for path in found if path.name.lower() == "metadata.csv"]
    if len(found) > 1 and not metadata:
        raise DataError(
            f"{folder} holds several tables: {named([path.name for path in found])}. Give the "
            "path of one, or of a manifest (hpo data describe)."
        )
    return next(iter(metadata or found), None)


def read(manifest: Manifest, base: Path, *, name: str, location: Path) -> tuple[Table, Manifest]:
    """Read the table of a manifest; return it, and the manifest with what was guessed.

    Paths of the manifest are relative to `base`.

    Raises:
        DataError: a table that cannot be read, columns or images that are not there.
    """
    source = base / manifest.table
    header, lines, notes = _parse(source)
    files = _files([base / folder for folder in manifest.images] or [source.parent])
    ends = _ends(files)
    manifest = _complete(manifest, header, lines, ends, notes, source)
    roles = ("path", "label", "patient", "site", "split", "fold")
    columns = {
        role: _column(getattr(manifest, role), header) for role in roles if getattr(manifest, role)
    }
    lines = _kept(manifest, header, lines, notes)
    places = [line[columns["path"]] for line in lines]
    found = _find_images(places, ends, manifest, source, notes)
    used = [(line, image) for line, image in zip(lines, found, strict=True) if image]
    n_unused = len(files) - len({image for _, image in used})
    if n_unused and not manifest.keep:
        notes.append(f"Left out: {count(n_unused, 'image')} that the table does not name.")
    split_of = _splits(manifest, columns, lines, source)
    tested = _test_names(base, manifest)
    tops = {image.partition("/")[0].casefold() for _, image in used}
    has_splits = len({SPLIT_NAMES.get(top) for top in tops}) > 1
    keys, _ = (
        ([("", False)] * len(used), 0)
        if manifest.patient
        else patients_of([image for _, image in used])
    )
    rows = []
    for (line, image), (patient, is_known) in zip(used, keys, strict=True):
        cells = {role: line[column].strip() for role, column in columns.items()}
        if manifest.patient:
            patient, is_known = cells["patient"], bool(cells["patient"])
        labels = cells["label"].split(manifest.separator or None)
        labels = labels if manifest.separator else [cells["label"]]
        split = split_of.get(cells.get("split", ""))
        if tested:
            names = {image, posixpath.basename(image), cells["path"]}
            split = TEST if names & tested else TRAIN
        elif has_splits and not manifest.split:
            split = SPLIT_NAMES.get(image.partition("/")[0].casefold())
        rows.append(
            Row(
                image=image,
                labels=tuple(label.strip() for label in labels if label.strip()),
                split=split,
                patient=patient,
                is_known=is_known,
                site=cells.get("site", ""),
                fold=cells.get("fold", ""),
            )
        )
    paths = [files[row.image] for row in rows]
    table = Table(
        name=name,
        location=str(location),
        format="table of images",
        rows=rows,
        patients_by=f"column {manifest.patient}" if manifest.patient else BY_NAME,
        notes=tuple(notes),
        paths=paths,
        originals=lambda positions: images_of([paths[position] for position in positions]),
    )
    return table, manifest


def _parse(source: Path) -> _Cells:
    """Read the cells of a table, whatever its separator, encoding and compression."""
    notes = []
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
        # Of a table that spreadsheets wrote, cells may have line breaks.
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=separator) if line]
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as problem:
        raise DataError(
            f"{source} cannot be read as a table: {str(problem)[:200]}. Save it as CSV with a "
            "line of column names."
        ) from None
    header = [printable(name.strip()) for name in lines[0]] if lines else []
    if len(header) < 2 or len(lines) < 2:
        raise DataError(
            f"{source} is no table of images: it has {count(len(header), 'column')} and "
            f"{count(len(lines), 'line')}. Save it as CSV with a line of column names."
        )
    if len(lines) > MAX_IMAGES:
        raise DataError(f"{source} has {len(lines):,} lines; the limit is {MAX_IMAGES:,}.")
    faults = [
        f"row {number:,} has {count(len(line), 'cell')}"
        for number, line in enumerate(lines, start=1)
        if len(line) != len(header)
    ]
    if faults:
        raise DataError(
            f"{source} has {count(len(header), 'column')}, but {named(faults)}. Put cells that "
            f"hold {separator!r} in quotation marks."
        )
    return _Cells(header, lines[1:], notes)


def _column(name: str, header: Sequence[str]) -> int:
    """Return the place of a column, by its name without case."""
    names = [one.casefold() for one in header]
    if name.strip().casefold() in names:
        return names.index(name.strip().casefold())
    hint = did_you_mean(name, header) or "Name one of them."
    raise DataError(f"The table has no column {name!r}, but {', '.join(header)}. {hint}")


def _complete(
    manifest: Manifest,
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    ends: Mapping[str, str],
    notes: list[str],
    source: Path,
) -> Manifest:
    """Guess what the manifest leaves open from names and cells, and say so."""
    said = {getattr(manifest, role).casefold() for role in ("path", *_USUAL)}
    open_columns = {
        re.sub("[^a-z0-9]", "", name.casefold()): name
        for name in reversed(header)
        if name.casefold() not in said
    }
    guessed: dict[str, object] = {}
    if not manifest.path:
        shown = lines[:_N_TRIED]
        fits = {
            name: len(_match([line[i] for line in shown], ends)) for i, name in enumerate(header)
        }
        best = max(header, key=lambda name: fits[name])
        if not fits[best]:
            raise DataError(
                f"No column of {source} names images that are there: its columns are "
                f"{', '.join(header)}. Its folders hold {count(len({*ends.values()}), 'image')}. "
                "Say in a manifest which folders hold them (hpo data describe)."
            )
        guessed["path"] = best
        open_columns = {key: name for key, name in open_columns.items() if name != best}
    for role, usual in _USUAL.items():
        if not getattr(manifest, role) and not (role == "split" and manifest.test):
            name = next((open_columns[key] for key in usual if key in open_columns), None)
            if name and (role != "split" or _are_splits(name, header, lines)):
                guessed[role] = name
    manifest = manifest.model_copy(update=guessed)
    if not manifest.label:
        raise DataError(
            f"{source} does not say which column holds the label: {', '.join(header)}. Name it "
            "in a manifest (hpo data describe)."
        )
    several = {line[_column(manifest.label, header)] for line in lines}
    cut = next((mark for mark in "|;" if any(mark in value for value in several)), "")
    if cut and not manifest.separator:
        guessed["separator"] = cut
        single = {plain(label) for value in several for label in value.split(cut)}
        if not manifest.positive and not manifest.negative and "pneumonia" in single:
            guessed |= {"positive": ("pneumonia",), "negative": (*sorted(single & NEGATIVE),)}
    if guessed:
        each = ", ".join(f"{key} = {json.dumps(value)}" for key, value in guessed.items())
        notes.append(f"Guessed from {source.name}: {each}.")
    return manifest.model_copy(update=guessed)


def _are_splits(name: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> bool:
    column = _column(name, header)
    return all(line[column].strip().casefold() in {"", *SPLIT_NAMES} for line in lines)


def _kept(
    manifest: Manifest, header: Sequence[str], lines: list[list[str]], notes: list[str]
) -> list[list[str]]:
    """Return the lines that `keep` keeps."""
    for name, values in manifest.keep.items():
        column, kept = _column(name, header), {plain(value) for value in values}
        found = [line for line in lines if plain(line[column]) in kept]
        if not found:
            there = named(sorted({line[column] for line in lines}))
            raise DataError(f"No row has {' or '.join(values)} in column {name!r}, but {there}.")
        if n := len(lines) - len(found):
            notes.append(f"Left out: {count(n, 'row')} of other {name} than {', '.join(values)}.")
        lines = found
    return lines


def _splits(
    manifest: Manifest, columns: Mapping[str, int], lines: Sequence[Sequence[str]], source: Path
) -> dict[str, int | None]:
    """Return the split that each value of its column means."""
    if not manifest.split:
        return {}
    values = {line[columns["split"]].strip() for line in lines} - {""}
    if unknown := sorted(value for value in values if value.casefold() not in SPLIT_NAMES):
        raise DataError(
            f"{source} has {named(unknown)} in column {manifest.split!r}, which are no splits: "
            f"write train, val or test, or use fold for numbered folds."
        )
    return {value: SPLIT_NAMES[value.casefold()] for value in values}


def _test_names(base: Path, manifest: Manifest) -> set[str]:
    """Return the images that the list of test images names, one a line."""
    if not manifest.test:
        return set()
    try:
        return set((base / manifest.test).read_text(encoding="utf-8-sig").split())
    except (OSError, ValueError) as problem:
        raise DataError(
            f"The list of test images {base / manifest.test} cannot be read: {problem}. It holds "
            "one image a line."
        ) from None


def _files(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the images of the folders, by their places below the folder that they are in."""
    files: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder} of images. Correct images.")
        for file in list_images(folder)[0]:
            if file in files:
                raise DataError(
                    f"{file} is in {files[file].parent} and below {folder}: a table cannot tell "
                    "them apart. Name one folder above both."
                )
            files[file] = folder / file
    return files


def _ends(files: Iterable[str]) -> dict[str, str]:
    """Return the images by what cells may call them: their place, with or without the suffix.

    A name alone may mean a file in any folder, if it is the only one.
    """
    ends, seen = dict[str, str](), set[str]()
    for file in files:
        for name in {posixpath.basename(file), posixpath.basename(posixpath.splitext(file)[0])}:
            if name in seen:
                ends.pop(name, None)
            else:
                ends[name] = file
            seen.add(name)
    ends |= {posixpath.splitext(file)[0]: file for file in files}
    return ends | {file: file for file in files}


def _match(places: Iterable[str], ends: Mapping[str, str]) -> dict[str, str]:
    """Return the images that cells name, maybe with folders above those that are there."""
    matched: dict[str, str] = {}
    for place in dict.fromkeys(places):
        below = place.strip().replace("\\", "/").removeprefix("./")
        while below and ".." not in below:
            # A name alone is not looked for below a folder that the cell names.
            if below in ends and ("/" in below or "/" not in place or below == ends[below]):
                matched[place] = ends[below]
                break
            below = below.partition("/")[2]
    return matched


def _find_images(
    places: Sequence[str],
    ends: Mapping[str, str],
    manifest: Manifest,
    source: Path,
    notes: list[str],
) -> list[str | None]:
    """Return the image that each cell names, None where it is left out."""
    matched = _match(places, ends)
    missing = [printable(place) for place in dict.fromkeys(places) if place not in matched]
    if missing and not manifest.skip_broken:
        raise DataError(
            f"{source} names {count(len(missing), 'image')} not in the folders of images: "
            f"{named(missing)}. Correct images in the manifest, or say --skip-broken to leave "
            "them out."
        )
    if missing:
        notes.append(f"Left out: {len(missing):,} of the images that the table names: missing.")
    return [matched.get(place) for place in places]
