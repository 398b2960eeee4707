"""The course's four files: normal.npy, pneumonia.npy, test_normal.npy, test_pneumonia.npy."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, Pixels
from hpo.data.npy_header import Header, pick, read_header, read_images
from hpo.data.source import Source, image_fault, number_fault
from hpo.errors import DataError, fault_list

# In the order of the data set. Only the test files may be absent, both together.
_FILES: Final = {
    "normal.npy": (TRAIN, NORMAL),
    "pneumonia.npy": (TRAIN, PNEUMONIA),
    "test_normal.npy": (TEST, NORMAL),
    "test_pneumonia.npy": (TEST, PNEUMONIA),
}
_ALLOWED: Final = "uint8 gray values of shape (n, height, width), written with numpy.save"


def looks_like(path: Path) -> bool:
    """Whether a folder holds one of the four files."""
    return any((path / name).is_file() for name in _FILES)


def read(path: Path) -> Source:
    """Read the headers of the arrays in a folder.

    Raises:
        DataError: every missing or unfit file.
    """
    headers = _headers(path)
    counts = {name: header.shape[0] for name, header in headers.items()}
    split, labels = np.array([_FILES[name] for name in headers], np.uint8).T
    return Source(
        name=path.name,
        location=str(path),
        format="npy files",
        labels=np.repeat(labels, list(counts.values())),
        split=np.repeat(split, list(counts.values())),
        files=tuple(f"{name}[{i}]" for name, n in counts.items() for i in range(n)),
        paths=tuple(path / name for name in headers),
        originals=lambda positions: _images(path, counts, positions),
        notes=tuple(_notes(path, headers)),
    )


def _headers(path: Path) -> dict[str, Header]:
    present = [name for name in _FILES if (path / name).is_file()]
    is_tested = any(_FILES[name][0] == TEST for name in present)
    needed = [name for name, (split, _) in _FILES.items() if split != TEST or is_tested]
    faults = [f"{name} is missing" for name in needed if name not in present]
    headers = {}
    for name in present:
        try:
            headers[name] = _header(path / name)
        except (OSError, ValueError) as problem:
            faults.append(f"{name} {problem}")
    faults += _transposed(headers)
    if fault := number_fault(sum(header.shape[0] for header in headers.values())):
        faults.append(fault)
    if faults:
        raise DataError(
            fault_list(f"The .npy files in {path} cannot be used; each holds {_ALLOWED}:", faults)
        )
    return headers


def _header(path: Path) -> Header:
    with path.open("rb") as file:
        header = read_header(file)
        n_bytes = file.seek(0, os.SEEK_END)
    if header.dtype.hasobject:
        raise ValueError("is no plain array file: it holds Python objects, which are not read")
    shape, n_needed = header.shape, header.offset + header.n_bytes
    if header.dtype != np.uint8 or len(shape) != 3 or 0 in shape[1:]:
        raise ValueError(f"holds {header}")
    if fault := image_fault(shape[1], shape[2]):
        raise ValueError(f"holds {fault}")
    if header.is_too_large:
        raise ValueError("is in Fortran order: save np.ascontiguousarray of it")
    if n_bytes < n_needed:
        raise ValueError(f"is cut short or damaged: {n_bytes:,} bytes of {n_needed:,} are there")
    return header


def _transposed(headers: Mapping[str, Header]) -> Iterator[str]:
    """Name arrays that look like (height, width, n): their images would be slices of all."""
    shapes = {name: header.shape for name, header in headers.items()}
    squares = {shape[1] for shape in shapes.values() if shape[1] == shape[2]}
    odd = [name for name, (n, side, last) in shapes.items() if n == side != last]
    is_one_side = len({shape[:2] for shape in shapes.values()}) == 1
    if is_one_side and len({shape[2] for shape in shapes.values()}) > 1:
        odd = list(shapes)
    for name in odd:
        if len(odd) == len(shapes) or shapes[name][0] in squares:
            yield (
                f"{name} has shape {shapes[name]}, which looks like (height, width, n): save "
                "np.ascontiguousarray(np.moveaxis(array, -1, 0))"
            )


def _notes(path: Path, headers: Mapping[str, Header]) -> Iterator[str]:
    others = sorted(f.name for f in path.glob("*.npy") if f.name not in _FILES)
    if others:
        named = ", ".join(map(ascii, others[:5])) + (", …" if len(others) > 5 else "")
        files = ".npy file" if len(others) == 1 else ".npy files"
        yield f"Left out: {len(others)} {files} ({named}). Only {', '.join(_FILES)} are read."
    sizes = {name: f"{h.shape[2]} x {h.shape[1]}" for name, h in headers.items()}
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        yield f"Image sizes differ between files ({each}); a network may learn the size itself."


def _images(path: Path, counts: Mapping[str, int], positions: Sequence[int]) -> Iterator[Pixels]:
    # Not mapped: a file that is written anew meanwhile would end this process.
    try:
        yield from pick(counts, positions, lambda name: _stream(path / name))
    except (OSError, EOFError, ValueError) as problem:
        raise DataError(f"The .npy files in {path} cannot be read: {problem}.") from None


def _stream(path: Path) -> Iterator[Pixels]:
    with path.open("rb") as file:
        header = read_header(file)
        file.seek(header.offset)
        yield from read_images(file, header)
