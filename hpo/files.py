"""Writing files whole: what is there under its name is complete."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from hpo.errors import OutputError


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
