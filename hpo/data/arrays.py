"""Images in NumPy arrays (.npy, .npz): course files such as X_train and y_train, and MedMNIST.

Nothing that a header claims is believed, and images are read one at a time: neither a header, nor
a shape, nor an archive that unpacks to any size takes memory. Files are not mapped: one that is
written anew meanwhile would end this process.
"""

import io
import math
import re
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import CLASS_NAMES, TEST, TRAIN, VALIDATION, Pixels, Stored, limit_fault
from hpo.data.table import SPLIT_NAMES, Row, Table, named
from hpo.errors import DataError, fault_list
from hpo.tables import count

_READERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# A header may claim to be 4 GB long. That of an array of images has 128 bytes.
_LONGEST: Final = 12_000
# What NumPy writes. Others take memory as the file says.
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# In Fortran order no image can be read without the others.
_MAX_FORTRAN_BYTES: Final = 1_000_000_000
_LONGEST_LABEL: Final = 400

_Open: TypeAlias = Callable[[str], IO[bytes]]

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
    """The images of a split: their array, and those of their labels and patients, or a class."""

    split: int | None
    images: str
    labels: str = ""
    patients: str = ""
    kind: str = ""


class _Array(NamedTuple):
    """An array as its header says, and the factor that makes its values gray values of a type."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    is_fortran: bool
    start: int
    gray: type[np.uint8] | type[np.uint16] = np.uint8
    factor: int = 1

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of its images."""
        first = 2 if len(self.shape) == 4 and self.shape[3] not in {1, 3} else 1
        return self.shape[first], self.shape[first + 1]


def looks_like(path: Path) -> bool:
    """Whether a path is an .npz file, or a folder with .npy files of names that are known."""
    if path.suffix.lower() == ".npz" and path.is_file():
        return True
    names = [file.name for file in path.glob("*.npy")] if path.is_dir() else []
    return any(name in _FILES or _NAME.fullmatch(name) for name in names)


def read(path: Path) -> Table:
    """Read the headers of arrays of images, their labels and patients.

    Raises:
        DataError: every missing or unfit array.
    """
    is_archive, open_array = path.is_file(), partial(_open_array, path)
    with _reading(path):
        if is_archive:
            with zipfile.ZipFile(path) as archive:
                present = {name.removesuffix(".npy") for name in archive.namelist()}
        else:
            present = {file.name for file in path.glob("*.npy") if file.is_file()}
    parts, faults = _parts(present)
    arrays, rows, places = dict[str, _Array](), list[Row](), dict[str, tuple[str, int]]()
    for part in parts:
        try:
            with _reading(path):
                arrays[part.images] = _read_images(part.images, open_array)
                found = _rows(part, arrays[part.images].shape[0], open_array)
        except DataError as fault:
            faults.append(str(fault))
        else:
            places |= {row.image: (part.images, i) for i, row in enumerate(found)}
            rows += found
    shapes = [one.shape for one in arrays.values()]
    if not faults and all(shape[0] == shape[1] != shape[2] for shape in shapes):
        faults.append(
            "Their shapes look like (height, width, n). Save np.ascontiguousarray(np.moveaxis("
            "array, -1, 0))."
        )
    if faults:
        raise DataError(fault_list(f"The arrays of {path} cannot be used:", faults))
    is_medmnist = "train_images" in arrays
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
        paths=[str(path if is_archive else path / name) for name in arrays],
        read=lambda some: _read(path, [places[image] for image in some], arrays),
        notes=tuple(_notes(arrays, used, sorted(present.difference(used)))),
    )


