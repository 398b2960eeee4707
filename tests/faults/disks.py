"""Disks that fill up: every write of a process is counted, and from one on all of them fail."""

import errno
import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Disk:
    """A folder's disk that takes `room` writes of files and then none.

    Writes are seen where Python asks the system: opening a file to write, making a folder,
    renaming, and saying that what was written is to be on the disk.
    """

    folder: Path
    room: int
    code: int = errno.ENOSPC
    n_writes: int = field(default=0, init=False)

    def __call__(self) -> None:
        sync = os.fsync

        def is_synced(descriptor: int) -> None:
            if self._is_here(str(Path(f"/proc/self/fd/{descriptor}").readlink())):
                self.write()
            sync(descriptor)

        os.fsync = is_synced
        sys.addaudithook(self._see)

    def write(self) -> None:
        """Count a write, or fail it."""
        self.n_writes += 1
        if self.n_writes > self.room:
            raise OSError(self.code, os.strerror(self.code))

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and flags & _WRITING and self._is_here(path):
                self.write()
        elif event in ("os.mkdir", "os.rename") and self._is_here(os.fspath(arguments[0])):
            self.write()

    def _is_here(self, path: str) -> bool:
        return Path.cwd().joinpath(path).is_relative_to(self.folder)


@dataclass
class Database:
    """An SQLite database whose disk takes `room` transactions that write, and then none."""

    room: int
    n_writes: int = field(default=0, init=False)

    def __call__(self) -> None:
        disk = self

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                if self.in_transaction:
                    disk.write(self)
                super().commit()

        connect: Callable[..., sqlite3.Connection] = sqlite3.connect

        def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
            return connect(*arguments, factory=Connection, **options)

        sqlite3.connect = connected

    def write(self, connection: sqlite3.Connection) -> None:
        """Count a transaction, or fail it as SQLite does."""
        self.n_writes += 1
        if self.n_writes > self.room:
            connection.rollback()
            raise sqlite3.OperationalError("database or disk is full")


@dataclass(frozen=True)
class SmallFiles:
    """A process whose files can be no larger than this: the system itself refuses the rest."""

    n_bytes: int

    def __call__(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.n_bytes, self.n_bytes))


@dataclass(frozen=True)
class FullOutput:
    """A process whose output goes to a file that takes nothing."""

    def __call__(self) -> None:
        sys.stdout = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w", encoding="utf-8")
