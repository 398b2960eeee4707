"""Space files on disk: those that come with the toolkit, and the user's own."""

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hpo.config import did_you_mean
from hpo.errors import SpaceError
from hpo.files import at_home
from hpo.space.reading import read_space
from hpo.space.records import Space

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_MAX_BYTES: Final = 100_000
_LONGEST_NAME: Final = 200
# tomllib takes minutes for one line of 40,000 dots.
_LONGEST_LINE: Final = 2_000


def space_names() -> list[str]:
    """Return the names of the spaces that come with the toolkit."""
    return sorted(path.stem for path in _shipped().glob("*.toml"))


def load_space(name_or_path: str) -> Space:
    """Read a space that comes with the toolkit, by name, or any space file, by path.

    Raises:
        SpaceError: it cannot be found or read, or has faults; all of them in one message.
    """
    path = _find(name_or_path)
    try:
        raw = _parse(path)
        return read_space(raw, name=path.stem, source=str(path))
    except RecursionError:
        raise SpaceError(f"{path} is nested too deeply for a space file") from None


def _shipped() -> Path:
    """Return the folder of the shipped files: in the package, or beside it in a checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def _find(name_or_path: str) -> Path:
    names = space_names()
    if name_or_path in names:
        return _shipped() / f"{name_or_path}.toml"
    path = at_home(name_or_path)
    shown = repr(name_or_path[:_LONGEST_NAME])
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        near = did_you_mean(name_or_path[:_LONGEST_NAME], names)
        raise SpaceError(
            f"There is no space file {shown}, and no space of that name comes with the toolkit"
            f"{near}"
        ) from None
    if stat.S_ISREG(mode):
        return path
    kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    raise SpaceError(f"{shown} is {kind}: name a space file (TOML), or one of {', '.join(names)}")


def _parse(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SpaceError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise SpaceError(f"{path} is larger than 100 kB: that is no space file")
    try:
        text = content.decode("utf-8-sig")
        _check_lines(path, text)
        return tomllib.loads(text)
    except UnicodeDecodeError:
        raise SpaceError(f"{path} is not text in UTF-8: a space file is TOML") from None
    except ValueError as error:
        raise SpaceError(f"{path} is not valid TOML: {error}") from None


def _check_lines(path: Path, text: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > _LONGEST_LINE:
            raise SpaceError(
                f"{path}, line {number} is longer than {_LONGEST_LINE} characters: "
                "that is no space file"
            )
