"""A MedMNIST archive: train, val and test images and labels in one .npz file."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import TEST, TRAIN, VALIDATION, Pixels
from hpo.data.source import Source, stamp
from hpo.errors import DataError, fault_list

_SPLITS: Final = {"train": TRAIN, "val": VALIDATION, "test": TEST}
_UNREADABLE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
_READERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"


_Headers: TypeAlias = Mapping[str, _Header]


def looks_like(path: Path) -> bool:
    """Whether a path is an .npz file."""
    return path.suffix.lower() == ".npz" and path.is_file()


def read(path: Path) -> Source:
    """Read the labels of an archive, and only the headers of its images.

    Raises:
        DataError: every missing or unfit array.
    """
    try:
        headers = _headers(path)
        present = [name for name in _SPLITS if name == "train" or _keys(name) & headers.keys()]
        faults = [fault for name in present for fault in _faults(headers, name)]
        labels = {} if faults else _labels(path, present)
    except _UNREADABLE as problem:
        raise _damaged(path, problem) from None
    faults += [
        f"{name}_labels holds other values than 0 (normal) and 1 (pneumonia)"
        for name, values in labels.items()
        if not np.isin(values, (0, 1)).all()
    ]
    if faults:
        raise DataError(fault_list(f"{path} is no MedMNIST archive of two classes:", faults))
    return _source(path, labels)


def _source(path: Path, labels: Mapping[str, NDArray[np.generic]]) -> Source:
    counts = {name: len(values) for name, values in labels.items()}
    split = np.array([_SPLITS[name] for name in counts], np.uint8)
    return Source(
        name=path.stem,
        location=str(path),
        format="MedMNIST archive",
        labels=np.concatenate([values.astype(np.uint8) for values in labels.values()]),
        split=np.repeat(split, list(counts.values())),
        files=tuple(f"{name}_images[{i}]" for name, n in counts.items() for i in range(n)),
        stamp=stamp([path]),
        originals=lambda positions: _images(path, counts, positions),
    )


def _keys(split: str) -> set[str]:
    return {f"{split}_images", f"{split}_labels"}


def _headers(path: Path) -> _Headers:
    """Read shape and type of each array, without unpacking it."""
    headers = {}
    with zipfile.ZipFile(path) as archive:
        for key in set().union(*map(_keys, _SPLITS)):
            if f"{key}.npy" not in archive.namelist():
                continue
            with archive.open(f"{key}.npy") as member:
                version = np.lib.format.read_magic(member)
                shape, _, dtype = _READERS[version](member)
            headers[key] = _Header(shape, dtype)
    return headers


def _faults(headers: _Headers, split: str) -> Iterator[str]:
    images, labels = headers.get(f"{split}_images"), headers.get(f"{split}_labels")
    if images is None:
        yield f"{split}_images is missing"
    elif images.dtype != np.uint8 or not _is_image_shape(images.shape):
        yield f"{split}_images takes uint8 (n, height, width) or (…, 3), but is {images}"
    if labels is None:
        yield f"{split}_labels is missing"
    elif labels.dtype.kind not in "biu" or labels.shape[1:] not in {(), (1,)} or not labels.shape:
        yield f"{split}_labels takes whole numbers (n,) or (n, 1), but is {labels}"
    elif images and images.shape and images.shape[0] != labels.shape[0]:
        yield f"{split}_labels is {labels}, but {split}_images is {images}"


def _is_image_shape(shape: tuple[int, ...]) -> bool:
    return (len(shape) == 3 or shape[3:] in {(1,), (3,)}) and 0 not in shape[1:]


def _labels(path: Path, splits: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[f"{name}_labels"].reshape(-1) for name in splits}


def _images(path: Path, counts: Mapping[str, int], positions: Sequence[int]) -> Iterator[Pixels]:
    """Yield images, with the array of one split in memory at a time."""
    rows = [(name, i) for name, n in counts.items() for i in range(n)]
    unpacked = ""
    for position in positions:
        name, i = rows[position]
        if name != unpacked:
            images, unpacked = _unpack(path, f"{name}_images"), name
        yield _to_gray(images[i])


def _unpack(path: Path, key: str) -> Pixels:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[key], np.uint8)
    except _UNREADABLE as problem:
        raise _damaged(path, problem) from None


def _to_gray(image: Pixels) -> Pixels:
    """Return the luma of ITU-R 601, in integers as Pillow has it."""
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    luma = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((luma + 0x8000) >> 16).astype(np.uint8)


def _damaged(path: Path, problem: Exception) -> DataError:
    return DataError(
        f"{path} is no .npz archive, or is damaged: {problem}. Fetch it again "
        "(hpo data download DIR)."
    )