def _parts(present: Collection[str]) -> tuple[list[_Part], list[str]]:
    """Return the arrays of each split, and which are missing."""
    if splits := {split for name, (split, _) in _FILES.items() if name in present}:
        asked = {name: at for name, at in _FILES.items() if at[0] in splits | {TRAIN}}
        missing = [f"{name} is missing" for name in asked if name not in present]
        given = [(split, name, kind) for name, (split, kind) in asked.items() if name in present]
        return [_Part(split, name, kind=kind) for split, name, kind in given], missing
    found: defaultdict[int | None, dict[str, str]] = defaultdict(dict)
    for name in sorted(present):
        if match := _NAME.fullmatch(name):
            of = match["before"] or match["after"]
            kind = next(kind for kind in ("images", "labels", "patients") if match[kind])
            found[SPLIT_NAMES[of.lower()] if of else None][kind] = name
    faults = [] if {None, TRAIN} & found.keys() else ["train_images is missing"]
    parts = []
    for split in (None, TRAIN, VALIDATION, TEST):
        names = found.get(split, {})
        if {"images", "labels"} <= names.keys():
            parts.append(_Part(split, **names))
        elif lone := names.get("images") or names.get("labels"):
            lacking = "labels" if "images" in names else "images"
            faults.append(f"{lone} is there, but not its {lacking}")
    return parts, faults


def _rows(part: _Part, n_images: int, open_array: _Open) -> list[Row]:
    labels, patients = [part.kind] * n_images, [""] * n_images
    if part.labels:
        labels = _read_names(part.labels, open_array, n_images)
    if part.patients:
        patients = _read_names(part.patients, open_array, n_images)
    return [
        Row(f"{part.images}[{i}]", (label,), part.split, patient, bool(patient))
        for i, (label, patient) in enumerate(zip(labels, patients, strict=True))
    ]


def _open_array(path: Path, name: str) -> IO[bytes]:
    if path.is_dir():
        return (path / name).open("rb")
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(f"{name}.npy").compress_type not in _COMPRESSIONS:
            raise zipfile.BadZipFile(f"{name} is compressed in a way that NumPy does not use")
        return archive.open(f"{name}.npy")  # It keeps the file open for itself.


