"""Opening the database of the studies rightly, and saying in words what is wrong with it."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from hpo.errors import StorageError, UsageError
from hpo.storage_url import backend_of, conceal, mask, sqlite_path

BUSY_TIMEOUT_S: Final = 60.0

_CREATION_S: Final = 1.0
"""Longer than another process takes to make the tables of a new database."""

_NETWORK_FILE_SYSTEMS: Final = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "lustre"}


@dataclass(frozen=True)
class Storage:
    """An open database. `notes` holds what the user should know about how it was opened."""

    url: str
    optuna: RDBStorage
    notes: tuple[str, ...]

    @property
    def shown_url(self) -> str:
        """The URL as it may be printed: without a password."""
        return mask(self.url)


def open_storage(
    url: str, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Storage:
    """Open the database of studies, SQLite or PostgreSQL.

    Raises:
        UsageError: the URL is of neither kind.
        StorageError: the database is missing (without `create`), locked, corrupt, read-only or
            another program's.
    """
    backend = backend_of(url)
    if backend == "postgresql":
        _check_postgres(url)
    path = sqlite_path(url)
    notes: tuple[str, ...] = ()
    engine: dict[str, object] = {"pool_pre_ping": True}
    if backend == "sqlite":
        if path is None:
            raise UsageError(f"{mask(url)} names no file: use sqlite:///FOLDER/FILE.db.")
        _check_sqlite_file(path, create=create)
        journal = "DELETE" if _is_on_network(path) else "WAL"
        engine = {"creator": partial(_connect_sqlite, path, busy_timeout_s, journal)}
        if journal == "DELETE":
            notes = (
                f"{path.parent} is a network drive: SQLite uses its rollback journal there, which "
                "is slower and serves one process at a time.",
            )
    try:
        with explained(url):
            return Storage(url, _open(url, engine), notes)
    except RuntimeError as error:
        raise StorageError(
            f"{mask(url)} was made by another version of Optuna: run `optuna storage upgrade "
            "--storage URL`, or name another with --storage."
        ) from error


def _open(url: str, engine: dict[str, object]) -> RDBStorage:
    """Open the database, once more where another process was making its tables just then."""
    try:
        return RDBStorage(url, engine_kwargs=engine)
    except (OperationalError, ProgrammingError, IntegrityError) as error:
        if "exist" not in str(error) and "UNIQUE" not in str(error).upper():
            raise
        time.sleep(_CREATION_S)
        return RDBStorage(url, engine_kwargs=engine)


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what the database libraries raise into one message with a way out."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise StorageError(f"{mask(url)} {_REASONS['malformed']}") from error
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        reason = conceal(_reason(_root_cause(error)), url)
        raise StorageError(f"{mask(url)} {reason}") from error


def _check_postgres(url: str) -> None:
    try:
        sqlalchemy.create_engine(url)
    except ImportError:
        raise StorageError(
            "PostgreSQL needs a driver: pip install 'hpo-toolkit[postgres]', then use "
            "postgresql+psycopg://USER@HOST/DATABASE."
        ) from None
    except (SQLAlchemyError, ValueError):
        raise UsageError(
            f"{mask(url)!r} is no storage URL: use postgresql+psycopg://USER@HOST:PORT/DATABASE."
        ) from None


def _check_sqlite_file(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise StorageError(f"{path} is a folder: --storage takes sqlite:///{path}/hpo.db.")
    if not path.exists():
        if not create:
            raise StorageError(
                f"There are no studies yet: {path} does not exist. `hpo grid --param batch_size` "
                "makes the first one; --storage names another database."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {path.parent} cannot be made: {error.strerror}. --storage names "
                "another database."
            ) from error
        return
    with explained(f"sqlite:///{path}"), contextlib.closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in names}
    if tables and "studies" not in tables:
        raise StorageError(
            f"{path} is the database of another program (it has a table {min(tables)!r} and no "
            "studies). --storage names another file."
        )


def _connect_sqlite(path: Path, timeout_s: float, journal: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout_s, check_same_thread=False)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _is_on_network(path: Path) -> bool:
    """Whether the file is on a network drive, where SQLite's WAL lacks its shared memory."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return False
    best, file_system = "", ""
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        is_parent = path.resolve().is_relative_to(point.replace("\\040", " "))
        if is_parent and len(point) >= len(best):
            best, file_system = point, kind
    return file_system in _NETWORK_FILE_SYSTEMS or file_system.startswith("fuse.")


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _reason(cause: BaseException) -> str:
    text = str(cause).strip().partition("\n")[0]
    for sign, reason in _REASONS.items():
        if sign in text.lower():
            return reason
    return f"cannot be used: {text}. --storage names another database."


_REASONS: Final = {
    "locked": f"is locked by another program for more than {BUSY_TIMEOUT_S:.0f} s. What is "
    "finished is kept: end that program, then run the same command again.",
    "readonly": "is read-only. Give yourself the right to write it, or name another with "
    "--storage.",
    "read-only": "is read-only. Give yourself the right to write it, or name another with "
    "--storage.",
    "unable to open": "cannot be opened: its folder is missing or cannot be written. --storage "
    "names another database.",
    "not a database": "is no SQLite database. Move it away or name another with --storage.",
    "malformed": "is corrupt. Move it away and run the same command again: what the run store "
    "holds is not trained again.",
    "disk is full": "cannot be written: the disk is full. What is finished is kept: make room, "
    "then run the same command again.",
    "disk i/o": "cannot be read or written (disk I/O error). Check the disk, then run the same "
    "command again.",
}


def quiet_optuna() -> None:
    """Keep Optuna's own log lines away from the terminal: hpo prints its own progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
