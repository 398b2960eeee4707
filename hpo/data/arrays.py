"""Images in NumPy arrays: the course's four .npy files, and MedMNIST archives (.npz).

Nothing that a header claims is believed, and images are read one at a time: neither a header, nor
a shape, nor an archive that unpacks to any size takes memory. Files are not mapped: one that is
written anew meanwhile would end this process.
"""

import io
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.config import MOST_CLASSES
from hpo.data.dataset import CLASS_NAMES, TEST, TRAIN, VALIDATION, Pixels, limit_fault
from hpo.data.table import Row, Table
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
_MOST_NAMED: Final = 5

_Open: TypeAlias = Callable[[str], IO[bytes]]
_Layout: TypeAlias = dict[str, tuple[int, int | str]]
"""By the name of an array of images: its split, and their one label or the array of labels."""

# In the order of the data set. Only training images must be there.
_FILES: Final[_Layout] = {
    "normal.npy": (TRAIN, 0),
    "pneumonia.npy": (TRAIN, 1),
    "test_normal.npy": (TEST, 0),
    "test_pneumonia.npy": (TEST, 1),
}
_MEMBERS: Final[_Layout] = {
    "train_images": (TRAIN, "train_labels"),
    "val_images": (VALIDATION, "val_labels"),
    "test_images": (TEST, "test_labels"),
}


class _Header(NamedTuple):
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    is_fortran: bool
    n_bytes: int

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"


def looks_like(path: Path) -> bool:
    """Whether a path is an .npz file, or a folder that holds one of the four files."""
    is_archive = path.suffix.lower() == ".npz" and path.is_file()
    return is_archive or any((path / name).is_file() for name in _FILES)


def read(path: Path) -> Table:
    """Read the headers of arrays of images, and the labels of an archive.

    Raises:
        DataError: every missing or unfit array.
    """
    is_archive = path.is_file()
    if is_archive:
        layout, open_array = _MEMBERS, partial(_open_member, path)
        summary = f"{path} is not a MedMNIST archive:"
        with _reading(path), zipfile.ZipFile(path) as archive:
            present = {name.removesuffix(".npy") for name in archive.namelist()}
    else:
        layout, open_array = _FILES, partial(_open_file, path)
        summary = f"The .npy files in {path} cannot be used:"
        present = {file.name for file in path.glob("*.npy") if file.is_file()}
    known = [one for name in layout for one in _needed(name, layout)]
    shapes, labels, faults = _read_headers(path, layout, present, open_array)
    if not faults and all(shape[0] == shape[1] != shape[2] for shape in shapes.values()):
        faults.append(
            "Their shapes look like (height, width, n). Save np.ascontiguousarray(np.moveaxis("
            "array, -1, 0))."
        )
    if faults:
        raise DataError(fault_list(summary, faults))
    n_classes = 1 + max((int(own.max()) for own in labels.values() if len(own)), default=0)
    names = CLASS_NAMES if n_classes <= 2 else [f"class {label}" for label in range(n_classes)]
    places = [(name, i) for name, shape in shapes.items() for i in range(shape[0])]
    return Table(
        name=path.stem if is_archive else path.name,
        location=str(path),
        format="MedMNIST archive" if is_archive else "npy files",
        rows=[
            Row(f"{name}[{i}]", (names[labels[name][i]],), layout[name][0]) for name, i in places
        ],
        paths=(path,) if is_archive else tuple(path / name for name in shapes),
        originals=lambda positions: _read(path, [places[p] for p in positions], open_array),
        notes=tuple(_notes(shapes, known, sorted(present.difference(known)))),
    )


def _needed(name: str, layout: _Layout) -> list[str]:
    """Return the names of an array of images and of its labels, where these are an array."""
    label = layout[name][1]
    return [name, label] if isinstance(label, str) else [name]


def _read_headers(
    path: Path, layout: _Layout, present: set[str], open_array: _Open
) -> tuple[dict[str, tuple[int, ...]], dict[str, NDArray[np.uint8]], list[str]]:
    """Return the shapes of the arrays of images, their labels, and what is wrong with them."""
    shapes, labels, faults = dict[str, tuple[int, ...]](), dict[str, NDArray[np.uint8]](), []
    splits = {TRAIN} | {layout[name][0] for name in layout if present & {*_needed(name, layout)}}
    for name, (split, label) in layout.items():
        if split not in splits:
            continue
        if missing := [one for one in _needed(name, layout) if one not in present]:
            faults += [f"{one} is missing" for one in missing]
            continue
        try:
            with _reading(path):
                shape = _read_shape(name, open_array, may_have_color=isinstance(label, str))
                if isinstance(label, str):
                    labels[name] = _read_labels(label, open_array, shape[0])
                else:
                    labels[name] = np.full(shape[0], label, np.uint8)
                shapes[name] = shape
        except DataError as fault:
            faults.append(str(fault))
    return shapes, labels, faults


