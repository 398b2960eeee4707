"""The public release's folders: {train,val,test}/{NORMAL,PNEUMONIA}/ with jpeg or png files.

The release's own `val` holds 16 images: an accuracy on it moves in steps of six points. Without
that folder, folds are drawn from `train`.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, VALIDATION, Source, Stored
from hpo.errors import DataError, fault_list
from hpo.tables import count
from hpo.untrusted import printable

_SPLITS: Final = {"train": TRAIN, "val": VALIDATION, "test": TEST}
_CLASSES: Final = {"NORMAL": NORMAL, "PNEUMONIA": PNEUMONIA}
# The folders that are read, in the order of the data set: split and label of their images.
_PLACES: Final = {
    f"{split}/{kind}": (code, label)
    for split, code in _SPLITS.items()
    for kind, label in _CLASSES.items()
}
# Links among them are followed, and no others: they may run in circles.
_LINKED: Final = {*_SPLITS, *_PLACES}
_SUFFIXES: Final = {".jpeg", ".jpg", ".png"}
# What else may be a picture.
_PICTURES: Final = _SUFFIXES | {
    *(".jfif", ".jpe", ".jp2", ".tif", ".tiff", ".bmp", ".webp", ".gif"),
    *(".pgm", ".pnm", ".dcm", ".dicom", ".npy", ".nii"),
}
# What Windows and Macs leave in folders, beside hidden files.
_OF_SYSTEMS: Final = {"thumbs.db", "desktop.ini", "__macosx"}
_MOST_NAMED: Final = 5

# Control characters, and bytes that are not UTF-8.
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# Stands in a folder that `hpo data generate` wrote, so that its results still say phantom.
PHANTOM_MARK: Final = "PHANTOM.txt"

# File names of the release's first versions and of its third. What stands around them is of a copy
# or a variant. An ID of the first is unique only with what stands before it, and with bacteria or
# virus.
_PATIENT: Final = re.compile(
    r"(?<![a-z0-9])(?:(?P<person>person\d+_(?:bacteria|virus))_\d+"
    r"|(?P<scan>(?:NORMAL\d+-)?IM-\d+)(?:-\d+){1,2}"
    r"|(?:NORMAL|BACTERIA|VIRUS)-(?P<number>\d+)-\d+)",
    re.IGNORECASE,
)
_CHANGES: Final = (
    "copy|aug(?:mented)?|[hv]?flip(?:ped)?|mirror(?:ed)?|rot(?:ate|ated)?|resized?|crop(?:ped)?|"
    "zoom(?:ed)?|noisy?|noise|blur(?:red)?|bright(?:er)?|dark(?:er)?|contrast|shift(?:ed)?|"
    "jpe?g|png|rf"
)
_VARIANT: Final = re.compile(
    rf"(?P<name>.+?)(?:(?P<count> ?\(\d+\))|[ ._-]+(?:{_CHANGES})[ ._-]?[0-9a-f]*)+",
    re.IGNORECASE,
)
# `scan (1)` to `scan (400)` are no copies.
_MOST_COPIES: Final = 20


def looks_like(path: Path) -> bool:
    """Whether a folder holds `train` or `test`."""
    return any((path / name).is_dir() for name in _SPLITS)


def read(path: Path) -> Source:
    """List the images of a folder, by split, class and name.

    Raises:
        DataError: a split without one of the classes, or a file that cannot be reached or named.
    """
    try:
        found, notes = _list(path)
    except OSError as problem:
        raise DataError(
            f"{path} cannot be read: {problem}. Repair that file or link, or remove it."
        ) from None
    places = [place for place, names in found.items() for _ in names]
    files = [f"{place}/{name}" for place, names in found.items() for name in sorted(names)]
    for file in filter(_UNSHOWN.search, files):
        raise DataError(
            f"{path / ascii(file)} has characters in its name that cannot be shown. Rename "
            "the file, or remove it."
        )
    splits = {place.partition("/")[0] for place in places} | {"train"}
    faults = [
        f"{place} " + ("has no such file" if (path / place).is_dir() else "does not exist")
        for place, names in found.items()
        if not names and place.partition("/")[0] in splits
    ]
    if faults:
        raise DataError(
            fault_list(
                f"{path} lacks images. Looked for .jpeg, .jpg and .png files in train/NORMAL and "
                "train/PNEUMONIA, and likewise in test and val where there are any:",
                [*faults, *notes],
            )
        )
    patients, n_known, n_copies = patients_of(files)
    if n_copies:
        notes.append(
            f"{n_copies:,} files are named as copies or variants of another one, such as NAME (1) "
            "or NAME_flip: they count as images of the same patient."
        )
    return Source(
        name=path.name,
        location=str(path),
        format="image folders",
        is_phantom=(path / PHANTOM_MARK).is_file(),
        labels=np.array([_PLACES[place][1] for place in places], np.uint8),
        split=np.array([_PLACES[place][0] for place in places], np.uint8),
        patients=patients,
        n_known=n_known,
        notes=tuple(notes),
        files=tuple(files),
        paths=tuple(path / file for file in files),
        originals=lambda positions: _images([path / files[position] for position in positions]),
    )


def patients_of(files: Sequence[str]) -> tuple[tuple[str, ...], int, int]:
    """Return a key of the patient of each file, how many names say the patient, and of copies.

    The patient of a copy is that of its original; of a file whose name says none, the file itself.
    """
    names = [str(PurePosixPath(file).with_suffix("")) for file in files]
    # Of files that differ in the suffix alone the first is the original.
    originals = dict(zip(reversed(names), reversed(files), strict=True))
    copied = [_original(name, originals) for name in names]
    counts = Counter(copied)
    keys, n_known, n_copies = [], 0, 0
    for file, name, original in zip(files, names, copied, strict=True):
        if match := _PATIENT.search(PurePosixPath(name).name):
            keys.append((match["person"] or match["scan"] or match["number"]).lower())
            n_known += 1
        elif original and counts[original] <= _MOST_COPIES:
            keys.append(originals.get(original, original))
            n_copies += 1
        else:
            keys.append(file)
    return tuple(keys), n_known, n_copies


def _original(name: str, names: Collection[str]) -> str | None:
    """Return the name that this one is a copy or a variant of."""
    match = _VARIANT.fullmatch(name)
    if match is None or (match["count"] and match["name"] not in names):
        return None
    return match["name"]


def is_shown(name: str) -> bool:
    """Whether a file or folder is neither hidden nor left behind by a system."""
    return not name.startswith(".") and name.lower() not in _OF_SYSTEMS


def _list(path: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the names of the images in each place, and a note on other files like pictures."""

    def stop(problem: OSError) -> None:
        raise problem

    found: dict[str, list[str]] = {place: [] for place in _PLACES}
    left_out: Counter[tuple[str, str]] = Counter()
    for parent, folders, names in os.walk(path, onerror=stop, followlinks=True):
        place = PurePosixPath(Path(parent).relative_to(path).as_posix())
        folders[:] = [
            name
            for name in filter(is_shown, folders)
            if str(place / name) in _LINKED or not Path(parent, name).is_symlink()
        ]
        for name in filter(is_shown, names):
            suffix = PurePosixPath(name).suffix.lower()
            if str(place) in found and suffix in _SUFFIXES:
                found[str(place)].append(name)
            elif suffix in _PICTURES:
                left_out[str(place), suffix] += 1
    each = [
        f"{'the folder' if place == '.' else place} ({count(n, f'{suffix} file')})"
        for (place, suffix), n in sorted(left_out.items())
    ]
    if n_more := len(each[_MOST_NAMED:]):
        each[_MOST_NAMED:] = [f"and files in {n_more:,} more places"]
    note = (
        f"Left out: {printable(', '.join(each))}. Only .jpeg, .jpg and .png files in NORMAL and "
        "PNEUMONIA of train, val and test are read, spelled like this."
    )
    return found, [note] if each else []


def _images(files: Sequence[Path]) -> Iterator[Stored]:
    from hpo.data.images import decode_all  # Pillow is not needed to list a folder.

    return decode_all(files)
