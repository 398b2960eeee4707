"""Writing files whole, and reading JSON that anyone may have changed."""

import contextlib
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hpo.errors import OutputError

MAKE_ROOM: Final = "Make room, then run the same command again."
"""The way out where a disk is full and no other folder can be named."""

_A_DAY_S: Final = 86_400


def write_whole(path: Path, content: bytes, *, way_out: str) -> None:
    """Write a file under a temporary name, then rename it: it is there whole or not at all.

    `way_out` says what to do where it cannot be written.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with writing(path.parent, way_out=way_out):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written: temporary files that are a day old.

    A write takes seconds; a younger one may be another process's.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob(".*.????????"):
            if time.time() - path.stat().st_mtime > _A_DAY_S:
                path.unlink(missing_ok=True)


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
