"""From what a format says about a data set to the data set itself.

Pixels are known by digests. An index of them spares reading every image again when the data set is
opened, and whatever is read later is compared with them: what changed meanwhile is not used.
"""

import hashlib
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache as memoize
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hpo.data import cache
from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, VALIDATION, Dataset, Pixels
from hpo.errors import DataError

# Raise when decoding or digests change: older indexes are then no longer read.
_INDEX_VERSION: Final = 2

# Hashed in a third of a second: of most data sets it is all there is.
_SAMPLE_BYTES: Final = 256_000_000
_PIECE: Final = 4_096
_MOST_PIECES: Final = 32

MAX_PIXELS: Final = 64_000_000
# Resizing takes memory by the longer side.
MAX_SIDE: Final = 20_000
MAX_IMAGES: Final = 500_000

_FEW: Final = 100
_MAY_LEAK: Final = (
    "image counts as its own patient; images of one patient may be in both training and "
    "validation, and scores may be too high."
)

# Scanners of 10, 12 and 14 bits are exported as 16-bit files.
_BITS: Final = (8, 10, 12, 14, 16)

Stored: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""An image as stored, in 8 or 16 bits."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a format knows of a data set before any image is decoded.

    `labels` and `split` are `(n,)`; `patients` holds a key per image, `n_known` of which name a
    patient. `originals(positions)` reads the images, `paths` are the files it reads: none where
    reading costs nothing. `notes` say what was left out and assumed.
    """

    name: str
    location: str
    format: str
    is_phantom: bool = False
    labels: NDArray[np.uint8]
    split: NDArray[np.uint8]
    patients: tuple[str, ...] | None = None
    n_known: int = 0
    files: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    originals: Callable[[Sequence[int]], Iterator[Stored]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Index:
    """What is known of the images once all were read.

    `brightest` is the highest value of each 16-bit image, 0 for 8 bits; `bits` are those in use in
    16-bit images.
    """

    sizes: NDArray[np.int64]
    digests: tuple[str, ...]
    brightest: tuple[int, ...]

    @property
    def bits(self) -> int:
        return bits_in_use(max(self.brightest))


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
    stamp = _stamp(source.paths) if source.paths else ""
    index = _index(source, stamp)
    patients = _numbered(source.patients or source.files)
    fingerprint = _fingerprint(source, index.digests, patients)
    originals = partial(_unchanged, source, index, stamp)
    return Dataset(
        name=source.name,
        source=source.location,
        format=source.format,
        fingerprint=fingerprint,
        is_phantom=source.is_phantom,
        has_patients=source.n_known == len(patients),
        labels=source.labels,
        patients=patients,
        split=source.split,
        files=source.files,
        sizes=index.sizes,
        digests=index.digests,
        originals=originals,
        pixels_at=memoize(lambda size: _pixels_at(originals, fingerprint, len(patients), size)),
        notes=(*source.notes, *_notes(source, index)),
        bits=index.bits if any(index.brightest) else 0,
    )


def _notes(source: Source, index: _Index) -> Iterator[str]:
    if n_wide := sum(map(bool, index.brightest)):
        yield (
            f"{n_wide:,} images have 16 bits, with values up to {max(index.brightest):,}: "
            f"0 to {(1 << index.bits) - 1:,} ({index.bits} bits) is read as black to white."
        )
    n_images = len(source.labels)
    if not source.n_known:
        yield f"Patients unknown: each {_MAY_LEAK}"
    elif source.n_known < n_images:
        yield (
            f"Patients are known from {source.n_known:,} of {n_images:,} file names: each other "
            f"{_MAY_LEAK}"
        )
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


def _stamp(paths: Sequence[Path]) -> str:
    """Digest what the system tells of the files, and their content up to `_SAMPLE_BYTES`.

    Sizes and times alone would lie: archives, `rsync -t` and containers set them. Of larger sets
    it is evenly spread pieces of every file.
    """
    hasher = hashlib.sha256(str(_INDEX_VERSION).encode())
    share = max(2 * _PIECE, _SAMPLE_BYTES // len(paths))
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for found in pool.map(partial(_sample, share=share), paths):
            hasher.update(found)
    return hasher.hexdigest()[:32]


def _sample(path: Path, *, share: int) -> bytes:
    """Digest what the system tells of a file, and so many bytes of its content."""
    hasher = hashlib.sha256(f"{path}\0".encode())
    try:
        found = path.stat()
        facts = (found.st_size, found.st_ino, found.st_ctime_ns, found.st_mtime_ns)
        hasher.update(repr(facts).encode())
        if stat.S_ISREG(found.st_mode):  # A pipe would never end.
            is_whole = found.st_size <= share
            n_bytes = max(_PIECE, share // _MOST_PIECES)
            n_pieces = math.ceil(min(found.st_size, share) / n_bytes)
            with path.open("rb", buffering=0) as file:
                for i in range(n_pieces):
                    if not is_whole:
                        file.seek(i * (found.st_size - n_bytes) // (n_pieces - 1))
                    hasher.update(file.read(n_bytes))
    except OSError as problem:  # Reading the images says which of them cannot be read.
        hasher.update(str(problem).encode())
    return hasher.digest()


def _index(source: Source, stamp: str) -> _Index:
    """Return what is kept of the images under this stamp, or read all of them.

    Raises:
        DataError: an image that cannot be read, or files that change meanwhile.
    """
    if stamp and (kept := _kept(stamp, len(source.labels))):
        return kept
    index = _read_all(source)
    if stamp:
        if _stamp(source.paths) != stamp:
            raise DataError(
                f"{source.location} changed while it was read. Wait until no other program "
                "writes there, then run the same command again."
            )
        kept_index = {"sizes": index.sizes.tolist(), "digests": index.digests}
        cache.write_index(stamp, kept_index | {"brightest": index.brightest})
    return index


def _read_all(source: Source) -> _Index:
    n = len(source.labels)
    sizes, brightest, digests = np.zeros((n, 2), np.int64), [0] * n, [""] * n
    for position, image in enumerate(source.originals(range(n))):
        sizes[position] = image.shape
        digests[position] = _digest(to_8_bits(image, _BITS[-1]))
        if image.dtype != np.uint8:
            brightest[position] = int(image.max())
    index = _Index(sizes, (), tuple(brightest))
    if index.bits != _BITS[-1]:
        wide = np.flatnonzero(brightest).tolist()
        for position, image in zip(wide, source.originals(wide), strict=True):
            digests[position] = _digest(to_8_bits(image, index.bits))
    return replace(index, digests=tuple(digests))


def _kept(stamp: str, n: int) -> _Index | None:
    index = cache.read_index(stamp) or {}
    columns = [index.get(name) for name in ("sizes", "digests", "brightest")]
    if not all(isinstance(column, list) and len(column) == n for column in columns):
        return None
    sizes, digests, brightest = cast("list[list[Any]]", columns)
    try:
        known = np.array(sizes, np.int64).reshape(n, 2)
    except (TypeError, ValueError, OverflowError):
        return None
    is_plain = all(isinstance(digest, str) for digest in digests) and (known > 0).all()
    if not (is_plain and all(type(b) is int and 0 <= b < 1 << _BITS[-1] for b in brightest)):
        return None
    return _Index(known, tuple(digests), tuple(brightest))


def _unchanged(
    source: Source, index: _Index, stamp: str, positions: Sequence[int]
) -> Iterator[Pixels]:
    """Read images as 8-bit gray, each compared with what is known of it.

    Raises:
        DataError: one cannot be read, or is another than when the data set was opened.
    """
    for position, image in zip(positions, source.originals(positions), strict=True):
        pixels = to_8_bits(image, index.bits)
        if _digest(pixels) != index.digests[position]:
            cache.remove_index(stamp)
            raise DataError(
                f"{source.location} has changed since it was opened: {source.files[position]} is "
                "another image now. Nothing of it was kept. Put the old files back and run the "
                "same command again, or start a new study."
            )
        yield pixels


def bits_in_use(brightest: int) -> int:
    """Return how many bits 16-bit images use whose highest value is this."""
    return next(bits for bits in _BITS if brightest < 1 << bits)


def to_8_bits(image: Stored, bits: int) -> Pixels:
    """Scale an image so that the highest value of so many bits is 255."""
    if image.dtype == np.uint8:
        return cast(Pixels, image)
    most = (1 << bits) - 1
    pixels = np.empty(image.shape, np.uint8)
    for row, values in zip(pixels, image, strict=True):  # A copy of the whole takes four times it.
        row[:] = (values.astype(np.uint32) * 255 + most // 2) // most
    return pixels


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


def _pixels_at(
    originals: Callable[[Sequence[int]], Iterator[Pixels]], fingerprint: str, n: int, size: int
) -> Pixels:
    name, shape = f"{fingerprint}-{size}", (n, size, size)
    kept = cache.read_pixels(name, shape)
    if kept is not None:
        return kept
    cache.write_pixels(name, shape, _resized(originals(range(n)), size))
    kept = cache.read_pixels(name, shape)
    if kept is not None:
        return kept
    pixels = np.empty(shape, np.uint8)
    for position, image in enumerate(_resized(originals(range(n)), size)):
        pixels[position] = image
    pixels.flags.writeable = False
    return pixels


def _resized(images: Iterable[Pixels], size: int) -> Iterator[Pixels]:
    from hpo.data.images import resize  # Pillow is not needed where the pixels are cached.

    for image in images:
        yield resize(image, size)
