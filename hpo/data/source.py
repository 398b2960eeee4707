"""Opening a data set: its format is found by its path, and its images are known by digests.

An index of the digests spares reading every image again when the data set is opened once more, and
whatever is read later is compared with them: what changed meanwhile is not used.
"""

import hashlib
import stat
from collections.abc import Iterator, Sequence
from functools import cache as memoize
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias, cast

import numpy as np

from hpo.data import arrays, cache, image_folders, phantom
from hpo.data.dataset import TEST, VALIDATION, Dataset, Pixels, Source, Stored, count_classes
from hpo.errors import DataError

_FORMATS: Final = (arrays, image_folders)
_HINT: Final = """\
Give the path (--data, HPO_DATA) of
  - a folder {train,val,test}/{NORMAL,PNEUMONIA}/ of .jpeg, .jpg or .png files (val may be absent)
  - a folder with normal.npy, pneumonia.npy, test_normal.npy and test_pneumonia.npy
  - a MedMNIST archive .npz with train_images, train_labels, val_… and test_…"""
_MOST_PLACES: Final = 1_000
_MOST_NAMED: Final = 8
_LONGEST_PATH: Final = 200

# Raise when decoding or digests change: older indexes are then no longer read.
_INDEX_VERSION: Final = 3
# Hashed in a third of a second; most data sets are smaller.
_SAMPLE_BYTES: Final = 256_000_000
_LEAST_BYTES: Final = 8_192

# Scanners of 10, 12 and 14 bits are exported as 16-bit files.
_BITS: Final = (8, 10, 12, 14, 16)
_FEW: Final = 100
_MAY_LEAK: Final = (
    "image counts as its own patient; images of one patient may be in both training and "
    "validation, and scores may be too high."
)

_Index: TypeAlias = tuple[list[list[int]], list[str], list[int]]
"""Height and width, digest, and highest value of each image (0 for 8-bit images)."""


def open_data(path: Path | None, *, hint: str = _HINT) -> Dataset:
    """Open the data set at a path as `load` does, or the phantom where there is none."""
    return open_phantom() if path is None else load(path, hint=hint)


def open_phantom(seed: int = 0, *, size: int = 64) -> Dataset:
    """Draw the phantom: 800 images to train on and 400 to test, half of each with pneumonia."""
    return open_source(phantom.draw(seed, size))


