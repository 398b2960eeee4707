"""From what a format says about a data set to the data set itself."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache as memoize
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpo.data import cache
from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, VALIDATION, Dataset, Pixels
from hpo.errors import DataError

# Raise when decoding or digests change: older indexes are then no longer read.
_INDEX_VERSION: Final = 1

MAX_PIXELS: Final = 64_000_000
# Resizing takes memory by the longer side.
MAX_SIDE: Final = 20_000
MAX_IMAGES: Final = 500_000

_FEW: Final = 100
_UNKNOWN_PATIENTS: Final = (
    "Patients unknown: each image counts as its own patient; images of one patient may be in both "
    "training and validation, and scores may be too high."
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a format knows of a data set before any image is decoded.

    `labels` and `split` are `(n,)`; `patients` holds a key per image, None where the source does
    not tell. `originals(positions)` reads the images. `stamp` changes when the files may have
    changed; it is empty where reading costs nothing. `notes` say what was left out.
    """

    name: str
    location: str
    format: str
    is_phantom: bool = False
    labels: NDArray[np.uint8]
    split: NDArray[np.uint8]
    patients: tuple[str, ...] | None = None
    files: tuple[str, ...]
    stamp: str
    originals: Callable[[Sequence[int]], Iterator[Pixels]]
    notes: tuple[str, ...] = ()


def stamp(paths: Sequence[Path]) -> str:
    """Digest where files lie, their sizes and when they were last written."""
    hasher = hashlib.sha256(str(_INDEX_VERSION).encode())
    for path in paths:
        status = path.stat()
        hasher.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return hasher.hexdigest()[:32]


def image_fault(height: int, width: int) -> str | None:
    """Say that images are larger than is read, None where they are not."""
    if height * width > MAX_PIXELS:
        return f"{width} x {height} pixels; at most {MAX_PIXELS:,} are read"
    if max(height, width) > MAX_SIDE:
        return f"{width} x {height} pixels; sides of at most {MAX_SIDE:,} are read"
    return None


def number_fault(n_images: int) -> str | None:
    """Say that there are more images than are read, None where there are not."""
    if n_images > MAX_IMAGES:
        return f"there are {n_images:,} images; at most {MAX_IMAGES:,} are read"
    return None


def open_source(source: Source) -> Dataset:
    """Read what is not known of a data set yet, and make it whole.

    Raises:
        DataError: an image that cannot be read, or fewer than two classes to train on.
    """
    _check_classes(source)
    sizes, digests = _index(source)
    patients = _numbered(source.patients or source.files)
    fingerprint = _fingerprint(source, digests, patients)
    return Dataset(
        name=source.name,
        source=source.location,
        format=source.format,
        fingerprint=fingerprint,
        is_phantom=source.is_phantom,
        has_patients=source.patients is not None,
        labels=source.labels,
        patients=patients,
        split=source.split,
        files=source.files,
        sizes=sizes,
        digests=digests,
        originals=source.originals,
        pixels_at=memoize(lambda size: _pixels_at(source, fingerprint, size)),
        notes=(*source.notes, *_notes(source)),
    )


def _notes(source: Source) -> Iterator[str]:
    if source.patients is None:
        yield _UNKNOWN_PATIENTS
    if 0 < (n := int((source.split == VALIDATION).sum())) < _FEW:
        yield (
            f"{n} validation images: one image is {100 / n:.1f} points of accuracy. Without the "
            "validation split, folds of the training images take its place."
        )


def _check_classes(source: Source) -> None:
    pool = source.labels[source.split != TEST]
    counts = {"normal": (pool == NORMAL).sum(), "pneumonia": (pool == PNEUMONIA).sum()}
    if not all(counts.values()):
        found = ", ".join(f"{n} {name}" for name, n in counts.items())
        raise DataError(
            f"{source.location} has fewer than two classes to train on: {found}. Training needs "
            "images of both classes outside the test split."
        )


def _index(source: Source) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return height and width, and the digest of the pixels, of each image."""
    n = len(source.labels)
    kept = cache.read_index(source.stamp) if source.stamp else None
    if kept is not None and (known := _known(kept, n)):
        return known
    sizes = np.zeros((n, 2), np.int64)
    digests = []
    for position, image in enumerate(source.originals(range(n))):
        sizes[position] = image.shape
        digests.append(_digest(image))
    if source.stamp:
        cache.write_index(source.stamp, {"sizes": sizes.tolist(), "digests": digests})
    return sizes, tuple(digests)


def _known(
    index: Mapping[str, object], n: int
) -> tuple[NDArray[np.int64], tuple[str, ...]] | None:
    sizes, digests = index.get("sizes"), index.get("digests")
    if not (isinstance(sizes, list) and isinstance(digests, list)) or len(digests) != n:
        return None
    try:
        known = np.array(sizes, np.int64).reshape(n, 2)
    except (TypeError, ValueError, OverflowError):
        return None
    is_plain = all(isinstance(digest, str) for digest in digests) and (known > 0).all()
    return (known, tuple(digests)) if is_plain else None


def _digest(image: Pixels) -> str:
    hasher = hashlib.sha256(f"{image.shape[0]} {image.shape[1]} ".encode())
    hasher.update(np.ascontiguousarray(image).data)
    return hasher.hexdigest()[:32]


def _numbered(keys: Sequence[str]) -> NDArray[np.int64]:
    """Number patients by first appearance, so that equal groups give equal folds."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _fingerprint(source: Source, digests: Sequence[str], patients: NDArray[np.int64]) -> str:
    hasher = hashlib.sha256("".join(digests).encode())
    for column in (source.labels, source.split, patients.astype("<i8")):
        hasher.update(column.tobytes())
    return hasher.hexdigest()[:32]


def _pixels_at(source: Source, fingerprint: str, size: int) -> Pixels:
    name, shape = f"{fingerprint}-{size}", (len(source.labels), size, size)
    kept = cache.read_pixels(name, shape)
    if kept is not None:
        return kept
    cache.write_pixels(name, shape, _resized(source, size))
    kept = cache.read_pixels(name, shape)
    if kept is not None:
        return kept
    pixels = np.empty(shape, np.uint8)
    for position, image in enumerate(_resized(source, size)):
        pixels[position] = image
    pixels.flags.writeable = False
    return pixels


def _resized(source: Source, size: int) -> Iterator[Pixels]:
    from hpo.data.images import resize  # Pillow is not needed where the pixels are cached.

    for image in source.originals(range(len(source.labels))):
        yield resize(image, size)
