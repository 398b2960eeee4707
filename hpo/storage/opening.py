"""Opening the database of the studies, SQLite or PostgreSQL only."""

import contextlib
import logging
import re
import sqlite3
import time
import weakref
from functools import partial
from pathlib import Path
from typing import Any, Final

import optuna
import sqlalchemy
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from hpo.errors import StorageError, UsageError
from hpo.storage.database import BUSY_TIMEOUT_S, OTHER, TABLES, Database, translate_errors
from hpo.storage.url import DEFAULT_URL, backend_of, mask, named, sqlite_path

_MOST_TEXT: Final = 100_000_000
_CREATION_S: Final = 1.0
"""Longer than another process takes to create the tables of a new database."""

_NETWORKS: Final = re.compile(
    r"nfs|cifs|smb|9p|afs|ceph|lustre|gpfs|beegfs|gluster|fuse\.|virtiofs|vboxsf|dav|panfs|pvfs|"
    "orangefs|ocfs|gfs2|coda|drvfs"
)
"""File systems without the shared memory that SQLite's write-ahead log needs."""

_OURS: Final = {"alembic_version", "version_info", *TABLES}
_COMPUTED: Final = re.compile(r"\b(virtual|as)\b", re.IGNORECASE)


def open_storage(
    url: str, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Database:
    """Open the database of studies, SQLite or PostgreSQL.

    Raises:
        UsageError: the URL is of neither kind.
        StorageError: the database is missing (without `create`), locked, corrupt, read-only or
            belongs to another program.
        OSError: its folder cannot be created or read.
    """
    notes: tuple[str, ...] = ()
    if backend_of(url) == "postgresql":
        engine = _prepare_postgres(url, create=create, busy_timeout_s=busy_timeout_s)
    else:
        engine, notes = _prepare_sqlite(url, create=create, busy_timeout_s=busy_timeout_s)
    try:
        with translate_errors(url):
            try:
                opened = Database(url, engine_kwargs=engine)
            except (OperationalError, ProgrammingError, IntegrityError) as error:
                if "exist" not in str(error) and "UNIQUE" not in str(error).upper():
                    raise
                time.sleep(_CREATION_S)  # Another process was creating its tables at that moment.
                opened = Database(url, engine_kwargs=engine)
    except (RuntimeError, AssertionError) as error:
        raise StorageError(
            f"{mask(url)} was created by another version of Optuna than {optuna.__version__}, or "
            "its version is damaged. Choose another with --storage, or upgrade a copy of an older "
            "one: `optuna storage upgrade --storage URL`."
        ) from error
    # A pool that is not closed leaves its connections open until the server drops them.
    weakref.finalize(opened, opened.engine.dispose)
    opened.notes = notes
    return opened


def _prepare_postgres(url: str, *, create: bool, busy_timeout_s: float) -> dict[str, Any]:
    """Return the arguments of an engine: as with SQLite, waiting for locks is limited."""
    arguments: dict[str, Any] = {"pool_pre_ping": True}
    try:
        address = sqlalchemy.make_url(url)
        if is_libpq := address.get_driver_name().startswith("psycopg"):
            # Without it, psycopg returns bytes from a database in SQL_ASCII.
            arguments["connect_args"] = {"client_encoding": "utf8"}
        engine = sqlalchemy.create_engine(url, **arguments)
    except ImportError:
        raise StorageError(
            "PostgreSQL needs a driver. In the checkout of hpo: pip install '.[postgres]'. Then "
            "use postgresql+psycopg://USER@HOST/DATABASE."
        ) from None
    except (SQLAlchemyError, ValueError):
        raise UsageError(
            f"{mask(url)!r} is not a storage URL. --storage takes "
            "postgresql+psycopg://USER@HOST:PORT/DATABASE."
        ) from None
    with translate_errors(url):
        is_empty = not sqlalchemy.inspect(engine).has_table("studies")
    engine.dispose()
    if is_empty and not create:
        raise _no_studies(f"{mask(url)} is empty")
    if is_libpq and "options" not in address.query:
        options = f"-c lock_timeout={1000 * busy_timeout_s:.0f}"
        arguments["connect_args"] |= {"options": options}
    return arguments


def _prepare_sqlite(
    url: str, *, create: bool, busy_timeout_s: float
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Check the file; return the arguments of an engine, and notes for the user."""
    path = sqlite_path(url)
    if path is None:
        raise UsageError(f"{mask(url)} names no file. --storage takes sqlite:///FOLDER/FILE.db.")
    if path.is_dir():
        raise StorageError(f"{path} is a folder. --storage takes sqlite:///{path}/hpo.db.")
    if path.exists():
        with (
            translate_errors(f"sqlite:///{path}"),
            contextlib.closing(sqlite3.connect(path, timeout=busy_timeout_s)) as connection,
        ):
            _check_schema(path, connection)
    elif not create:
        raise _no_studies(f"{path} does not exist")
    path.parent.mkdir(parents=True, exist_ok=True)
    journal, notes = "WAL", []
    if _is_on_network(path):
        journal = "DELETE"
        notes.append(
            f"{path.parent} is a network drive: SQLite uses its rollback journal there, which is "
            "slower and serves one process at a time."
        )

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=busy_timeout_s, check_same_thread=False)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_TEXT)
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        for setting in (f"journal_mode={journal}", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")
        return connection

    return {"creator": connect}, tuple(notes)


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse databases of other programs, and databases that compute their content.

    A view may have infinitely many rows, and a trigger or an expression may never end.
    """
    entries = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    tables = {name for kind, name, _, _ in entries if kind == "table"}
    if tables and "studies" not in tables:
        raise StorageError(
            f"{path} is the database of another program (it has a table {min(tables)!r} and no "
            "studies). To use another file, name it with --storage."
        )
    for kind, name, table, sql in entries:
        # The only parentheses in an index of Optuna are those around its columns.
        is_plain = (kind == "table" and not _COMPUTED.search(str(sql))) or (
            kind == "index" and str(sql).count("(") <= 1
        )
        if not is_plain and {str(name).lower(), str(table).lower()} & _OURS:
            raise StorageError(
                f"{path} contains the {kind} {name!r}, which Optuna does not create, and is not "
                f"opened: it was changed, or created by another program. {OTHER}"
            )


def _no_studies(reason: str) -> StorageError:
    return StorageError(
        f"There are no studies yet: {reason}. `hpo grid batch_size` creates the first one. {OTHER}"
    )


def _is_on_network(path: Path) -> bool:
    """Whether a file is on a network drive, as far as the system reports it."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return False
    kinds = {line.split(" ")[1].replace(r"\040", " "): line.split(" ")[2] for line in lines}
    place = path.resolve()
    points = [point for point in kinds if place.is_relative_to(point)]
    return bool(_NETWORKS.match(kinds[max(points, key=len)])) if points else False


def database_of(study: optuna.Study) -> Database | None:
    """Return the database of a study, None for one in memory."""
    backend = getattr(study._storage, "_backend", study._storage)
    return backend if isinstance(backend, Database) else None


def url_of(study: optuna.Study) -> str:
    """Return the URL of the database of a study."""
    database = database_of(study)
    return database.url if database else DEFAULT_URL


def attributes_of(study: optuna.Study) -> dict[str, Any]:
    """Return the user attributes of a study without a copy, unlike `user_attrs`; do not change."""
    return study._storage.get_study_user_attrs(study._study_id)


def in_command(study: optuna.Study) -> str:
    """Return `STUDY --storage URL` as needed in a printed command to find this study."""
    return named(study.study_name, url_of(study))


def quiet_optuna() -> None:
    """Hide the log lines of libraries: hpo prints its own progress.

    SQLAlchemy logs interrupts while it returns a connection, with a traceback.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
