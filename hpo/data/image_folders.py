"""Folders of image files: {train,val,test}/{NORMAL,PNEUMONIA}/ of the public release, and others.

The release's own `val` holds 16 images, so accuracies change in steps of six points. Without that
folder, folds are drawn from `train`.
"""

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hpo.data import dicom
from hpo.data.dataset import MAX_IMAGES, SPLITS, Stored
from hpo.data.table import BY_NAME, NEGATIVE, POSITIVE, SPLIT_NAMES, Row, Table, plain
from hpo.errors import DataError, fault_list
from hpo.tables import count
from hpo.untrusted import printable

SUFFIXES: Final = {*(".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff", ".webp"), *dicom.SUFFIXES}
# Other suffixes of pictures.
_PICTURES: Final = {
    *(".jfif", ".jpe", ".jp2", ".gif", ".pgm", ".ppm", ".pbm", ".pnm", ".npy", ".nii")
}
# Files that Windows and macOS leave in folders, besides hidden ones.
_OF_SYSTEMS: Final = {"thumbs.db", "desktop.ini", "__macosx"}
# Folders of images that show no chest, and folder names without meaning.
_MASKS: Final = {"mask", "masks", "lung masks", "infection masks", "segmentation"}
_PLAIN: Final = {"image", "images", "img", "imgs", "jpg", "jpeg", "png"}
# Fewer folders are not patients but days, scanners or batches.
_LEAST_FOLDERS: Final = 5
_MOST_NAMED: Final = 5

# Control characters, and bytes that are not UTF-8.
_UNSHOWN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# A file in folders written by `hpo data generate`, so that results are marked as phantom.
PHANTOM_MARK: Final = "PHANTOM.txt"

# File names of the release's first versions and of its third. Other text around them comes from
# copies or variants. An ID of the first versions is unique only together with the text before it,
# and with bacteria or virus.
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
    rf"(?P<name>.+?)(?:(?P<count> ?\(\d+\))|[ ._-]+(?:{_CHANGES})[ ._-]?[0-9a-f]*)+", re.IGNORECASE
)
# `scan (1)` to `scan (400)` are not copies.
_MOST_COPIES: Final = 20


def read(path: Path) -> Table | None:
    """List the images of a folder by split, class and name; None if there are none.

    Folders are `{split}/{class}/`, `{class}/{split}/` or `{class}/`, possibly inside other
    folders. Below them may be a folder for each patient.

    Raises:
        DataError: a split with only one class, or a file that cannot be read or displayed.
    """
    files, left_out = list_images(path)
    rows = _in_classes(files)
    if not rows:
        return None
    # Splits and classes have a fixed order, and so has the fingerprint.
    rows.sort(key=lambda row: (row.split or 0, row.labels[0].casefold(), row.image))
    _check_classes(path, rows)
    used = [row.image for row in rows]
    left_out.update((_short(file), suffix_of(file)) for file in {*files}.difference(used))
    notes = [*_left_out_note(left_out)]
    paths = [f"{path}/{file}" for file in used]
    by, keys, n_copies = patients_of(used, paths)
    if n_copies:
        notes.append(
            f"{n_copies:,} files are named like copies or variants of others, such as NAME (1) or "
            "NAME_flip. They count as images of the same patient."
        )
    folders = defaultdict[str, set[str]](set)
    for row in rows:
        folders[plain(row.labels[0])] |= {row.patient} - {""}
    if is_by_folder := min(map(len, folders.values())) >= _LEAST_FOLDERS:
        by = "folder"
        notes.append(
            "Each folder below a class is treated as a patient, and folders of one name as one."
        )
    elif any(folders.values()):
        notes.append("Folders below the classes are too few for patients; their images are used.")
    for i, (key, is_known) in enumerate(keys):
        if not (is_by_folder and rows[i].patient):
            rows[i] = rows[i]._replace(patient=key, is_known=is_known)
    return Table(
        name=path.name,
        location=str(path),
        format="image folders",
        is_phantom=(path / PHANTOM_MARK).is_file(),
        rows=rows,
        patients_by=by,
        notes=tuple(notes),
        paths=paths,
        read=lambda some: images_of([f"{path}/{file}" for file in some]),
    )


def _check_classes(path: Path, rows: Sequence[Row]) -> None:
    """Refuse a split with images of only one class."""
    classes = defaultdict[int, set[str]](set)
    for row in rows:
        if row.split is not None:
            classes[row.split].add(plain(row.labels[0]))
    if faults := [
        f"{SPLITS[split]} has images in {min(kinds)} only"
        for split, kinds in sorted(classes.items())
        if len(kinds) < 2
    ]:
        raise DataError(
            fault_list(f"{path} lacks images. Every split needs a folder for each class:", faults)
        )


def _in_classes(files: Sequence[str]) -> list[Row]:
    """Return the images that are in a class; the patient is a folder below it."""
    parts = {file: file.split("/") for file in files}
    while inner := _only_folder([*parts.values()]):
        parts = {file: names[1:] for file, names in parts.items() if names[0] == inner}
    below = {file: names for file, names in parts.items() if len(names) > 1}
    firsts, seconds = ({_is_split(names[i]) for names in below.values()} for i in (0, 1))
    rows = []
    for file, names in below.items():
        split, kind, rest = None, names[0], names[1:-1]
        if True in firsts:
            if not _is_split(names[0]) or len(names) < 3:
                continue
            split, kind, rest = SPLIT_NAMES[names[0].casefold()], names[1], names[2:-1]
        elif seconds == {True}:
            split, rest = SPLIT_NAMES[names[1].casefold()], names[2:-1]
        if not any(name.casefold() in _MASKS for name in rest):
            folder = next((name for name in rest if name.casefold() not in _PLAIN), "")
            rows.append(Row(file, (kind,), split, folder, bool(folder)))
    return rows


