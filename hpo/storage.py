"""Opening the database of the studies rightly, and saying in words what is wrong with it."""

import contextlib
import json
import sqlite3
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from hpo.errors import StorageError, UsageError
from hpo.storage_faults import BUSY_TIMEOUT_S, CORRUPT, reason_of
from hpo.storage_url import (
    DEFAULT_URL,
    backend_of,
    conceal,
    mask,
    sqlite_path,
    storage_option,
)

_Arguments: TypeAlias = dict[str, object]

_CREATION_S: Final = 1.0
"""Longer than another process takes to make the tables of a new database."""

_GONE: Final = "Record does not exist"
"""What Optuna says of a study or trial that is not there any more."""

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
    notes: tuple[str, ...] = ()
    if backend_of(url) == "postgresql":
        engine = _prepare_postgres(url, create=create, busy_timeout_s=busy_timeout_s)
    else:
        engine, notes = _prepare_sqlite(url, create=create, busy_timeout_s=busy_timeout_s)
    try:
        with explained(url):
            opened = _open(url, engine)
    except RuntimeError as error:
        raise StorageError(
            f"{mask(url)} was made by another version of Optuna: run `optuna storage upgrade "
            "--storage URL`, or name another with --storage."
        ) from error
    # A pool that is forgotten leaves its connections open until the server gives them up.
    weakref.finalize(opened, opened.engine.dispose)
    return Storage(url, opened, notes)


def _open(url: str, engine: _Arguments) -> RDBStorage:
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
        raise StorageError(f"{mask(url)} {CORRUPT}") from error
    except KeyError as error:
        if _GONE not in str(error):
            raise
        raise StorageError(
            f"{mask(url)} no longer holds this study: another program deleted it meanwhile. What "
            "the run store holds is kept: run the same command again to make it anew."
        ) from error
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        reason = conceal(reason_of(error), url)
        raise StorageError(f"{mask(url)} {reason}") from error


def _prepare_postgres(url: str, *, create: bool, busy_timeout_s: float) -> _Arguments:
    """Return what an engine is made with: as with SQLite, no lock is waited for forever."""
    try:
        engine = sqlalchemy.create_engine(url)
    except ImportError:
        raise StorageError(
            "PostgreSQL needs a driver: pip install 'hpo-toolkit[postgres]', then use "
            "postgresql+psycopg://USER@HOST/DATABASE."
        ) from None
    except (SQLAlchemyError, ValueError):
        raise UsageError(
            f"{mask(url)!r} is no storage URL: use postgresql+psycopg://USER@HOST:PORT/DATABASE."
        ) from None
    if not create:
        with explained(url), engine.connect() as connection:
            has_studies = sqlalchemy.inspect(connection).has_table("studies")
        engine.dispose()
        if not has_studies:
            raise _no_studies(f"{mask(url)} is empty")
    arguments: _Arguments = {"pool_pre_ping": True}
    is_libpq = engine.url.get_driver_name().startswith("psycopg")
    if is_libpq and "options" not in engine.url.query:
        options = f"-c lock_timeout={1000 * busy_timeout_s:.0f}"
        arguments["connect_args"] = {"options": options}
    return arguments


def _prepare_sqlite(
    url: str, *, create: bool, busy_timeout_s: float
) -> tuple[_Arguments, tuple[str, ...]]:
    """Check the file, and return what an engine is made with, and what the user should know."""
    path = sqlite_path(url)
    if path is None:
        raise UsageError(f"{mask(url)} names no file: use sqlite:///FOLDER/FILE.db.")
    try:
        _check_sqlite_file(path, create=create, busy_timeout_s=busy_timeout_s)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be opened: {error.strerror or error}. --storage names another "
            "database."
        ) from error
    if not _is_on_network(path):
        return {"creator": partial(_connect_sqlite, path, busy_timeout_s, "WAL")}, ()
    note = (
        f"{path.parent} is a network drive: SQLite uses its rollback journal there, which is "
        "slower and serves one process at a time."
    )
    return {"creator": partial(_connect_sqlite, path, busy_timeout_s, "DELETE")}, (note,)


def _check_sqlite_file(path: Path, *, create: bool, busy_timeout_s: float) -> None:
    if path.is_dir():
        raise StorageError(f"{path} is a folder: --storage takes sqlite:///{path}/hpo.db.")
    if not path.exists():
        if not create:
            raise _no_studies(f"{path} does not exist")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {path.parent} cannot be made: {error.strerror}. --storage names "
                "another database."
            ) from error
        return
    with (
        explained(f"sqlite:///{path}"),
        contextlib.closing(sqlite3.connect(path, timeout=busy_timeout_s)) as connection,
    ):
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in names}
    if tables and "studies" not in tables:
        raise StorageError(
            f"{path} is the database of another program (it has a table {min(tables)!r} and no "
            "studies). --storage names another file."
        )


def _no_studies(reason: str) -> StorageError:
    return StorageError(
        f"There are no studies yet: {reason}. `hpo grid --param batch_size` makes the first one; "
        "--storage names another database."
    )


def _connect_sqlite(path: Path, timeout_s: float, journal: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout_s, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error:
        connection.close()
        raise
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


def in_command(study: optuna.Study) -> str:
    """Return `STUDY --storage URL` as a printed command needs it to find this very study."""
    backend = getattr(study._storage, "_backend", study._storage)
    url = backend.url if isinstance(backend, RDBStorage) else DEFAULT_URL
    return f"{study.study_name}{storage_option(url)}"


def quiet_optuna() -> None:
    """Keep Optuna's own log lines away from the terminal: hpo prints its own progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
