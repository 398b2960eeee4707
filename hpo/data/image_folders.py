"""The public release's folders: {train,val,test}/{NORMAL,PNEUMONIA}/ with jpeg or png files.

The release's own `val` holds 16 images: an accuracy on it moves in steps of six points. Without
that folder, folds are drawn from `train`.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import numpy as np

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, VALIDATION
from hpo.data.patients import patients_of
from hpo.data.source import Source, Stored
from hpo.errors import DataError, fault_list

_SPLITS: Final = {"train": TRAIN, "val": VALIDATION, "test": TEST}
_CLASSES: Final = {"NORMAL": NORMAL, "PNEUMONIA": PNEUMONIA}
_SUFFIXES: Final = {".jpeg", ".jpg", ".png"}

# What else may be a picture.
_PICTURES: Final = _SUFFIXES | {
    *(".jfif", ".jpe", ".jp2", ".tif", ".tiff", ".bmp", ".webp", ".gif"),
    *(".pgm", ".pnm", ".dcm", ".dicom", ".npy", ".nii"),
}
_OTHER_NAMES: Final = {
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "training": "train",
    "testing": "test",
}
# What Windows and Macs leave in folders, beside hidden files.
_OF_SYSTEMS: Final = {"thumbs.db", "desktop.ini", "__macosx"}
_MOST_NAMED: Final = 5

# Control signs, and bytes that are no UTF-8.
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# Lies in a folder that `hpo data generate` wrote, so that its results still say phantom.
PHANTOM_MARK: Final = "PHANTOM.txt"


def looks_like(path: Path) -> bool:
    """Whether a folder holds `train` or `test`."""
    return any((path / name).is_dir() for name in _SPLITS)


def hint(path: Path) -> str:
    """Say how folders that are nearly a data set become one; nothing where there are none."""
    names = [child.name for child in sorted(path.iterdir()) if child.is_dir()]
    if renames := _renames(path, names):
        return renames
    classes = [_shown(name) for name in names if name.upper() in _CLASSES]
    return f" Put {' and '.join(classes)} into a folder train." if classes else ""


def _renames(path: Path, names: Iterable[str]) -> str:
    meant = {name: _OTHER_NAMES.get(name.casefold(), name.casefold()) for name in names}
    lacking = [split for split in _SPLITS if not (path / split).exists()]
    each = [f"{name} to {split}" for name, split in meant.items() if split in lacking]
    return f" Rename {' and '.join(each)} to use it." if each else ""


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
        left_out = tuple(_left_out(path))
        _check(path, found, left_out)
        files = tuple(
            f"{split}/{kind}/{name}" for (split, kind), names in found.items() for name in names
        )
    except OSError as problem:
        raise DataError(
            f"{path} cannot be read: {problem}. Mend that file or link, or remove it."
        ) from None
    patients = patients_of(files)
    codes = np.array([(_SPLITS[split], _CLASSES[kind]) for split, kind in found], np.uint8)
    counts = [len(names) for names in found.values()]
    return Source(
        name=path.name,
        location=str(path),
        format="image folders",
        is_phantom=(path / PHANTOM_MARK).is_file(),
        labels=np.repeat(codes[:, 1], counts),
        split=np.repeat(codes[:, 0], counts),
        patients=patients.keys,
        n_known=patients.n_known,
        notes=(*left_out, *_copies_note(patients.n_copies)),
        files=files,
        paths=tuple(path / file for file in files),
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


def _check(
    path: Path, found: Mapping[tuple[str, str], Sequence[str]], left_out: Sequence[str]
) -> None:
    present = {split for (split, _), names in found.items() if names} | {"train"}
    empty = [
        f"{split}/{kind} {_lack(path, split, kind)}"
        for (split, kind), names in found.items()
        if split in present and not names
    ]
    if empty:
        raise DataError(
            fault_list(
                f"{path} lacks images. Looked for .jpeg, .jpg and .png files in train/NORMAL and "
                "train/PNEUMONIA, and likewise in test and val where there are any:",
                [*empty, *left_out],
            )
        )


def _lack(path: Path, split: str, kind: str) -> str:
    """Say what is wrong where a folder of a class should hold images."""
    if (path / split / kind).is_dir():
        return "has no such file"
    for place in path.iterdir():
        for folder in place.iterdir() if place.is_dir() else ():
            near = (place.name.casefold(), folder.name.casefold())
            if near == (split, kind.casefold()) and folder.is_dir():
                name = f"{place.name}/{folder.name}"
                return f"does not exist, but {_shown(name)} does: rename it to {split}/{kind}"
    return "does not exist"


def _left_out(path: Path) -> Iterator[str]:
    """Say which folders and files beside those that are read may hold images."""
    folders: dict[str, int] = {}
    suffixes: Counter[str] = Counter()
    read: dict[Path, tuple[str, ...]] = {path: tuple(_SPLITS)}
    read |= {path / split: tuple(_CLASSES) for split in _SPLITS}
    read |= {path / split / kind: () for split in _SPLITS for kind in _CLASSES}
    for place, names in read.items():
        # Files of hospitals often have none; beside train it is other things that have none.
        pictures = _PICTURES if place == path else _PICTURES | {""}
        with os.scandir(place) if place.is_dir() else nullcontext(()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                suffix = Path(entry.name).suffix.lower()
                if entry.name in names or _is_of_system(entry.name):
                    continue
                if entry.is_dir():
                    folder = Path(entry.path).relative_to(path).as_posix()
                    found = (file for *_, files in os.walk(entry.path) for file in files)
                    folders[folder] = sum(
                        Path(file).suffix.lower() in pictures and not _is_of_system(file)
                        for file in found
                    )
                elif suffix in pictures if place == path else names or suffix not in _SUFFIXES:
                    suffixes[suffix or "other"] += 1
    yield from _folders_note(path, folders)
    if suffixes:
        each = [f"{n:,} {_shown(suffix)}" for suffix, n in suffixes.most_common(_MOST_NAMED)]
        files = "file" if suffixes.total() == 1 else "files"
        yield (
            f"Left out: {', '.join(each)} {files}. Only .jpeg, .jpg and .png files in the folders "
            "of the classes are read."
        )


def _folders_note(path: Path, found: Mapping[str, int]) -> Iterator[str]:
    folders = {name: n_files for name, n_files in found.items() if n_files}
    if not folders:
        return
    each = [f"{_shown(name)} ({_files(n)})" for name, n in folders.items()]
    if (n_more := len(each) - _MOST_NAMED) > 0:
        n_files = sum(list(folders.values())[_MOST_NAMED:])
        each[_MOST_NAMED:] = [f"{n_more:,} more folders ({_files(n_files)})"]
    yield (
        f"Left out: {', '.join(each)}. Only train, val and test with NORMAL and PNEUMONIA are "
        f"read, without the folders in those.{_renames(path, folders)}"
    )


def _files(n: int) -> str:
    return f"{n:,} file" if n == 1 else f"{n:,} files"


def _is_of_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _shown(name: str) -> str:
    return ascii(name) if _UNSHOWN.search(name) else name


def _copies_note(n_copies: int) -> Iterator[str]:
    if n_copies:
        yield (
            f"{n_copies:,} files are named as copies or variants of another one, such as NAME (1) "
            "or NAME_flip: they count as images of the same patient."
        )


def _images(path: Path, files: Sequence[str]) -> Iterator[Stored]:
    from hpo.data.images import decode_all  # Pillow is not needed to list a folder.

    return decode_all([path / file for file in files])
