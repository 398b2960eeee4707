"""Writing files whole, and reading JSON that anyone may have changed."""

import contextlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from hpo.errors import OutputError, UsageError

MAKE_ROOM: Final = "Make room, then run the same command again."
"""The way out where a disk is full and no other folder can be named."""

_A_DAY_S: Final = 86_400

# Eight hex digits alone would also fit a backup of the user's, such as .bashrc.20260101.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.hpo")


def at_home(path: str | Path) -> Path:
    """Return a path with `~` as the home: a shell leaves it after a sign, as in `--out=~/x`.

    Raises:
        UsageError: there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{str(path)!r} is in a home that is not known. Write the whole path, or ./~ for a "
            "folder of that name."
        ) from None


def write_whole(path: Path, content: bytes, *, way_out: str) -> None:
    """Write a file that is there whole or not at all, even where power fails.

    `way_out` says what to do where it cannot be written.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    with writing(path.parent, way_out=way_out), replacing(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file under a temporary name; it takes its own when all of it is written.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.hpo")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written: temporary files of a day without a write.

    A younger one may be another process's, which still writes to it.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                _remove_old(path)


def _remove_old(path: Path) -> None:
    # One that cannot be removed does not keep the others.
    with contextlib.suppress(OSError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > _A_DAY_S:
            path.unlink()


@contextlib.contextmanager
def writing(folder: Path, *, way_out: str) -> Iterator[None]:
    """Turn a failure to write into a folder into one message with its way out."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}. What is finished is kept. "
            f"{way_out}"
        ) from error


def read_json(path: Path, *, most: int) -> Any:
    """Read a JSON file of at most `most` bytes; a pipe or a device would never end.

    Raises:
        OSError: it cannot be read, or is no ordinary file.
        ValueError: it is larger, or no JSON.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is no ordinary file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} is larger than {most:,} bytes")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
