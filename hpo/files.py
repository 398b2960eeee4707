"""Writing files atomically, and reading JSON that may have been tampered with."""

import contextlib
import json
import os
import re
import secrets
import stat
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from hpo.errors import HpoError, OutputError, UsageError

MAKE_ROOM: Final = "Make room, then run the same command again."
"""Advice if a disk is full and no other folder can be named."""

_A_DAY_S: Final = 86_400

# Eight hex digits alone would also match a user's backup, such as .bashrc.20260101.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.hpo")

_MAX_BYTES: Final = 100_000
# tomllib takes minutes for one line of 40,000 dots.
_LONGEST_LINE: Final = 2_000

_LIST: Final = ".hpo-files"


def at_home(path: str | Path) -> Path:
    """Return a path with `~` expanded, which a shell does not do in `--out=~/x`.

    Raises:
        UsageError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"The home folder in {str(path)!r} is unknown. Write the full path, or ./~ for a "
            "folder of that name."
        ) from None


def read_toml(path: Path, kind: str, error: type[HpoError]) -> dict[str, Any]:
    """Read a TOML file of this kind, with any content.

    Raises:
        HpoError: this error, if it is not a short TOML file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise error(f"{path} exceeds 100 kB. A {kind} is a short TOML file.")
        text = content.decode("utf-8-sig")
        for number, line in enumerate(text.splitlines(), start=1):
            if len(line) > _LONGEST_LINE:
                raise error(
                    f"{path}, line {number} has more than {_LONGEST_LINE} characters. "
                    f"A {kind} has short lines."
                )
        return tomllib.loads(text)
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise error(f"{path} is not UTF-8 text. A {kind} is a TOML file.") from None
    except RecursionError:
        raise error(f"{path} is nested too deeply for a {kind}.") from None
    except ValueError as problem:
        raise error(f"{path} is not valid TOML: {problem}.") from None


def write_atomic(path: Path, content: bytes, *, hint: str) -> None:
    """Write a file atomically: it is written completely or not at all, even if the power fails.

    `hint` is the advice if it cannot be written.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    with writing(path.parent, hint=hint), replacing(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file under a temporary name; rename it when everything is written.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.hpo")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove partial files of killed processes: temporary files that are a day old."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if not _TEMPORARY.fullmatch(path.name) or path.is_symlink() or not path.is_file():
                continue
            # Continue if a file cannot be removed.
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _A_DAY_S:
                    path.unlink()


class WrittenFiles:
    """The files that hpo wrote into a folder, listed in a file there.

    Other files in the folder do not belong to hpo.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._list = folder / _LIST
        self._names: set[str] = set()
        if self._list.is_file() and not self._list.is_symlink():
            lines = self._list.read_text(errors="replace").splitlines()
            # Earlier versions wrote a digest before each name.
            self._names = {line.rpartition("  ")[2] for line in lines}

    def has(self, path: Path) -> bool:
        """Whether hpo wrote this file."""
        is_listed = path.relative_to(self.folder).as_posix() in self._names
        return is_listed and stat.S_ISREG(path.lstat().st_mode)

    def write(self, path: Path, content: bytes, *, hint: str) -> None:
        """Write a file of the folder atomically, and add it to the list.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        if (name := path.relative_to(self.folder).as_posix()) not in self._names:
            with writing(self.folder, hint=hint):
                self.folder.mkdir(parents=True, exist_ok=True)
                # Listed before writing, so that files of a killed process are listed too.
                with self._list.open("a") as file:
                    file.write(f"{name}\n")
            self._names.add(name)
        write_atomic(path, content, hint=hint)

    def remove(self) -> None:
        """Remove the files, the folders that become empty, and the list.

        Raises:
            OSError: a file cannot be removed.
        """
        for parent, _, names in os.walk(self.folder, topdown=False):
            written = [path for name in names if self.has(path := Path(parent, name))]
            for path in written:
                path.unlink()
            remove_leftovers(Path(parent))
            if written and Path(parent) != self.folder:
                with contextlib.suppress(OSError):
                    Path(parent).rmdir()
        if self._names:
            self._list.unlink()


@contextlib.contextmanager
def writing(folder: Path, *, hint: str) -> Iterator[None]:
    """Turn a write error in a folder into one message with advice."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}. Finished work is saved. "
            f"{hint}"
        ) from error


def read_json(path: Path, *, most: int) -> Any:
    """Read a JSON file of at most `most` bytes; pipes and devices are refused.

    Raises:
        OSError: it cannot be read, or is not an ordinary file.
        ValueError: it is too large, or is not valid JSON.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is not an ordinary file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} is larger than {most:,} bytes")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
