"""Images in NumPy arrays (.npy, .npz): course files such as X_train and y_train, and MedMNIST."""

import re
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import CLASS_NAMES, TEST, TRAIN, VALIDATION, Stored, limit_fault
from hpo.data.table import SPLIT_NAMES, Row, Table, named
from hpo.errors import DataError, fault_list
from hpo.tables import count

_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Arrays of archives are unpacked into memory.
_MOST_UNPACKED: Final = 8_000_000_000
# Larger files are mapped, and must not be rewritten while they are read.
_MOST_IN_MEMORY: Final = 1_000_000_000
_LONGEST_LABEL: Final = 400

_Array: TypeAlias = NDArray[Any]

# Arrays of one class, in the order of the data set: split and class.
_FILES: Final = {
    "normal.npy": (TRAIN, "normal"),
    "pneumonia.npy": (TRAIN, "pneumonia"),
    "test_normal.npy": (TEST, "normal"),
    "test_pneumonia.npy": (TEST, "pneumonia"),
}
# X_train and y_train; train_images and train_labels; images, labels and patients.
_SPLIT: Final = "|".join(sorted(SPLIT_NAMES, key=len, reverse=True))
_NAME: Final = re.compile(
    rf"(?:(?P<before>{_SPLIT})[_-]?)?(?:(?P<images>x|images?)|(?P<labels>y|labels?|targets?)"
    rf"|(?P<patients>patients?|groups))(?:[_-]?(?P<after>{_SPLIT}))?(?:\.npy)?",
    re.IGNORECASE,
)


class _Part(NamedTuple):
    """The arrays of a split: images, labels and patients, or images of one class."""

    split: int | None
    images: str
    labels: str = ""
    patients: str = ""
    kind: str = ""


class _Gray(NamedTuple):
    """Height and width of images, the factor to gray values, and their type."""

    sides: tuple[int, int]
    dtype: type[np.uint8] | type[np.uint16] = np.uint8
    factor: int = 1
    note: str = ""


def looks_like(path: Path) -> bool:
    """Whether a path is an .npz file, or a folder with .npy files of known names."""
    if path.suffix.lower() == ".npz" and path.is_file():
        return True
    names = [file.name for file in path.glob("*.npy")] if path.is_dir() else []
    return any(name in _FILES or _NAME.fullmatch(name) for name in names)


def read(path: Path) -> Table:
    """Read the labels and patients of image arrays, and the meaning of their values.

    Raises:
        DataError: every missing or invalid array.
    """
    is_archive = path.is_file()
    with _reading(path):
        if is_archive:
            with zipfile.ZipFile(path) as archive:
                present = {name.removesuffix(".npy") for name in archive.namelist()}
        else:
            present = {file.name for file in path.glob("*.npy") if file.is_file()}
    parts, faults = _parts(present)
    grays, rows, places = dict[str, _Gray](), list[Row](), dict[str, tuple[str, int]]()
    is_turned = bool(parts)
    for part in parts:
        try:
            array = _load(path, part.images)
            grays[part.images] = _gray(part.images, array)
            part_rows = _rows(path, part, len(array))
        except DataError as fault:
            faults.append(str(fault))
        else:
            places |= {row.image: (part.images, i) for i, row in enumerate(part_rows)}
            rows += part_rows
            is_turned &= array.shape[0] == array.shape[1] != array.shape[2]
    if not faults and is_turned:
        faults.append(
            "Their shapes look like (height, width, n). Save np.ascontiguousarray(np.moveaxis("
            "array, -1, 0))."
        )
    if faults:
        raise DataError(fault_list(f"The arrays of {path} cannot be used:", faults))
    is_medmnist = "train_images" in grays
    kinds = {row.labels[0] for row in rows}
    if all(map(str.isdecimal, kinds)):
        names = {}
        if len(kinds) > 2:
            names = {kind: f"class {kind}" for kind in kinds}
        elif kinds <= {"0", "1"} and is_medmnist:
            names = dict(zip(("0", "1"), CLASS_NAMES, strict=True))
        rows = [row._replace(labels=(names.get(row.labels[0], row.labels[0]),)) for row in rows]
    used = [name for part in parts for name in part[1:4] if name]
    of_archive = "MedMNIST archive" if is_medmnist else "npz archive"
    return Table(
        name=path.stem if is_archive else path.name,
        location=str(path),
        format=of_archive if is_archive else "npy files",
        rows=rows,
        patients_by="array" if any(part.patients for part in parts) else "",
        paths=[str(path if is_archive else path / name) for name in grays],
        read=lambda some: _read(path, [places[image] for image in some], grays),
        notes=tuple(_notes(grays, used, sorted(present.difference(used)))),
    )