def _open_file(path: Path, name: str) -> IO[bytes]:
    return (path / name).open("rb")


def _open_member(path: Path, name: str) -> IO[bytes]:
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(f"{name}.npy").compress_type not in _COMPRESSIONS:
            raise zipfile.BadZipFile(f"{name} is compressed in a way that NumPy does not use")
        return archive.open(f"{name}.npy")  # It keeps the file open for itself.


def _notes(
    shapes: dict[str, tuple[int, ...]], known: Sequence[str], others: Sequence[str]
) -> Iterator[str]:
    if others:
        named = ", ".join(map(ascii, others[:_MOST_NAMED])) + ", …" * (len(others) > _MOST_NAMED)
        only = f"Only {', '.join(known)} are read."
        yield f"Left out: {count(len(others), 'array')} ({named}). {only}"
    sizes = {name: f"{shape[2]} x {shape[1]}" for name, shape in shapes.items()}
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        yield f"Image sizes differ between files ({each}); a network may learn the size."


def _read_shape(name: str, open_array: _Open, *, may_have_color: bool) -> tuple[int, ...]:
    """Return the shape of an array of images; a DataError says what is wrong with it."""
    header = _read_header(name, open_array)
    shape = header.shape
    is_image = len(shape) == 3 or (may_have_color and len(shape) == 4 and shape[3] in {1, 3})
    if header.dtype != np.uint8 or not is_image or min(shape) < 0 or 0 in shape[1:]:
        color = " or (n, height, width, 3)" * may_have_color
        raise DataError(f"{name} takes uint8 of shape (n, height, width){color}, but is {header}")
    if fault := limit_fault(shape[1], shape[2], shape[0]):
        raise DataError(f"{name} holds {fault}")
    if header.is_fortran and math.prod(shape) > _MAX_FORTRAN_BYTES:
        raise DataError(f"{name} is in Fortran order: save np.ascontiguousarray of it")
    return shape


def _read_labels(name: str, open_array: _Open, n_images: int) -> NDArray[np.uint8]:
    """Return the labels of an archive; a DataError says what is wrong with them."""
    header = _read_header(name, open_array)
    if header.dtype.kind not in "biu" or not header.shape or header.shape[1:] not in {(), (1,)}:
        raise DataError(f"{name} takes whole numbers (n,) or (n, 1), but is {header}")
    if header.shape[0] != n_images:
        raise DataError(f"{name} is {header}, but there are {count(n_images, 'image')}")
    with open_array(name) as file:
        values = np.lib.format.read_array(file, allow_pickle=False).ravel()
    if not np.isin(values, range(MOST_CLASSES)).all():
        raise DataError(f"{name} holds values other than 0 to {MOST_CLASSES - 1}")
    return values.astype(np.uint8)


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


def _read_header(name: str, open_array: _Open) -> _Header:
    with open_array(name) as file:
        start = io.BytesIO(file.read(_LONGEST))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Headers that Python 2 wrote.
            reader = _READERS[np.lib.format.read_magic(start)]
            shape, is_fortran, dtype = reader(start)
    except Exception:  # NumPy's parser raises whatever a header makes it stumble over.
        raise ValueError(f"{name} is not a NumPy array: invalid header") from None
    return _Header(dtype, tuple(map(int, shape)), is_fortran, start.tell())


def _read(path: Path, rows: Sequence[tuple[str, int]], open_array: _Open) -> Iterator[Pixels]:
    """Yield gray images by the names of their arrays and their places in them."""
    with _reading(path):
        for name, wanted in groupby(rows, itemgetter(0)):
            header = _read_header(name, open_array)
            shape, n_bytes = header.shape[1:], math.prod(header.shape[1:])
            with open_array(name) as file:
                if header.is_fortran:
                    images = np.lib.format.read_array(file, allow_pickle=False)
                    yield from (_to_gray(images[i]) for _, i in wanted)
                    continue
                file.read(header.n_bytes)
                for _, i in wanted:
                    place = header.n_bytes + i * n_bytes
                    if file.tell() != place:  # A seek may switch the checksum of an archive off.
                        file.seek(place)
                    content = file.read(n_bytes)
                    if len(content) < n_bytes:
                        raise EOFError(f"{name} is cut short")
                    yield _to_gray(np.frombuffer(content, np.uint8).reshape(shape))


def _to_gray(image: Pixels) -> Pixels:
    """Return the luma of ITU-R 601, in integers as Pillow has it."""
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    luma = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((luma + 0x8000) >> 16).astype(np.uint8)