def _notes(arrays: dict[str, _Array], used: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    if others:
        yield (
            f"Left out: {count(len(others), 'array')} ({named([*map(ascii, others)])}). Only "
            f"{', '.join(used)} are read."
        )
    for name, array in arrays.items():
        if array.dtype != array.gray:
            most = 1 if array.factor == 255 else np.iinfo(array.gray).max
            yield f"{name} holds {array.dtype}: 0 to {most:,} is read as black to white."
    if len({array.sides for array in arrays.values()}) > 1:
        each = ", ".join("{2} x {1} in {0}".format(*(n, *a.sides)) for n, a in arrays.items())
        yield f"Image sizes differ between arrays ({each}); a network may learn the size."


def _read_images(name: str, open_array: _Open) -> _Array:
    """Read the header of an array of images; a DataError says what is wrong with it."""
    array = _read_header(name, open_array)
    shape, kind = array.shape, array.dtype.kind
    is_image = len(shape) == 3 or (len(shape) == 4 and bool({shape[1], shape[3]} & {1, 3}))
    if kind not in "uif" or not is_image or min(shape) < 0 or 0 in shape[1:]:
        raise DataError(
            f"{name} takes numbers of shape (n, height, width), or with 1 or 3 channels after n "
            f"or at the end, but is {array}"
        )
    if fault := limit_fault(*array.sides, shape[0]):
        raise DataError(f"{name} holds {fault}")
    if array.is_fortran and math.prod(shape) * array.dtype.itemsize > _MAX_FORTRAN_BYTES:
        raise DataError(f"{name} is in Fortran order: save np.ascontiguousarray of it")
    if array.dtype == np.uint8:
        return array
    low, high = 0.0, 0.0
    for image in _stored(array, range(shape[0]), open_array):
        least, most = float(image.min()), float(image.max())
        if not (math.isfinite(least) and math.isfinite(most)):
            raise DataError(f"{name} holds values that are not finite")
        low, high = min(low, least), max(high, most)
    if low < 0 or high > (65_535 if kind in "ui" and len(shape) == 3 else 255):
        raise DataError(
            f"{name} holds {array.dtype} from {low:g} to {high:g}: save gray values from 0 to 1 "
            "or 255, from before they were standardized"
        )
    if kind in "ui" and (high > 255 or array.dtype == np.uint16):
        return array._replace(gray=np.uint16)
    return array._replace(factor=255 if high <= 1 and kind == "f" else 1)


def _read_names(name: str, open_array: _Open, n_images: int) -> list[str]:
    """Read labels or patients as texts; a DataError says what is wrong with them."""
    array = _read_header(name, open_array)
    kind = array.dtype.kind
    is_known = kind in "biuf" or (kind in "US" and array.dtype.itemsize <= _LONGEST_LABEL)
    if not is_known or not array.shape or array.shape[1:] not in {(), (1,)}:
        raise DataError(f"{name} takes numbers or texts (n,) or (n, 1), but is {array}")
    if array.shape[0] != n_images:
        raise DataError(f"{name} is {array}, but there are {count(n_images, 'image')}")
    with open_array(name) as file:
        values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False).ravel()
    if kind == "S":
        values = np.char.decode(values, "latin-1")
    elif kind in "bf":
        if not np.array_equal(values, np.rint(values.astype(np.float64))):
            raise DataError(f"{name} holds values that are not whole numbers")
        values = values.astype(np.int64)
    return [*map(str, values.tolist())]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong: archives are damaged, encrypted, … in any way."""
    try:
        yield
    except DataError:
        raise
    except Exception as problem:
        raise DataError(
            f"{path} is damaged or cannot be read: {str(problem)[:200]}. Copy or download it "
            "again."
        ) from None


def _read_header(name: str, open_array: _Open) -> _Array:
    with open_array(name) as file:
        start = io.BytesIO(file.read(_LONGEST))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Headers that Python 2 wrote.
            reader = _READERS[np.lib.format.read_magic(start)]
            shape, is_fortran, dtype = reader(start)
    except Exception:  # NumPy's parser raises whatever a header makes it stumble over.
        raise ValueError(f"{name} is not a NumPy array: invalid header") from None
    return _Array(name, dtype, tuple(map(int, shape)), is_fortran, start.tell())


def _read(
    path: Path, rows: Sequence[tuple[str, int]], arrays: dict[str, _Array]
) -> Iterator[Stored]:
    """Yield gray images by the names of their arrays and their places in them."""
    with _reading(path):
        for name, wanted in groupby(rows, itemgetter(0)):
            array = arrays[name]
            for image in _stored(array, (i for _, i in wanted), partial(_open_array, path)):
                if image.ndim == 3 and image.shape[2] not in {1, 3}:
                    image = np.moveaxis(image, 0, -1)
                if image.dtype != array.gray:
                    image = np.rint(image * array.factor).astype(array.gray)
                yield _to_gray(image) if image.ndim == 3 else image


def _stored(array: _Array, wanted: Iterable[int], open_array: _Open) -> Iterator[NDArray[Any]]:
    """Yield images as an array has them, by their places in it."""
    shape = array.shape[1:]
    n_bytes = math.prod(shape) * array.dtype.itemsize
    with open_array(array.name) as file:
        if array.is_fortran:
            images = np.lib.format.read_array(file, allow_pickle=False)
            yield from (images[i] for i in wanted)
            return
        file.read(array.start)
        for i in wanted:
            place = array.start + i * n_bytes
            if file.tell() != place:  # A seek may switch the checksum of an archive off.
                file.seek(place)
            content = file.read(n_bytes)
            if len(content) < n_bytes:
                raise EOFError(f"{array.name} is cut short")
            yield np.frombuffer(content, array.dtype).reshape(shape)


def _to_gray(image: Pixels) -> Pixels:
    """Return the luma of ITU-R 601, in integers as Pillow has it."""
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    luma = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((luma + 0x8000) >> 16).astype(np.uint8)
