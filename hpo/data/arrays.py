"""Images in NumPy arrays: the course's four .npy files, and MedMNIST archives (.npz).

Nothing that a header claims is believed, and images are read one at a time: neither a header, nor
a shape, nor an archive that unpacks to any size takes memory. Files are not mapped: one that is
written anew meanwhile would end this process.
"""

import io
import math
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import (
    NORMAL,
    PNEUMONIA,
    TEST,
    TRAIN,
    VALIDATION,
    Pixels,
    Source,
    limit_fault,
)
from hpo.errors import DataError, fault_list
from hpo.tables import count

# In the order of the data set. Only the test files may be absent, both together.
_FILES: Final = {
    "normal.npy": (TRAIN, NORMAL),
    "pneumonia.npy": (TRAIN, PNEUMONIA),
    "test_normal.npy": (TEST, NORMAL),
    "test_pneumonia.npy": (TEST, PNEUMONIA),
}
_SPLITS: Final = {"train": TRAIN, "val": VALIDATION, "test": TEST}

_READERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# A header may claim to be 4 GB long. That of an array of images has 128 bytes.
_LONGEST: Final = 12_000
# In Fortran order no image can be read without the others.
_MAX_FORTRAN_BYTES: Final = 1_000_000_000
# What NumPy writes. Others take memory as the file says.
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LONGEST_REASON: Final = 200
_MOST_NAMED: Final = 5

_Open: TypeAlias = Callable[[str], IO[bytes]]
_Part: TypeAlias = tuple[int, NDArray[np.uint8]]
"""The split of an array of images, and their labels."""


