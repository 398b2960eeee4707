"""Faults to put into a process: full disks, locks, damage."""

import ctypes
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000


@dataclass
class Disk:
    """A disk that is full after `room` file writes in a folder.

    Counted are the calls of Python that open a file to write, make a folder, rename, and sync.
    """

    folder: Path
    room: int
    n_writes: int = field(default=0, init=False)

    def __call__(self) -> None:
        sync = os.fsync

        def is_synced(descriptor: int) -> None:
            self._write(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            sync(descriptor)

        os.fsync = is_synced
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and flags & _WRITING:
                self._write(path)
        elif event in ("os.mkdir", "os.rename"):
            self._write(os.fspath(arguments[0]))

    def _write(self, path: str) -> None:
        if Path.cwd().joinpath(path).is_relative_to(self.folder):
            self.n_writes += 1
            if self.n_writes > self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass
class Database:
    """An SQLite database whose disk is full after `room` write transactions."""

    room: int
    n_writes: int = field(default=0, init=False)

    def __call__(self) -> None:
        disk = self

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                disk.n_writes += self.in_transaction
                if self.in_transaction and disk.n_writes > disk.room:
                    self.rollback()
                    raise sqlite3.OperationalError("database or disk is full")
                super().commit()

        connect: Callable[..., sqlite3.Connection] = sqlite3.connect

        def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
            return connect(*arguments, factory=Connection, **options)

        sqlite3.connect = connected


def _has_mounts() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    option = "-m" if os.getuid() == 0 else "-rm"
    mount = ["mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run([unshare, option, *mount], capture_output=True).returncode == 0


has_mounts: Final = pytest.mark.skipif(not _has_mounts(), reason="no mounts of its own here")


@dataclass(frozen=True)
class ReadOnly:
    """A read-only folder, by a private mount, which Linux allows any process."""

    folder: Path

    def __call__(self) -> None:
        user, group = os.getuid(), os.getgid()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)):
            raise OSError(ctypes.get_errno(), "no mounts of its own")
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        for arguments in (
            ["--make-rprivate", "/"],
            ["--bind", str(self.folder), str(self.folder)],
            ["-o", "remount,bind,ro", str(self.folder)],
        ):
            subprocess.run(["mount", *arguments], check=True)


@dataclass(frozen=True)
class ShortLockTimeout:
    """A process that waits for a lock no longer than this."""

    seconds: float

    def __call__(self) -> None:
        connect = sqlite3.connect

        def connected(path: Path, **options: object) -> sqlite3.Connection:
            return connect(path, **(options | {"timeout": self.seconds}))  # type: ignore[arg-type]

        sqlite3.connect = connected  # type: ignore[assignment]


def pages(database: Path) -> int:
    """Return the number of pages, after moving all of them into the main file."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (n_pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    return int(n_pages)


def damage(database: Path, page: int, content: bytes) -> None:
    """Overwrite a page, counted from 1."""
    with sqlite3.connect(database) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write((content * size)[:size])
