"""Opening a data set: finding its format, and identifying its images by digests.

An index of digests avoids reading every image again when the data set is reopened. Images read
later are compared with it, so that changed ones are not used.
"""

import hashlib
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache as memoize
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hpo.data import arrays, cache, csv_tables, image_folders, phantom
from hpo.data.dataset import (
    N_FOLDS,
    SPLITS,
    TEST,
    VALIDATION,
    Dataset,
    Pixels,
    Stored,
    count_classes,
)
from hpo.data.manifest import NO_MANIFEST, Manifest, load_manifest, to_toml
from hpo.data.table import NEGATIVE, POSITIVE, Row, Table, named, plain, settle
from hpo.errors import DataError
from hpo.tables import count

_HINT: Final = """\
Give the path (--data, HPO_DATA) of
  - a folder {train,val,test}/{NORMAL,PNEUMONIA}/ of images or DICOM, or one for each class
  - a table of labels (.csv, .tsv) next to its images, or a manifest (.toml, hpo data describe)
  - arrays X_train, y_train, X_test, y_test or train_images, train_labels, … as .npy or in an .npz
  - a folder with normal.npy, pneumonia.npy, test_normal.npy and test_pneumonia.npy"""
_MOST_PLACES: Final = 1_000
_LONGEST_PATH: Final = 200

# Raise this when decoding or digests change; older indexes are then ignored.
_INDEX_VERSION: Final = 5
# Hashing this takes a third of a second; most data sets are smaller.
_SAMPLE_BYTES: Final = 256_000_000
_LEAST_BYTES: Final = 8_192

# Scanners of 10, 12 and 14 bits are exported as 16-bit files.
_BITS: Final = (8, 10, 12, 14, 16)
_FEW: Final = 100
# Of 2,400 X-rays of the public release, none is this much brighter at the border than in the
# center. Inverted, 86 % of them are, and 28 % of PneumoniaMNIST.
_BRIGHT: Final = 4 / 3
_MOST_INVERTED: Final = 0.2
_MAY_LEAK: Final = (
    "image counts as its own patient. Images of one patient may be in both training and "
    "validation, so scores may be too high (docs/checks.md#patients)."
)

_CHANGED: Final = (
    "{place} has changed since it was opened: {image} is now another image. Nothing of it was "
    "stored. Restore the old files and run the same command again, or start a new study."
)

_Index: TypeAlias = tuple[list[list[int]], list[str], list[int], int, list[int]]
"""Height and width, digest, and highest value of each image (0 for 8-bit images), the number of
images brighter at the border than in the center, and the unreadable images."""


