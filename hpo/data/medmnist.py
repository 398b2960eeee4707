"""A MedMNIST archive: train, val and test images and labels in one .npz file."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import TEST, TRAIN, VALIDATION, Pixels
from hpo.data.npy_header import Header, pick, read_bytes, read_header, read_images
from hpo.data.source import Source, image_fault, number_fault
from hpo.errors import DataError, fault_list

_SPLITS: Final = {"train": TRAIN, "val": VALIDATION, "test": TEST}
# What NumPy writes. Others take memory as the file says.
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LONGEST_REASON: Final = 200
_MOST_NAMED: Final = 5

_Headers: TypeAlias = Mapping[str, Header]
_Labels: TypeAlias = Mapping[str, NDArray[np.generic]]


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
        notes = tuple(_notes(path))
    except Exception as problem:  # Archives are damaged, encrypted, … in any way.
        raise _damaged(path, problem) from None
    faults += [
        f"{name}_labels holds other values than 0 (normal) and 1 (pneumonia)"
        for name, values in labels.items()
        if not np.isin(values, (0, 1)).all()
    ]
    if faults:
        raise DataError(fault_list(f"{path} is no MedMNIST archive of two classes:", faults))
    return replace(_source(path, labels), notes=notes)


def _source(path: Path, labels: _Labels) -> Source:
    counts = {name: len(values) for name, values in labels.items()}
    split = np.array([_SPLITS[name] for name in counts], np.uint8)
    return Source(
        name=path.stem,
        location=str(path),
        format="MedMNIST archive",
        labels=np.concatenate([values.astype(np.uint8) for values in labels.values()]),
        split=np.repeat(split, list(counts.values())),
        files=tuple(f"{name}_images[{i}]" for name, n in counts.items() for i in range(n)),
        paths=(path,),
        originals=lambda positions: _images(path, counts, positions),
    )


def _notes(path: Path) -> Iterator[str]:
    known = set().union(*map(_keys, _SPLITS))
    with zipfile.ZipFile(path) as archive:
        others = sorted({name.removesuffix(".npy") for name in archive.namelist()} - known)
    if others:
        named = ", ".join(map(ascii, others[:_MOST_NAMED])) + ", …" * (len(others) > _MOST_NAMED)
        yield (
            f"Left out: {len(others):,} arrays ({named}). Only images and labels of train, val "
            "and test are read."
        )


def _keys(split: str) -> set[str]:
    return {f"{split}_images", f"{split}_labels"}


def _headers(path: Path) -> _Headers:
    """Read shape and type of each array, without unpacking it."""
    headers = {}
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        for key in set().union(*map(_keys, _SPLITS)):
            if f"{key}.npy" in names:
                if archive.getinfo(f"{key}.npy").compress_type not in _COMPRESSIONS:
                    raise ValueError(f"{key} is compressed in a way that NumPy does not use")
                headers[key] = _header(archive, f"{key}.npy")
    return headers


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    with archive.open(name) as member:
        return read_header(member)


def _faults(headers: _Headers, split: str) -> Iterator[str]:
    images, labels = headers.get(f"{split}_images"), headers.get(f"{split}_labels")
    if images is None:
        yield f"{split}_images is missing"
    elif images.dtype != np.uint8 or not _is_image_shape(images.shape):
        yield f"{split}_images takes uint8 (n, height, width) or (…, 3), but is {images}"
    elif fault := image_fault(*images.shape[1:3]) or number_fault(images.shape[0]):
        yield f"{split}_images: {fault}"
    elif images.is_too_large:
        yield f"{split}_images is in Fortran order: save np.ascontiguousarray of it"
    if labels is None:
        yield f"{split}_labels is missing"
    elif labels.dtype.kind not in "biu" or labels.shape[1:] not in {(), (1,)} or not labels.shape:
        yield f"{split}_labels takes whole numbers (n,) or (n, 1), but is {labels}"
    elif images and images.shape and images.shape[0] != labels.shape[0]:
        yield f"{split}_labels is {labels}, but {split}_images is {images}"


def _is_image_shape(shape: tuple[int, ...]) -> bool:
    return (len(shape) == 3 or (len(shape) == 4 and shape[3] in {1, 3})) and 0 not in shape[1:]


def _labels(path: Path, splits: Sequence[str]) -> _Labels:
    with zipfile.ZipFile(path) as archive:
        return {name: _column(archive, f"{name}_labels.npy") for name in splits}


def _column(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    header = _header(archive, name)
    with archive.open(name) as member:
        read_bytes(member, header.offset, is_last=False)
        return np.frombuffer(read_bytes(member, header.n_bytes), header.dtype)


def _images(path: Path, counts: Mapping[str, int], positions: Sequence[int]) -> Iterator[Pixels]:
    """Yield images one at a time: archives may unpack to any size."""
    try:
        yield from map(_to_gray, pick(counts, positions, lambda name: _stream(path, name)))
    except Exception as problem:  # As above.
        raise _damaged(path, problem) from None


def _stream(path: Path, split: str) -> Iterator[Pixels]:
    name = f"{split}_images.npy"
    with zipfile.ZipFile(path) as archive, archive.open(name) as member:
        header = _header(archive, name)
        # A seek would switch the checksum off.
        read_bytes(member, header.offset, is_last=False)
        yield from read_images(member, header)


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
        f"{path} is no .npz archive, or is damaged: {str(problem)[:_LONGEST_REASON]}. Fetch it "
        "again (hpo data download DIR)."
    )
