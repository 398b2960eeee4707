"""One driver per study: the process that trains a study holds its lock until it ends."""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import sqlalchemy
from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError

from hpo.errors import StorageError, StudyError
from hpo.storage.database import Database, translate_errors
from hpo.storage.url import sqlite_path, storage_option

Check: TypeAlias = Callable[[], object]

_MOST_TRIES: Final = 5
_BETWEEN_TRIES_S: Final = 0.1
"""A server notices a killed process with a delay, and `driver_of` takes the lock briefly."""

_HOLDER: Final = sqlalchemy.text("""
    SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((CAST(classid AS bigint) << 32) | CAST(objid AS bigint)) = :key
""")


def study_lock(
    storage: Database, name: str, *, n_tries: int = _MOST_TRIES
) -> AbstractContextManager[Check]:
    """Keep other processes from driving, moving or deleting a study.

    The system or the database server releases the lock in any case when this process ends. Reading
    needs no lock. Yields a function that checks the lock, as a server may have been restarted. A
    lock in use is tried `n_tries` times in all, a tenth of a second apart.

    Raises:
        StudyError: another process holds the lock.
        StorageError: the database cannot be written or used.
        OSError: the lock cannot be written.
    """
    path = sqlite_path(storage.url)
    if path is None:
        return _on_server(storage, name, n_tries)
    return _in_file(path.resolve(), storage, name, n_tries)


class _InUseError(StudyError):
    """Another process holds the lock; `driver` describes it."""

    driver = ""


def driver_of(storage: Database, name: str) -> str:
    """Return a description of the process that drives a study; "" for none, or if unknown."""
    try:
        with study_lock(storage, name, n_tries=1):
            return ""
    except _InUseError as error:
        return error.driver
    except (StorageError, OSError):
        return ""


@contextlib.contextmanager
def _in_file(database: Path, storage: Database, name: str, n_tries: int) -> Iterator[Check]:
    """Lock a file next to the database, which requires write access to the database."""
    path = database.with_name(f"{database.name}-{_digest(name).hex()[:16]}.lock")
    about = path.with_suffix(".json")
    if not os.access(database, os.W_OK):
        raise StorageError(
            f"{storage.shown_url} is read-only. Change its permissions, or name another with "
            "--storage."
        )
    writers = database.stat().st_mode & 0o022
    mode = 0o600 | writers | writers << 1
    lock = FileLock(path, mode=mode, thread_local=False, poll_interval=_BETWEEN_TRIES_S)
    try:
        lock.acquire(timeout=(n_tries - 1) * _BETWEEN_TRIES_S)
    except Timeout:
        raise _in_use(storage, name, *_read(about)) from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        with contextlib.suppress(OSError):  # The file is only informative.
            about.write_text(json.dumps([os.getpid(), socket.gethostname(), since]))
        yield lambda: None
    finally:
        # Removed while locked: a process that opened the file earlier then creates another one.
        for file in (about, path):
            with contextlib.suppress(OSError):  # Windows keeps open files.
                file.unlink()
        lock.release()


@contextlib.contextmanager
def _on_server(storage: Database, name: str, n_tries: int) -> Iterator[Check]:
    """Take an advisory lock of PostgreSQL on a separate connection."""
    key = int.from_bytes(_digest(name)[:8], "big", signed=True)
    with translate_errors(storage.url):
        connection = storage.engine.connect()
        connection.detach()

    def ask(query: str, **values: object) -> object:
        with translate_errors(storage.url):
            value = connection.execute(sqlalchemy.text(query), values).scalar()
            connection.commit()
        return value

    try:
        us = f"hpo {os.getpid()} {socket.gethostname()}"[:63]
        ask("SELECT set_config('application_name', :us, false)", us=us)
        for _ in range(n_tries):
            if ask("SELECT pg_try_advisory_lock(:key)", key=key):
                break
            time.sleep(_BETWEEN_TRIES_S)
        else:
            with translate_errors(storage.url):
                holder = connection.execute(_HOLDER, {"key": key}).first()
            application, since = holder or ("", None)
            pid, _, host = str(application).removeprefix("hpo ").partition(" ")
            raise _in_use(storage, name, pid, host, since.isoformat() if since else "")
        yield lambda: ask("SELECT 1")
    finally:
        # Closing the connection releases the lock, which a stopped server has released already.
        with contextlib.suppress(SQLAlchemyError):
            connection.close()


def _read(about: Path) -> tuple[str, str, str]:
    for _ in range(_MOST_TRIES):
        with contextlib.suppress(OSError, ValueError, TypeError):
            pid, host, since = json.loads(about.read_text())
            return str(int(pid)), str(host)[:60], str(since)
        time.sleep(_BETWEEN_TRIES_S)  # It is written shortly after locking.
    return "", "", ""


def _in_use(storage: Database, name: str, pid: str, host: str, since: str) -> _InUseError:
    driver = f"process {pid} on {host}" if pid else "another process"
    with contextlib.suppress(ValueError):
        when = datetime.fromisoformat(since).astimezone(UTC)
        driver += f" since {when:%Y-%m-%d %H:%M} UTC"
    error = _InUseError(
        f"The study {name} is in use by {driver}. Wait until it ends, or stop it, then run this "
        f"command again. `hpo show {name}{storage_option(storage.url)}` works in the meantime."
    )
    error.driver = driver
    return error


def _digest(name: str) -> bytes:
    return hashlib.sha256(f"hpo/{name}".encode()).digest()
