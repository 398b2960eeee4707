"""The course's four files: normal.npy, pneumonia.npy, test_normal.npy, test_pneumonia.npy."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, Pixels
from hpo.data.source import Source, stamp
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
        except (OSError, ValueError, EOFError) as problem:
            faults.append(f"{name} {problem}")
    if faults:
        raise DataError(
            fault_list(f"The .npy files in {path} cannot be used; each holds {_ALLOWED}:", faults)
        )
    return arrays


def _map(path: Path) -> Pixels:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise ValueError(f"is no plain array file, or is damaged: {problem}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError("is an archive (.npz), not an array")
    if array.dtype != np.uint8 or array.ndim != 3 or 0 in array.shape[1:]:
        raise ValueError(f"holds {array.dtype} of shape {array.shape}")
    return array


def _images(arrays: Sequence[Pixels], positions: Sequence[int]) -> Iterator[Pixels]:
    rows = [(array, i) for array in arrays for i in range(len(array))]
    for position in positions:
        array, i = rows[position]
        yield array[i]