class _Header(NamedTuple):
    """Type and shape of an array, and the offset of its values."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    is_fortran: bool
    offset: int

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"


def is_npy_folder(path: Path) -> bool:
    """Whether a folder holds one of the four files."""
    return any((path / name).is_file() for name in _FILES)


def read_npy_folder(path: Path) -> Source:
    """Read the headers of the arrays in a folder.

    Raises:
        DataError: every missing or unfit file.
    """

    def open_file(name: str) -> IO[bytes]:
        return (path / name).open("rb")

    present = [name for name in _FILES if (path / name).is_file()]
    is_tested = any(_FILES[name][0] == TEST for name in present)
    needed = [name for name, (split, _) in _FILES.items() if split != TEST or is_tested]
    faults = [f"{name} is missing" for name in needed if name not in present]
    shapes: dict[str, tuple[int, ...]] = {}
    for name in present:
        try:
            header = _read_header(name, open_file)
        except (OSError, ValueError) as problem:
            faults.append(str(problem))
        else:
            shapes[name] = header.shape
            faults += _image_faults(name, header, may_have_color=False)
    if not faults and all(n == height != width for n, height, width in shapes.values()):
        faults = [
            "Their shapes look like (height, width, n). Save np.ascontiguousarray(np.moveaxis("
            "array, -1, 0))."
        ]
    if faults:
        raise DataError(fault_list(f"The .npy files in {path} cannot be used:", faults))

    notes = _left_out({file.name for file in path.glob("*.npy")} - set(_FILES), _FILES)
    sizes = {name: f"{width} x {height}" for name, (_, height, width) in shapes.items()}
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        notes.append(f"Image sizes differ between files ({each}); a network may learn the size.")
    parts = {
        name: (_FILES[name][0], np.full(n, _FILES[name][1], np.uint8))
        for name, (n, *_) in shapes.items()
    }
    paths = tuple(path / name for name in shapes)
    return _source(path, path.name, "npy files", parts, paths, open_file, notes)


def is_archive(path: Path) -> bool:
    """Whether a path is an .npz file."""
    return path.suffix.lower() == ".npz" and path.is_file()


def read_archive(path: Path) -> Source:
    """Read the labels of an archive, and only the headers of its images.

    Raises:
        DataError: every missing or unfit array.
    """

    def open_member(name: str) -> IO[bytes]:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(f"{name}.npy").compress_type not in _COMPRESSIONS:
                raise ValueError(f"{name} is compressed in a way that NumPy does not use")
            return archive.open(f"{name}.npy")  # It keeps the file open for itself.

    known = [f"{split}_{kind}" for split in _SPLITS for kind in ("images", "labels")]
    faults: list[str] = []
    parts: dict[str, _Part] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist()}
        headers = {name: _read_header(name, open_member) for name in known if name in members}
        for split, code in _SPLITS.items():
            images, column = headers.get(f"{split}_images"), headers.get(f"{split}_labels")
            if split != "train" and not images and not column:
                continue
            found = list(_archive_faults(split, images, column))
            if images and not found:
                with open_member(f"{split}_labels") as file:
                    values = np.lib.format.read_array(file, allow_pickle=False).ravel()
                if not np.isin(values, (0, 1)).all():
                    found = [
                        f"{split}_labels holds values other than 0 (normal) and 1 (pneumonia)"
                    ]
                parts[f"{split}_images"] = (code, values.astype(np.uint8))
            faults += found
    except Exception as problem:  # Archives are damaged, encrypted, … in any way.
        raise _damaged(path, problem) from None
    if faults:
        raise DataError(fault_list(f"{path} is not a MedMNIST archive of two classes:", faults))
    notes = _left_out(members.difference(known), known)
    return _source(path, path.stem, "MedMNIST archive", parts, (path,), open_member, notes)


def _source(
    path: Path,
    name: str,
    format: str,
    parts: Mapping[str, _Part],
    paths: tuple[Path, ...],
    open_array: _Open,
    notes: list[str],
) -> Source:
    rows = [(name, i) for name, (_, labels) in parts.items() for i in range(len(labels))]
    splits = [np.full(len(labels), split, np.uint8) for split, labels in parts.values()]
    return Source(
        name=name,
        location=str(path),
        format=format,
        labels=np.concatenate([labels for _, labels in parts.values()]),
        split=np.concatenate(splits),
        files=tuple(f"{name}[{i}]" for name, i in rows),
        paths=paths,
        originals=lambda positions: _read(path, [rows[p] for p in positions], open_array),
        notes=tuple(notes),
    )


def _archive_faults(split: str, images: _Header | None, labels: _Header | None) -> Iterator[str]:
    if images:
        yield from _image_faults(f"{split}_images", images, may_have_color=True)
    else:
        yield f"{split}_images is missing"
    if not labels:
        yield f"{split}_labels is missing"
    elif labels.dtype.kind not in "biu" or labels.shape[1:] not in {(), (1,)} or not labels.shape:
        yield f"{split}_labels takes whole numbers (n,) or (n, 1), but is {labels}"
    elif images and images.shape[:1] != labels.shape[:1]:
        yield f"{split}_labels is {labels}, but {split}_images is {images}"


def _image_faults(name: str, header: _Header, *, may_have_color: bool) -> Iterator[str]:
    shape = header.shape
    is_image = len(shape) == 3 or (may_have_color and len(shape) == 4 and shape[3] in {1, 3})
    if header.dtype != np.uint8 or not is_image or min(shape) < 0 or 0 in shape[1:]:
        color = " or (n, height, width, 3)" * may_have_color
        yield f"{name} takes uint8 of shape (n, height, width){color}, but is {header}"
    elif fault := limit_fault(shape[1], shape[2], shape[0]):
        yield f"{name} holds {fault}"
    elif header.is_fortran and math.prod(shape) > _MAX_FORTRAN_BYTES:
        yield f"{name} is in Fortran order: save np.ascontiguousarray of it"


def _left_out(others: set[str], known: Iterable[str]) -> list[str]:
    """Return a note on arrays that are not read, and nothing where there are none."""
    if not others:
        return []
    named = ", ".join(map(ascii, sorted(others)[:_MOST_NAMED]))
    more = ", …" * (len(others) > _MOST_NAMED)
    only = f"Only {', '.join(known)} are read."
    return [f"Left out: {count(len(others), 'array')} ({named}{more}). {only}"]


def _damaged(path: Path, problem: Exception) -> DataError:
    return DataError(
        f"{path} is damaged or cannot be read: {str(problem)[:_LONGEST_REASON]}. Copy or download "
        "it again."
    )


def _read_header(name: str, open_array: _Open) -> _Header:
    with open_array(name) as file:
        start = io.BytesIO(file.read(_LONGEST))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Headers that Python 2 wrote.
            reader = _READERS[np.lib.format.read_magic(start)]
            shape, is_fortran, dtype = reader(start)
    except Exception:  # NumPy's parser raises whatever a header makes it stumble over.
        raise ValueError(f"{name} is damaged or not a NumPy array: invalid header") from None
    return _Header(dtype, tuple(map(int, shape)), is_fortran, start.tell())


def _read(path: Path, rows: Sequence[tuple[str, int]], open_array: _Open) -> Iterator[Pixels]:
    """Yield gray images by the names of their arrays and their places in them."""
    current, at = "", 0
    images: Iterator[Pixels] = iter(())
    try:
        for name, i in rows:
            if name != current or i < at:
                images, current, at = _stream(name, open_array), name, 0
            yield _to_gray(next(islice(images, i - at, None)))
            at = i + 1
    except Exception as problem:  # As above.
        raise _damaged(path, problem) from None


def _stream(name: str, open_array: _Open) -> Iterator[Pixels]:
    """Yield the images of an array from the first on; an archive compares its checksum."""
    header = _read_header(name, open_array)
    n_images, *shape = header.shape
    with open_array(name) as file:
        file.read(header.offset)  # A seek would switch the checksum off.
        n_bytes = math.prod(header.shape if header.is_fortran else shape)
        for _ in range(1 if header.is_fortran else n_images):
            content = file.read(n_bytes)
            if len(content) < n_bytes:
                break
            values = np.frombuffer(content, np.uint8)
            if header.is_fortran:
                yield from values.reshape(header.shape, order="F")
            else:
                yield values.reshape(shape)
    raise EOFError(f"{name} is cut short")


def _to_gray(image: Pixels) -> Pixels:
    """Return the luma of ITU-R 601, in integers as Pillow has it."""
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    luma = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((luma + 0x8000) >> 16).astype(np.uint8)