def open_data(
    path: Path | None, manifest: Manifest = NO_MANIFEST, *, hint: str = _HINT
) -> Dataset:
    """Open a data set, whose format is detected from the path; the phantom without one.

    All images are decoded when a path is first opened, and not again while the files are
    unchanged. `hint` is the advice if there is no data set.

    Raises:
        DataError: there is no usable data, or a file (named) is damaged.
    """
    if path is None:
        return open_table(phantom.draw(0, 64), manifest)
    try:
        path = path.expanduser().absolute()
        str(path).encode()  # Names that are not valid text fail in every later table and page.
        if opened := read_table(path, manifest):
            return open_table(*opened)
        nothing = _nothing_at(path)
    except (OSError, RuntimeError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not a valid path"
        nothing = f"{str(path)[:_LONGEST_PATH]!r} cannot be read: {reason}."
    raise DataError(f"{nothing} {hint}")


def read_table(path: Path, manifest: Manifest) -> tuple[Table, Manifest] | None:
    """Read the table and the manifest of the data set at a path; None if there is none.

    Raises:
        DataError: it cannot be read.
    """
    if path.suffix.lower() == ".toml" and path.is_file():
        manifest = load_manifest(path, manifest)
        if manifest.table:
            return csv_tables.read(manifest, path.parent, name=path.stem, location=path)
        path = path.parent / manifest.images[0]
    if arrays.looks_like(path):
        return arrays.read(path), manifest
    if csv_tables.is_table(path) or (path.suffix.lower() == ".txt" and path.is_file()):
        of_table = manifest.model_copy(update={"table": (path.name,)})
        return csv_tables.read(of_table, path.parent, name=path.stem, location=path)
    if not path.is_dir():
        return None
    try:
        table = image_folders.read(path)
    except DataError:
        if not csv_tables.tables_in(path):
            raise
        table = None
    kinds = {plain(row.labels[0]) for row in table.rows} if table else set()
    is_plain = len(kinds) > 1 and kinds & (NEGATIVE | POSITIVE)
    if not is_plain and (labels := csv_tables.tables_in(path)):
        of_table = manifest.model_copy(update={"table": labels})
        return csv_tables.read(of_table, path, name=path.name, location=path)
    return (table, manifest) if table else None


def describe(path: Path, manifest: Manifest) -> str:
    """Return the manifest of a data set as text, with findings and guesses as comments.

    Paths are absolute unless the data are directly in the working folder. No image is read.

    Raises:
        DataError: there is no data set, or its table cannot be read.
    """
    opened = read_table(path.expanduser().absolute(), manifest)
    if opened is None:
        raise DataError(f"{_nothing_at(path)} {_HINT}")
    table, manifest = opened
    comments = list(table.notes)
    try:
        used = settle(table, manifest)
        comments = list(used.notes)
        counts = Counter((row.split, row.label) for row in used.rows)
        for (split, label), n in sorted(counts.items()):
            comments.append(f"{SPLITS[split or 0]}: {n:,} images of {used.class_names[label]}.")
        if used.patients_by and any(row.is_known for row in used.rows):
            comments.append(f"Patients are identified by {used.patients_by}.")
        is_named = manifest.positive or manifest.negative
        if not is_named and len(used.class_names) == 2:
            negative, positive = used.class_names
            manifest = manifest.model_copy(
                update={"positive": (positive,), "negative": (negative,)}
            )
    except DataError as problem:
        comments.append(f"To be completed: {problem}")
    place = path if path.is_dir() else path.parent
    name = path.name if path.suffix.lower() == ".npz" else "."
    # A manifest is read relative to its own folder, probably this one or that of the data.
    at = os.path.relpath if len(path.parts) == 1 else os.path.abspath
    changes: dict[str, object] = {
        "images": tuple(at(place / item) for item in manifest.images or (name,)),
        "table": tuple(at(place / item) for item in manifest.table),
        "test": manifest.test and at(place / manifest.test),
    }
    return to_toml(manifest.model_copy(update=changes), comments)


def open_table(table: Table, manifest: Manifest = NO_MANIFEST) -> Dataset:
    """Select the images of a table, and read their digests.

    Raises:
        DataError: the table is inconsistent, an image cannot be read, or a class has no images to
            train on.
    """
    table = settle(table, manifest)
    images = [row.image for row in table.rows]
    stamp = _stamp(table, images, manifest)
    sizes, digests, brightest, n_inverted, broken = _index(table, images, stamp, manifest)
    rows, notes = table.rows, [*table.notes]
    if lost := {images[i]: i for i in broken}:
        rows = [row for row in rows if row.image not in lost]
        notes.append(
            f"Left out: {count(len(lost), 'image')} that cannot be read ({named([*lost])})."
        )
    files = tuple(row.image for row in rows)
    labels = np.array([row.label for row in rows], np.uint8)
    split = np.array([row.split for row in rows], np.uint8)
    counts = count_classes(table.class_names, labels[split != TEST])
    if not all(counts.values()):
        n_of_class = ", ".join(f"{n} {name}" for name, n in counts.items())
        whose = {row.whose for row in rows}
        few = f" All images are of {count(len(whose), 'patient')}." * (len(whose) < N_FOLDS)
        raise DataError(
            f"{table.location} lacks a class to train on: {n_of_class}. Training needs images of "
            f"every class outside the test split.{few}"
        )
    bits = bits_in_use(max(brightest))
    # Patients are numbered by first appearance, so that equal groups give equal folds.
    numbers: dict[str, int] = {}
    patients = np.array([numbers.setdefault(row.whose, len(numbers)) for row in rows], np.int64)
    folds = _read_folds(table, rows)
    columns = [labels, split, patients.astype("<i8")]
    columns += [] if folds is None else [folds.astype("<i8")]
    hasher = hashlib.sha256("".join(digests).encode())
    for column in columns:
        hasher.update(column.tobytes())
    fingerprint = hasher.hexdigest()[:32]

    def originals(some: Sequence[int], depth: int = bits) -> Iterator[Pixels]:
        for i, image in zip(some, table.read([files[i] for i in some]), strict=True):
            pixels = to_8_bits(image, bits)
            if _digest(pixels) != digests[i]:
                cache.write_index(stamp, None)
                raise DataError(_CHANGED.format(place=table.location, image=files[i]))
            yield pixels if depth == bits else to_8_bits(image, depth)

    def pixels_at(size: int, least_bits: int = 0) -> Pixels:
        depth = max(bits, least_bits) if any(brightest) else bits
        name = f"{fingerprint}-{size}" + f"-{depth}" * (depth != bits)

        def resized() -> Iterator[Pixels]:
            from hpo.data.images import resize  # Cached images do not need Pillow.

            return (resize(image, size) for image in originals(range(len(files)), depth))

        return cache.pixels(name, (len(files), size, size), resized)

    n_known = sum(row.is_known for row in rows)
    notes += _notes(table, rows, digests, n_known, brightest, bits, n_inverted)
    return Dataset(
        name=table.name,
        source=table.location,
        format=table.format,
        fingerprint=fingerprint,
        is_phantom=table.is_phantom,
        has_patients=n_known == len(rows),
        patients_by=table.patients_by if n_known else "",
        labels=labels,
        class_names=table.class_names,
        patients=patients,
        split=split,
        files=files,
        sizes=np.array(sizes, np.int64),
        digests=tuple(digests),
        n_bright_borders=n_inverted,
        originals=originals,
        pixels_at=memoize(pixels_at),
        notes=tuple(notes),
        bits=bits if any(brightest) else 0,
        folds=folds,
    )


def _read_folds(table: Table, rows: Sequence[Row]) -> NDArray[np.int64] | None:
    """Number the folds named by a source; test images have -1.

    The source's own validation split takes precedence over its folds.
    """
    if any(row.split == VALIDATION for row in rows) or not any(row.fold for row in rows):
        return None
    names = sorted({row.fold for row in rows if row.split != TEST})
    if "" in names or len(names) < 2:
        raise DataError(
            f"{table.location} names {count(len(names), 'fold')} outside the test split, "
            f"with {sum(not row.fold for row in rows):,} images in none. Name at least two folds."
        )
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([-1 if row.split == TEST else numbers[row.fold] for row in rows], np.int64)


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
    """Return a message that there is no data set, with the contents and nearby arrays."""
    if not path.exists():
        return f"There is no {path}."
    nothing = f"{path} contains no data set that can be read."
    if not path.is_dir():
        return nothing
    for pattern in ("*", "*/*", "*/*/*"):
        below = sorted(islice(path.glob(pattern), _MOST_PLACES))
        if inner := next(filter(arrays.looks_like, below), None):
            return f"{nothing} Did you mean {inner}?"
    shown = filter(image_folders.is_shown, sorted(child.name for child in path.iterdir()))
    names = [repr(name)[1:-1] for name in shown]
    return f"{nothing} It contains {named(names)}." if names else nothing


def _index(table: Table, images: Sequence[str], stamp: str, manifest: Manifest) -> _Index:
    """Return the index of the images stored under this stamp, or read all images."""
    if table.paths and (stored := cache.read_index(stamp)):
        return cast(_Index, stored)
    sizes, digests, brightest, broken = [], [], [], []
    n_inverted = 0
    # If broken images are left out, each file is read separately.
    is_single = manifest.skip_broken and len(table.paths) >= len(images)
    parts = [[image] for image in images] if is_single else [images]
    for i, part in enumerate(parts):
        try:
            for image in table.read(part):
                sizes.append(list(image.shape))
                digests.append(_digest(to_8_bits(image, _BITS[-1])))
                brightest.append(0 if image.dtype == np.uint8 else int(image.max()))
                n_inverted += _has_bright_border(image)
        except DataError:
            if not is_single:
                raise
            broken.append(i)
    if not sizes:
        raise DataError(f"No image of {table.location} can be read. Replace the files.")
    bits = bits_in_use(max(brightest))
    if bits != _BITS[-1]:  # 16-bit images are scaled by the used depth.
        read = np.delete(images, broken)
        wide = np.flatnonzero(brightest).tolist()
        for i, image in zip(wide, table.read(read[wide].tolist()), strict=True):
            digests[i] = _digest(to_8_bits(image, bits))
    if _stamp(table, images, manifest) != stamp:
        raise DataError(
            f"{table.location} changed while it was read. Wait until no other program writes "
            "there, then run the same command again."
        )
    index = (sizes, digests, brightest, n_inverted, broken)
    if table.paths:
        cache.write_index(stamp, index)
    return index


def _has_bright_border(image: Stored) -> bool:
    """Whether an image is much brighter at its border than in its center, like inverted ones."""
    height, width = (max(1, side // 4) for side in image.shape)
    center = image[height : -height or None, width : -width or None]
    # A border of a sixteenth, with enough rows and columns for a mean.
    step = max(1, min(image.shape) // 64)
    sides = (image, image[::-1], image.T, image.T[::-1])
    strips = [side[: max(1, len(side) // 16) : step, ::step].ravel() for side in sides]
    return bool(np.concatenate(strips).mean() > _BRIGHT * center[::step, ::step].mean())


def _stamp(table: Table, images: Sequence[str], manifest: Manifest) -> str:
    """Digest the selection of images, size and times of the files, and some of their content.

    Sizes and times alone are unreliable: archives, `rsync -t` and containers set them.
    `_SAMPLE_BYTES` of content are included: for large data sets, the beginning of every file.
    """
    used = "\0".join(images)
    hasher = hashlib.sha256(f"{_INDEX_VERSION}\0{manifest.skip_broken}\0{used}\0".encode())
    limit = max(_LEAST_BYTES, _SAMPLE_BYTES // max(1, len(table.paths)))
    for path in table.paths:
        hasher.update(f"{path}\0".encode())
        try:
            status = (place := Path(path)).stat()
            facts = (status.st_size, status.st_ino, status.st_ctime_ns, status.st_mtime_ns)
            hasher.update(repr(facts).encode())
            if stat.S_ISREG(status.st_mode):  # A pipe would block.
                with place.open("rb", buffering=0) as file:
                    hasher.update(file.read(min(status.st_size, limit)))
        except OSError as problem:  # Reading the images will report unreadable ones.
            hasher.update(str(problem).encode())
    return hasher.hexdigest()[:32]


def _digest(image: Pixels) -> str:
    hasher = hashlib.sha256(f"{image.shape[0]} {image.shape[1]} ".encode())
    hasher.update(np.ascontiguousarray(image).data)
    return hasher.hexdigest()[:32]


def _notes(
    table: Table,
    rows: Sequence[Row],
    digests: Sequence[str],
    n_known: int,
    brightest: Sequence[int],
    bits: int,
    n_inverted: int,
) -> Iterator[str]:
    n_images = len(rows)
    if n_wide := sum(map(bool, brightest)):
        yield (
            f"{n_wide:,} images have 16 bits, with values up to {max(brightest):,}: "
            f"0 to {(1 << bits) - 1:,} ({bits} bits) is read as black to white."
        )
    if n_inverted > _MOST_INVERTED * n_images:
        yield (
            f"Warning: {n_inverted:,} of {n_images:,} images are much brighter at the border than "
            "in the center. They may be inverted (air white, bones black)."
        )
    splits = defaultdict[str, set[int | None]](set)
    for row, digest in zip(rows, digests, strict=True):
        splits[digest].add(row.split)
    if n_shared := sum(len(names) > 1 for names in splits.values()):
        yield (
            f"Warning: {count(n_shared, 'image')} in more than one split, equal in every pixel: "
            "results are too good. `hpo data audit` lists them."
        )
    if not n_known:
        yield f"Patients unknown: each {_MAY_LEAK}"
    elif n_known < n_images:
        yield (
            f"Patients are known from {n_known:,} of {n_images:,} {table.patients_by}s. Each "
            f"other {_MAY_LEAK}"
        )
    if 0 < (n := sum(row.split == VALIDATION for row in rows)) < _FEW:
        yield (
            f"There are only {n} validation images: one is {100 / n:.1f} points of accuracy. "
            "--merge-val merges them into training and uses folds instead."
        )
