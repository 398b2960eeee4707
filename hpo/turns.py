"""Processes that work on one study take turns where they decide what is trained next."""

import contextlib
import fcntl
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from hpo.errors import StorageError
from hpo.storage import Storage, explained
from hpo.storage_faults import BUSY_TIMEOUT_S
from hpo.storage_url import sqlite_path

_LOOK_EVERY_S: Final = 0.01


@contextlib.contextmanager
def turn(storage: Storage, name: str) -> Iterator[None]:
    """Wait until no other process has its turn at this study, and keep them out until the end.

    A process that is killed gives its turn back: the system does, or the database server. SQLite
    has a file beside the database for it, since a transaction would keep this process out too.

    Raises:
        StorageError: the others take too long, or the database cannot be used.
    """
    path = sqlite_path(storage.url)
    taken = _of_server(storage, name) if path is None else _of_file(path, storage.shown_url)
    with taken:
        yield


@contextlib.contextmanager
def _of_file(database: Path, shown: str) -> Iterator[None]:
    path = database.with_name(f"{database.name}-turn")
    try:
        file = path.open("a")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. Give yourself the right to "
            "write it, or name another database with --storage."
        ) from error
    with file:
        for _ in _patience(shown):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        yield


@contextlib.contextmanager
def _of_server(storage: Storage, name: str) -> Iterator[None]:
    digest = hashlib.sha256(f"hpo/{name}".encode()).digest()
    key = {"key": int.from_bytes(digest[:8], "big", signed=True)}
    take = sqlalchemy.text("SELECT pg_try_advisory_lock(:key)")
    with contextlib.ExitStack() as stack:
        with explained(storage.url):
            connection = stack.enter_context(storage.optuna.engine.connect())
            for _ in _patience(storage.shown_url):
                if connection.execute(take, key).scalar():
                    break
            connection.commit()
        try:
            yield
        finally:
            _end(connection, key)


def _end(connection: sqlalchemy.Connection, key: dict[str, int]) -> None:
    """Give the turn back; where the server is gone, it has done so itself."""
    try:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), key)
        connection.commit()
    except SQLAlchemyError:
        connection.invalidate()


def _patience(shown: str) -> Iterator[None]:
    """Yield until it is too late.

    Raises:
        StorageError: when it is.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while time.monotonic() < end:
        yield
        time.sleep(_LOOK_EVERY_S)
    raise StorageError(
        f"{shown} is kept by another hpo that has not moved for {BUSY_TIMEOUT_S:.0f} s. What is "
        "finished is kept: end that one, then run the same command again."
    )