def load(path: Path, *, hint: str = _HINT) -> Dataset:
    """Open a data set; its format is found by looking at the path.

    Every image is decoded when a path is opened for the first time, and not again while the files
    stay as they are. `hint` says what to do where there is no data set.

    Raises:
        DataError: nothing there that can be used, or a damaged file, which is named.
    """
    try:
        path = path.expanduser().absolute()
        str(path).encode()  # Names that are not valid text fail in every later table and page.
        for format in _FORMATS:
            if format.looks_like(path):
                return open_source(format.read(path))
        nothing = _nothing_at(path)
    except (OSError, RuntimeError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not a valid path"
        nothing = f"{str(path)[:_LONGEST_PATH]!r} cannot be read: {reason}."
    raise DataError(f"{nothing} {hint}")


def open_source(source: Source) -> Dataset:
    """Read what a format does not know of a data set, and complete it.

    Raises:
        DataError: an image that cannot be read, or a class without images to train on.
    """
    counts = count_classes(source.class_names, source.labels[source.split != TEST])
    if not all(counts.values()):
        found = ", ".join(f"{n} {name}" for name, n in counts.items())
        raise DataError(
            f"{source.location} lacks a class to train on: {found}. Training needs images of "
            "every class outside the test split."
        )
    stamp = _stamp(source.paths)
    sizes, digests, brightest = _index(source, stamp)
    bits = bits_in_use(max(brightest))
    n = len(source.labels)
    # Patients are numbered by first appearance, so that equal groups give equal folds.
    numbers: dict[str, int] = {}
    keys = source.patients or source.files
    patients = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    hasher = hashlib.sha256("".join(digests).encode())
    for column in (source.labels, source.split, patients.astype("<i8")):
        hasher.update(column.tobytes())
    fingerprint = hasher.hexdigest()[:32]

    def originals(positions: Sequence[int]) -> Iterator[Pixels]:
        for position, image in zip(positions, source.originals(positions), strict=True):
            pixels = to_8_bits(image, bits)
            if _digest(pixels) != digests[position]:
                cache.write_index(stamp, None)
                raise DataError(
                    f"{source.location} has changed since it was opened: {source.files[position]} "
                    "is another image now. Nothing of it was kept. Put the old files back and run "
                    "the same command again, or start a new study."
                )
            yield pixels

    def pixels_at(size: int) -> Pixels:
        def resized() -> Iterator[Pixels]:
            from hpo.data.images import resize  # Pillow is not needed where they are cached.

            return (resize(image, size) for image in originals(range(n)))

        return cache.pixels(f"{fingerprint}-{size}", (n, size, size), resized)

    return Dataset(
        name=source.name,
        source=source.location,
        format=source.format,
        fingerprint=fingerprint,
        is_phantom=source.is_phantom,
        has_patients=source.n_known == n,
        labels=source.labels,
        class_names=source.class_names,
        patients=patients,
        split=source.split,
        files=source.files,
        sizes=np.array(sizes, np.int64),
        digests=tuple(digests),
        originals=originals,
        pixels_at=memoize(pixels_at),
        notes=(*source.notes, *_notes(source, brightest, bits)),
        bits=bits if any(brightest) else 0,
    )


def bits_in_use(brightest: int) -> int:
    """Return the bit depth in use of 16-bit images with this highest value."""
    return next(bits for bits in _BITS if brightest < 1 << bits)


def to_8_bits(image: Stored, bits: int) -> Pixels:
    """Scale an image so that the highest value of this bit depth becomes 255."""
    if image.dtype == np.uint8:
        return cast(Pixels, image)
    most = (1 << bits) - 1
    return ((image.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)


def _nothing_at(path: Path) -> str:
    """Say that there is no data set, what there is, and the nearest data set further down."""
    if not path.exists():
        return f"There is no {path}."
    nothing = f"{path} holds no data set that can be read."
    for pattern in ("*", "*/*", "*/*/*"):
        for place in sorted(islice(path.glob(pattern), _MOST_PLACES)):
            is_shown = all(map(image_folders.is_shown, place.relative_to(path).parts))
            if is_shown and any(format.looks_like(place) for format in _FORMATS):
                return f"{nothing} Did you mean {place}?"
    shown = filter(image_folders.is_shown, sorted(child.name for child in path.iterdir()))
    names = [repr(name)[1:-1] for name in shown]
    more = ", …" * (len(names) > _MOST_NAMED)
    return f"{nothing} It holds {', '.join(names[:_MOST_NAMED])}{more}." if names else nothing


def _index(source: Source, stamp: str) -> _Index:
    """Return what is kept of the images under this stamp, or read all of them."""
    if source.paths and (kept := cache.read_index(stamp)):
        return cast(_Index, kept)
    sizes, digests, brightest = [], [], []
    for image in source.originals(range(len(source.labels))):
        sizes.append(list(image.shape))
        digests.append(_digest(to_8_bits(image, _BITS[-1])))
        brightest.append(0 if image.dtype == np.uint8 else int(image.max()))
    bits = bits_in_use(max(brightest))
    if bits != _BITS[-1]:  # The depth in use is known now: 16-bit images are scaled by that.
        wide = np.flatnonzero(brightest).tolist()
        for position, image in zip(wide, source.originals(wide), strict=True):
            digests[position] = _digest(to_8_bits(image, bits))
    if _stamp(source.paths) != stamp:
        raise DataError(
            f"{source.location} changed while it was read. Wait until no other program "
            "writes there, then run the same command again."
        )
    if source.paths:
        cache.write_index(stamp, (sizes, digests, brightest))
    return sizes, digests, brightest


def _stamp(paths: Sequence[Path]) -> str:
    """Digest what the system says of the files, and their content up to `_SAMPLE_BYTES`.

    Sizes and times alone may be wrong: archives, `rsync -t` and containers set them. Of larger
    sets it is the beginning of every file.
    """
    hasher = hashlib.sha256(str(_INDEX_VERSION).encode())
    for path in paths:
        hasher.update(f"{path}\0".encode())
        try:
            found = path.stat()
            facts = (found.st_size, found.st_ino, found.st_ctime_ns, found.st_mtime_ns)
            hasher.update(repr(facts).encode())
            if stat.S_ISREG(found.st_mode):  # A pipe would never end.
                n_bytes = min(found.st_size, max(_LEAST_BYTES, _SAMPLE_BYTES // len(paths)))
                with path.open("rb", buffering=0) as file:
                    hasher.update(file.read(n_bytes))
        except OSError as problem:  # Reading the images says which of them cannot be read.
            hasher.update(str(problem).encode())
    return hasher.hexdigest()[:32]


def _digest(image: Pixels) -> str:
    hasher = hashlib.sha256(f"{image.shape[0]} {image.shape[1]} ".encode())
    hasher.update(np.ascontiguousarray(image).data)
    return hasher.hexdigest()[:32]


def _notes(source: Source, brightest: Sequence[int], bits: int) -> Iterator[str]:
    if n_wide := sum(map(bool, brightest)):
        yield (
            f"{n_wide:,} images have 16 bits, with values up to {max(brightest):,}: "
            f"0 to {(1 << bits) - 1:,} ({bits} bits) is read as black to white."
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
