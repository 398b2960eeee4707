"""The public release's folders: {train,val,test}/{NORMAL,PNEUMONIA}/ with jpeg or png files.

The release's own `val` holds 16 images: an accuracy on it moves in steps of six points. Without
that folder, folds are drawn from `train`.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, VALIDATION, Pixels
from hpo.data.source import Source, stamp
from hpo.errors import DataError, fault_list

_SPLITS: Final = {"train": TRAIN, "val": VALIDATION, "test": TEST}
_CLASSES: Final = {"NORMAL": NORMAL, "PNEUMONIA": PNEUMONIA}
_SUFFIXES: Final = {".jpeg", ".jpg", ".png"}

# Control signs, and bytes that are no UTF-8.
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# Lies in a folder that `hpo data generate` wrote, so that its results still say phantom.
PHANTOM_MARK: Final = "PHANTOM.txt"

# An ID is unique only together with what stands before it, and with bacteria or virus.
_PATIENT: Final = re.compile(
    r"(?P<person>person\d+_(bacteria|virus))_\d+|(?P<scan>(NORMAL\d+-)?IM-\d+)(-\d+){1,2}",
    re.IGNORECASE,
)


def looks_like(path: Path) -> bool:
    """Whether a folder holds `train` or `test`."""
    return any((path / name).is_dir() for name in _SPLITS)


def read(path: Path) -> Source:
    """List the images of a folder, by split, class and name.

    Raises:
        DataError: a split without one of the classes, or a file that cannot be reached or named.
    """
    try:
        found = {
            (split, kind): _image_names(path / split / kind)
            for split in _SPLITS
            for kind in _CLASSES
        }
        _check(path, found)
        files = tuple(
            f"{split}/{kind}/{name}" for (split, kind), names in found.items() for name in names
        )
        written = stamp([path / file for file in files])
    except OSError as problem:
        raise DataError(
            f"{path} cannot be read: {problem}. Mend that file or link, or remove it."
        ) from None
    codes = np.array([(_SPLITS[split], _CLASSES[kind]) for split, kind in found], np.uint8)
    counts = [len(names) for names in found.values()]
    return Source(
        name=path.name,
        location=str(path),
        format="image folders",
        is_phantom=(path / PHANTOM_MARK).is_file(),
        labels=np.repeat(codes[:, 1], counts),
        split=np.repeat(codes[:, 0], counts),
        patients=patients_of(files),
        files=files,
        stamp=written,
        originals=lambda positions: _images(path, [files[position] for position in positions]),
    )


def _image_names(folder: Path) -> list[str]:
    """Name the images of a folder in order. Hidden files are what a Mac leaves in archives."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if Path(entry.name).suffix.lower() in _SUFFIXES
            and not entry.name.startswith(".")
            and not entry.is_dir()
        )
    for name in names:
        if _UNSHOWN.search(name):
            raise DataError(
                f"{folder / ascii(name)} has signs in its name that cannot be shown. Rename the "
                "file, or remove it."
            )
    return names


def _check(path: Path, found: Mapping[tuple[str, str], Sequence[str]]) -> None:
    present = {split for (split, _), names in found.items() if names} | {"train"}
    empty = [
        f"{split}/{kind} {'has no image' if (path / split / kind).is_dir() else 'does not exist'}"
        for (split, kind), names in found.items()
        if split in present and not names
    ]
    if empty:
        raise DataError(
            fault_list(
                f"{path} lacks images. Looked for .jpeg, .jpg and .png files in train/NORMAL and "
                "train/PNEUMONIA, and likewise in test and val where there are any:",
                empty,
            )
        )


def patients_of(files: Sequence[str]) -> tuple[str, ...] | None:
    """Return a key per image: the patient its name tells, or the image itself."""
    matches = [_PATIENT.fullmatch(PurePosixPath(file).stem) for file in files]
    if not any(matches):
        return None
    return tuple(
        (match["person"] or match["scan"]).lower() if match else file
        for match, file in zip(matches, files, strict=True)
    )


def _images(path: Path, files: Sequence[str]) -> Iterator[Pixels]:
    from hpo.data.images import decode_all  # Pillow is not needed to list a folder.

    return decode_all([path / file for file in files])