def _only_folder(parts: Sequence[Sequence[str]]) -> str | None:
    """Return the only folder that holds the data set; None if it starts here."""
    below = [path for path in parts if len(path) > 1]
    names = {path[0] for path in below}
    if any(map(_is_split, names)):
        return None
    with_splits = {path[0] for path in below if _is_split(path[1])}
    if len(with_splits) == 1:
        return with_splits.pop()
    is_one = len(names) == 1 and not {*map(plain, names)} & (NEGATIVE | POSITIVE)
    return names.pop() if is_one and any(len(path) > 2 for path in below) else None


def _is_split(name: str) -> bool:
    return name.casefold() in SPLIT_NAMES


def _short(file: str) -> str:
    """Return the folder of a file, without folders of single patients."""
    return "/".join(file.split("/")[:-1][:3])


def patients_of(
    files: Sequence[str], paths: Sequence[str] = ()
) -> tuple[str, list[tuple[str, bool]], int]:
    """Return how patients are identified, each file's key and whether it is known, and the copies.

    The patient of a copy is that of its original; without a name the file itself is the key. DICOM
    files name their patients themselves.
    """
    names = [file.rpartition(".")[0] for file in files]
    # Among files that differ only in the suffix, the first is the original.
    originals = dict(zip(reversed(names), reversed(files), strict=True))
    # A number, as in NAME (1), marks a copy only if the original exists.
    copied = [
        match["name"] if match and (not match["count"] or match["name"] in originals) else None
        for match in map(_VARIANT.fullmatch, names)
    ]
    counts = Counter(copied)
    keys, n_copies = [], 0
    for file, name, original in zip(files, names, copied, strict=True):
        if match := _PATIENT.search(name.rpartition("/")[2]):
            keys.append(((match["person"] or match["scan"] or match["number"]).lower(), True))
        elif original and counts[original] <= _MOST_COPIES:
            keys.append((originals.get(original, original), False))
            n_copies += 1
        else:
            keys.append((file, False))
    by, dicoms = BY_NAME, [i for i, path in enumerate(paths) if dicom.is_dicom(path)]
    for i, (key, is_known) in zip(
        dicoms, dicom.patients_of([paths[i] for i in dicoms]), strict=True
    ):
        if key:
            keys[i] = key, is_known
        by = dicom.BY_TAG if is_known else by
    return by, keys, n_copies


def suffix_of(file: str) -> str:
    """Return the suffix of a file in lower case, or ""."""
    return posixpath.splitext(file)[1].lower()


def is_shown(name: str) -> bool:
    """Whether a file or folder is neither hidden nor created by the operating system."""
    return not name.startswith(".") and name.lower() not in _OF_SYSTEMS


def list_images(path: Path) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Return the image files below a folder, and the number of other picture files by suffix.

    Links are followed, except to a folder that contains them.

    Raises:
        DataError: a file that cannot be read or displayed, or too many files.
    """

    def stop(problem: OSError) -> None:
        raise problem

    files: list[str] = []
    left_out: Counter[tuple[str, str]] = Counter()
    try:
        for parent, folders, names in os.walk(path, onerror=stop, followlinks=True):
            here, place = Path(parent), Path(parent).relative_to(path).as_posix()
            folders[:] = [
                name
                for name in filter(is_shown, folders)
                if not (here / name).is_symlink()
                or not here.resolve().is_relative_to((here / name).resolve())
            ]
            for name in filter(is_shown, names):
                suffix = suffix_of(name)
                file = name if place == "." else f"{place}/{name}"
                if suffix in SUFFIXES:
                    files.append(file)
                elif suffix in _PICTURES:
                    left_out[_short(file), suffix] += 1
            if len(files) > MAX_IMAGES:
                raise DataError(f"{path} contains more than {MAX_IMAGES:,} images, the limit.")
    except OSError as problem:
        raise DataError(
            f"{path} cannot be read: {problem}. Repair that file or link, or remove it."
        ) from None
    for file in filter(dicom.is_dicom, files):
        dicom.check_extra(path / file)
        break
    for file in filter(_UNSHOWN.search, files):
        raise DataError(
            f"{path / ascii(file)} has characters in its name that cannot be shown. Rename "
            "the file, or remove it."
        )
    return files, left_out


def _left_out_note(left_out: Counter[tuple[str, str]]) -> Iterator[str]:
    counts = [
        f"{count(n, f'{suffix} file')} in {place or 'the folder itself'}"
        for (place, suffix), n in sorted(left_out.items())
    ]
    if n_more := len(counts[_MOST_NAMED:]):
        counts[_MOST_NAMED:] = [f"and files in {n_more:,} more places"]
    if counts:
        yield (
            f"Left out: {printable(', '.join(counts))}. Only images in class folders are "
            f"read ({', '.join(sorted(SUFFIXES))})."
        )


def images_of(files: Sequence[str]) -> Iterator[Stored]:
    """Read image files in their order."""
    from hpo.data.images import decode_all  # Not needed to list a folder.

    return decode_all([*map(Path, files)])