def _parts(present: Collection[str]) -> tuple[list[_Part], list[str]]:
    """Return the arrays of each split, and the missing ones."""
    if splits := {split for name, (split, _) in _FILES.items() if name in present}:
        needed = {name: at for name, at in _FILES.items() if at[0] in splits | {TRAIN}}
        missing = [f"{name} is missing" for name in needed if name not in present]
        given = [(split, name, kind) for name, (split, kind) in needed.items() if name in present]
        return [_Part(split, name, kind=kind) for split, name, kind in given], missing
    by_split: defaultdict[int | None, dict[str, str]] = defaultdict(dict)
    for name in sorted(present):
        if match := _NAME.fullmatch(name):
            of = match["before"] or match["after"]
            kind = next(kind for kind in ("images", "labels", "patients") if match[kind])
            by_split[SPLIT_NAMES[of.lower()] if of else None][kind] = name
    faults = []
    if not {None, TRAIN} & by_split.keys():
        faults.append(
            f"train_images is missing: there is only {named([*map(ascii, sorted(present))])}"
        )
    parts = []
    for split in (None, TRAIN, VALIDATION, TEST):
        names = by_split.get(split, {})
        if {"images", "labels"} <= names.keys():
            parts.append(_Part(split, **names))
        elif single := names.get("images") or names.get("labels"):
            lacking = "labels" if "images" in names else "images"
            faults.append(f"{single} lacks its {lacking}")
    return parts, faults


def _rows(path: Path, part: _Part, n_images: int) -> list[Row]:
    labels, patients = [part.kind] * n_images, [""] * n_images
    if part.labels:
        labels = _read_names(path, part.labels, n_images)
    if part.patients:
        patients = _read_names(path, part.patients, n_images)
    return [
        Row(f"{part.images}[{i}]", (label,), part.split, patient, bool(patient))
        for i, (label, patient) in enumerate(zip(labels, patients, strict=True))
    ]


