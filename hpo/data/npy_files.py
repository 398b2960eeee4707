"""The course's four files: normal.npy, pneumonia.npy, test_normal.npy, test_pneumonia.npy."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, Pixels
from hpo.data.npy_header import read_header
from hpo.data.source import Source, image_fault, number_fault, stamp
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
    """Map the arrays of a folder.

    Raises:
        DataError: every missing or unfit file.
    """
    arrays = _map_all(path)
    counts = [len(array) for array in arrays.values()]
    split, labels = np.array([_FILES[name] for name in arrays], np.uint8).T
    return Source(
        name=path.name,
        location=str(path),
        format="npy files",
        labels=np.repeat(labels, counts),
        split=np.repeat(split, counts),
        files=tuple(f"{name}[{i}]" for name, array in arrays.items() for i in range(len(array))),
        stamp=stamp([path / name for name in arrays]),
        originals=lambda positions: _images(list(arrays.values()), positions),
    )


def _map_all(path: Path) -> dict[str, Pixels]:
    present = [name for name in _FILES if (path / name).is_file()]
    is_tested = any(_FILES[name][0] == TEST for name in present)
    needed = [name for name, (split, _) in _FILES.items() if split != TEST or is_tested]
    faults = [f"{name} is missing" for name in needed if name not in present]
    arrays = {}
    for name in present:
        try:
            arrays[name] = _map(path / name)
        except (OSError, ValueError) as problem:
            faults.append(f"{name} {problem}")
    if fault := number_fault(sum(map(len, arrays.values()))):
        faults.append(fault)
    if faults:
        raise DataError(
            fault_list(f"The .npy files in {path} cannot be used; each holds {_ALLOWED}:", faults)
        )
    return arrays


def _map(path: Path) -> Pixels:
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
    if n_bytes < n_needed:
        raise ValueError(f"is cut short or damaged: {n_bytes:,} bytes of {n_needed:,} are there")
    if not header.n_bytes:
        return np.empty(shape, np.uint8)
    order: Literal["F", "C"] = "F" if header.is_fortran else "C"
    return np.memmap(path, np.uint8, "r", header.offset, shape, order)


def _images(arrays: Sequence[Pixels], positions: Sequence[int]) -> Iterator[Pixels]:
    rows = [(array, i) for array in arrays for i in range(len(array))]
    for position in positions:
        array, i = rows[position]
        yield array[i]
