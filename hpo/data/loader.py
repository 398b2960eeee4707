"""Opening a data set by looking at its path."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from hpo.data import image_folders, medmnist, npy_files
from hpo.data.dataset import Dataset
from hpo.data.phantom import open_phantom
from hpo.data.source import open_source
from hpo.errors import DataError

_FORMATS: Final = (npy_files, image_folders, medmnist)
_LONGEST_PATH: Final = 200
# How far a data set is looked for below a folder that holds none.
_DEEPEST: Final = 3
_MOST_PLACES: Final = 1_000
_MOST_NAMED: Final = 8
_WAY_OUT: Final = """\
Give the path (--data, HPO_DATA) of
  - a folder {train,val,test}/{NORMAL,PNEUMONIA}/ of .jpeg, .jpg or .png files (val may be absent)
  - a folder with normal.npy, pneumonia.npy, test_normal.npy and test_pneumonia.npy
  - a MedMNIST archive .npz with train_images, train_labels, val_… and test_…"""


def open_data(path: Path | None, *, way_out: str = _WAY_OUT) -> Dataset:
    """Open the data set at a path, or the phantom where there is none.

    Raises:
        DataError: what lies there cannot be used.
    """
    return open_phantom() if path is None else load(path, way_out=way_out)


def load(path: Path, *, way_out: str = _WAY_OUT) -> Dataset:
    """Open a data set; its format is found by looking at the path.

    Every image is decoded when a path is opened for the first time, and not again while the files
    stay as they are. `way_out` says what to do where there is no data set.

    Raises:
        DataError: nothing there that can be used, or a damaged file, which is named.
    """
    try:
        path = path.expanduser().absolute()
        str(path).encode()  # Names that are no text fail in every later table and page.
        for data_format in _FORMATS:
            if data_format.looks_like(path):
                return open_source(data_format.read(path))
        nothing = _nothing_at(path)
    except (OSError, RuntimeError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is no path"
        nothing = f"{str(path)[:_LONGEST_PATH]!r} cannot be read: {reason}."
    raise DataError(f"{nothing} {way_out}")


def _nothing_at(path: Path) -> str:
    if not path.exists():
        return f"There is no {path}."
    nothing = f"{path} holds no data set that can be read."
    places = [path]
    for _ in range(_DEEPEST):
        places = [child for place in places for child in _children(place)][:_MOST_PLACES]
        for place in places:
            if any(form.looks_like(place) for form in _FORMATS):
                return f"{nothing} Did you mean {place}?"
    names = [repr(child.name)[1:-1] for child in _children(path)]
    if not names:
        return nothing
    held = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return f"{nothing} It holds {held}.{image_folders.hint(path)}"


def _children(place: Path) -> list[Path]:
    """List a folder without what is hidden and what a Mac leaves in archives."""
    with suppress(OSError):
        every = sorted(place.iterdir()) if place.is_dir() else []
        return [child for child in every if child.name[0] != "." and child.name != "__MACOSX"]
    return []