def _notes(grays: dict[str, _Gray], used: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    if others:
        yield (
            f"Left out: {count(len(others), 'array')} ({named([*map(ascii, others)])}). Only "
            f"{', '.join(used)} are read."
        )
    yield from (gray.note for gray in grays.values() if gray.note)
    if len({gray.sides for gray in grays.values()}) > 1:
        sizes = ", ".join("{2} x {1} in {0}".format(n, *gray.sides) for n, gray in grays.items())
        yield f"Image sizes differ between arrays ({sizes}); a network may learn the size."


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in all errors: archives may be damaged, encrypted, …"""
    try:
        yield
    except DataError:
        raise
    except Exception as problem:
        if "allow_pickle" in str(problem):
            raise DataError(
                f"{path} contains Python objects, perhaps images of different sizes. Save numbers "
                "of one shape, or image files."
            ) from None
        raise DataError(
            f"{path} is damaged or cannot be read: {str(problem)[:200]}. Copy or download it "
            "again."
        ) from None


def _load(path: Path, name: str) -> _Array:
    """Read an array of a folder or an archive."""
    with _reading(path / name):
        if path.is_dir():
            is_large = (path / name).stat().st_size > _MOST_IN_MEMORY
            return cast(_Array, np.load(path / name, "r" if is_large else None))
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type not in _COMPRESSIONS:
                raise zipfile.BadZipFile("its compression is not supported")
            if member.file_size > _MOST_UNPACKED:
                raise DataError(
                    f"{name} needs {member.file_size / 1e9:.0f} GB of memory, but the limit is "
                    f"{_MOST_UNPACKED / 1e9:.0f} GB: save it as .npy"
                )
            with archive.open(member) as file:
                return np.lib.format.read_array(file)


def _gray(name: str, array: _Array) -> _Gray:
    """Return the meaning of the values of an image array, or raise DataError."""
    shape, dtype, kind = array.shape, array.dtype, array.dtype.kind
    is_image = len(shape) == 3 or (len(shape) == 4 and bool({shape[1], shape[3]} & {1, 3}))
    if kind not in "uif" or not is_image or 0 in shape[1:]:
        raise DataError(
            f"{name} must have numbers of shape (n, height, width), or 1 or 3 channels after n or "
            f"at the end, but is {dtype} of shape {shape}"
        )
    first = 2 if len(shape) == 4 and shape[3] not in {1, 3} else 1
    sides = shape[first], shape[first + 1]
    if fault := limit_fault(*sides, shape[0]):
        raise DataError(f"{name} contains {fault}")
    if dtype == np.uint8 or not array.size:
        return _Gray(sides)
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise DataError(f"{name} contains values that are NaN or infinite. Remove them")
    if not (low >= 0 and high <= (65_535 if kind in "ui" and len(shape) == 3 else 255)):
        raise DataError(
            f"{name} contains {dtype} from {low:g} to {high:g}: save gray values from 0 to 1 or "
            "255, before standardization"
        )
    if dtype == np.uint16:
        return _Gray(sides, np.uint16)
    gray = np.uint16 if kind in "ui" and high > 255 else np.uint8
    is_share = kind == "f" and high <= 1
    most = 1 if is_share else np.iinfo(gray).max
    note = f"{name} contains {dtype}: 0 to {most:,} is read as black to white."
    return _Gray(sides, gray, 255 if is_share else 1, note)


def _read_names(path: Path, name: str, n_images: int) -> list[str]:
    """Read labels or patients as texts, or raise DataError."""
    array = _load(path, name)
    kind, type_text = array.dtype.kind, f"{array.dtype} of shape {array.shape}"
    is_known = kind in "biuf" or (kind in "US" and array.dtype.itemsize <= _LONGEST_LABEL)
    if not is_known or not array.shape or array.shape[1:] not in {(), (1,)}:
        raise DataError(f"{name} must be numbers or texts (n,) or (n, 1), but is {type_text}")
    if len(array) != n_images:
        raise DataError(f"{name} is {type_text}, but there are {count(n_images, 'image')}")
    if kind == "S":
        array = np.char.decode(array, "latin-1")
    elif kind in "bf":
        if not np.array_equal(array, np.rint(array.astype(np.float64))):
            raise DataError(f"{name} contains values that are not whole numbers")
        array = array.astype(np.int64)
    return [*map(str, array.ravel().tolist())]


def _read(
    path: Path, rows: Sequence[tuple[str, int]], grays: dict[str, _Gray]
) -> Iterator[Stored]:
    """Yield gray images by the names of their arrays and their positions in them."""
    for name, positions in groupby(rows, itemgetter(0)):
        array, gray = _load(path, name), grays[name]
        for _, i in positions:
            with _reading(path / name):
                image = array[i]
                if image.ndim == 3 and image.shape[2] not in {1, 3}:
                    image = np.moveaxis(image, 0, -1)
                if image.dtype != gray.dtype:
                    image = np.rint(image * gray.factor).astype(gray.dtype)
            if image.ndim == 3 and image.shape[2] == 3:  # Luma as in Pillow, ITU-R 601.
                luma = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
                image = ((luma + 0x8000) >> 16).astype(np.uint8)
            yield image[:, :, 0] if image.ndim == 3 else image
