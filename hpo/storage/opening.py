"""Opening the database of the studies, and saying in words what is wrong with it."""

import contextlib
import re
import sqlite3
import time
import weakref
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import optuna
import sqlalchemy
from alembic.util import CommandError
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from hpo.errors import StorageError, UsageError
from hpo.storage.database import MOST_TEXT, TABLES, Database
from hpo.storage.url import DEFAULT_URL, backend_of, mask, named, secrets_of, sqlite_path

BUSY_TIMEOUT_S: Final = 60.0
"""How long a command waits for another program that holds a lock."""

_LOOK_S: Final = 20.0
"""How long a look at the tables of a database may take."""

_CREATION_S: Final = 1.0
"""Longer than another process takes to make the tables of a new database."""

_LOCAL_FILE_SYSTEMS: Final = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "reiserfs"),
    *("nilfs2", "ufs", "apfs", "hfs", "hfsplus", "ntfs", "ntfs3", "fuseblk", "vfat", "exfat"),
    *("msdos", "tmpfs", "ramfs", "rootfs", "devtmpfs", "overlay", "aufs", "ecryptfs", "udf"),
    *("squashfs", "iso9660", "erofs", "fuse.fuse-overlayfs", ""),
}
"""Every other one counts as a network's: a local one that is missing here costs speed, a network's
that is taken for local would cost the database."""

_OURS: Final = {"alembic_version", "version_info", *(name for name, _, _ in TABLES)}
_COMPUTED: Final = re.compile(r"\b(virtual|as)\b", re.IGNORECASE)
_PLAIN_INDEX: Final = re.compile(
    r'create (unique )?index [\w"]+ on [\w"]+\s*\([\w", ]+\)', re.IGNORECASE
)

_OTHER: Final = "--storage names another database."
_AGAIN: Final = "then run the same command again."
_KEPT: Final = "What is finished is kept:"
_LOCKED: Final = (
    f"is locked by another program for more than {BUSY_TIMEOUT_S:.0f} s. {_KEPT} end that "
    f"program, {_AGAIN}"
)
_READ_ONLY: Final = "is read-only. Change its permissions, or name another with --storage."
_CORRUPT: Final = (
    "is corrupt. Move it away and run the same command again: what the run store holds is not "
    "trained again."
)
_FULL: Final = f"cannot be written: the disk is full. {_KEPT} make room, {_AGAIN}"
_REFUSED: Final = "refuses this user or password. Correct them in --storage or HPO_STORAGE."
_UNREACHED: Final = (
    f"cannot be reached: {{}}. {_KEPT} start the server, or correct its host and port in "
    f"--storage, {_AGAIN}"
)
_DELETED: Final = (
    "no longer holds this study: another program deleted it. What the run store holds is kept: "
    "run the same command again to create it anew."
)
_OTHER_TABLES: Final = (
    f"has other tables than Optuna makes: it was changed, or is of another version. {_OTHER}"
)
_REASONS: Final = {
    "lock timeout": _LOCKED,
    "locked": _LOCKED,
    "readonly": _READ_ONLY,
    "read-only": _READ_ONLY,
    "unable to open": "cannot be opened: its folder is missing or cannot be written, which SQLite "
    "needs even to read. Copy the folder to where you may write, or name another database with "
    "--storage.",
    "not a database": "is not an SQLite database. Move it away or name another with --storage.",
    "malformed": _CORRUPT,
    "disk is full": _FULL,
    "no space left": _FULL,
    "disk i/o": "cannot be read or written (disk I/O error): its disk is full or broken. "
    f"{_KEPT} make room or repair it, {_AGAIN}",
    "authentication failed": _REFUSED,
    "no password supplied": _REFUSED,
    'role "': _REFUSED,
    "permission denied": "gives this user no right to write. Grant it, or name another with "
    "--storage.",
    'fatal:  database "': "does not exist. Create it (createdb DATABASE), or name another with "
    "--storage.",
    "failed to resolve": _UNREACHED,
    "connection": _UNREACHED,
    "can't reconnect": _UNREACHED.replace("{}", "the connection ended"),
    "were matched": _DELETED,
    "foreign key": _DELETED,
    "has been deleted": _DELETED,
    "no such table": _OTHER_TABLES,
    "no such column": _OTHER_TABLES,
    "has no column": _OTHER_TABLES,
    'relation "': _OTHER_TABLES,
    'column "': _OTHER_TABLES,
    "too big": f"holds a value too large to be read. {_OTHER}",
    "interrupted": f"takes more than {_LOOK_S:.0f} s to open. {_OTHER}",
}
"""By what a database library says, the first that fits: what it means and what to do."""


def open_storage(
    url: str, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Database:
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
        with translate_errors(url):
            try:
                opened = Database(url, engine_kwargs=engine)
            except (OperationalError, ProgrammingError, IntegrityError) as error:
                if "exist" not in str(error) and "UNIQUE" not in str(error).upper():
                    raise
                time.sleep(_CREATION_S)  # Another process was making its tables just then.
                opened = Database(url, engine_kwargs=engine)
    except (RuntimeError, AssertionError, CommandError) as error:
        raise StorageError(
            f"{mask(url)} was made by another version of Optuna than {optuna.__version__}, or its "
            "version is damaged. Name another with --storage, or for an older one run `optuna "
            "storage upgrade --storage URL` on a copy."
        ) from error
    # A pool that is forgotten leaves its connections open until the server gives them up.
    weakref.finalize(opened, opened.engine.dispose)
    opened.notes = notes
    return opened


@contextlib.contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Turn what the database libraries raise into one message that says what to do."""
    try:
        yield
    except KeyError as error:
        if "Record does not exist" not in str(error):  # Optuna's words for what is gone.
            raise
        raise StorageError(f"{mask(url)} {_DELETED}") from error
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        raise StorageError(f"{mask(url)} {_reason_of(error, secrets_of(url))}") from error


def _reason_of(error: BaseException, secrets: Collection[str]) -> str:
    """Return what is wrong and what to do, to stand after the URL of the database.

    What a library says is quoted unless one of the secrets stands in it.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().partition("\n")[0]
    quoted = text.rstrip(".")
    if any(secret in text for secret in secrets):
        quoted = "its text holds the password and is not shown"
    elif type(error).__module__.startswith(("sqlalchemy", "optuna")):
        quoted = type(error).__name__
    for sign, reason in _REASONS.items():
        if sign in text.lower():
            return reason.replace("{}", quoted)
    return f"gave an error ({quoted}). {_KEPT} run the same command again. {_OTHER}"


def _prepare_postgres(url: str, *, create: bool, busy_timeout_s: float) -> dict[str, Any]:
    """Return the arguments of an engine: as with SQLite, no lock is waited for forever."""
    try:
        engine = sqlalchemy.create_engine(url)
    except ImportError:
        raise StorageError(
            "PostgreSQL needs a driver: pip install 'hpo-toolkit[postgres]', then use "
            "postgresql+psycopg://USER@HOST/DATABASE."
        ) from None
    except (SQLAlchemyError, ValueError):
        raise UsageError(
            f"{mask(url)!r} is not a storage URL. --storage takes "
            "postgresql+psycopg://USER@HOST:PORT/DATABASE."
        ) from None
    with translate_errors(url), engine.connect() as connection:
        schema = sqlalchemy.inspect(connection)
        tables = schema.get_table_names()
        views = _OURS & {*schema.get_view_names(), *schema.get_materialized_view_names()}
    engine.dispose()
    if views:
        raise _not_optunas(mask(url), f"the view {min(views)!r}")
    if not create and "studies" not in tables:
        raise _no_studies(f"{mask(url)} is empty")
    arguments: dict[str, Any] = {"pool_pre_ping": True}
    is_libpq = engine.url.get_driver_name().startswith("psycopg")
    if is_libpq and "options" not in engine.url.query:
        options = f"-c lock_timeout={1000 * busy_timeout_s:.0f}"
        arguments["connect_args"] = {"options": options}
    return arguments


def _prepare_sqlite(
    url: str, *, create: bool, busy_timeout_s: float
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Check the file, and return the arguments of an engine, and what the user should know."""
    path = sqlite_path(url)
    if path is None:
        raise UsageError(f"{mask(url)} names no file: --storage takes sqlite:///FOLDER/FILE.db.")
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except OSError as error:
        raise StorageError(
            f"{path} cannot be opened: {error.strerror or error}. {_OTHER}"
        ) from error
    if is_folder:
        raise StorageError(f"{path} is a folder: --storage takes sqlite:///{path}/hpo.db.")
    if not is_there and not create:
        raise _no_studies(f"{path} does not exist")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {path.parent} cannot be created: {error.strerror}. {_OTHER}"
        ) from error
    if is_there:
        with (
            translate_errors(f"sqlite:///{path}"),
            contextlib.closing(sqlite3.connect(path, timeout=busy_timeout_s)) as connection,
        ):
            _look_at(path, connection)
    if not _is_on_network(path):
        return {"creator": partial(_connect_sqlite, path, busy_timeout_s, "WAL")}, ()
    note = (
        f"{path.parent} is a network drive: SQLite uses its rollback journal there, which is "
        "slower and serves one process at a time."
    )
    return {"creator": partial(_connect_sqlite, path, busy_timeout_s, "DELETE")}, (note,)


def _look_at(path: Path, connection: sqlite3.Connection) -> None:
    """Look at the schema before Optuna does: a file may be a stranger's.

    A view may have rows without end, and a trigger or an expression may compute for ever.
    """
    end = time.monotonic() + _LOOK_S
    connection.set_progress_handler(lambda: int(time.monotonic() > end), 1_000_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_TEXT)
    connection.execute("PRAGMA query_only = ON")
    entries = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    tables = {name for kind, name, _, _ in entries if kind == "table"}
    if tables and "studies" not in tables:
        raise StorageError(
            f"{path} is the database of another program (it has a table {min(tables)!r} and no "
            "studies). --storage names another file."
        )
    for kind, name, table, sql in entries:
        is_plain = (kind == "table" and not _COMPUTED.search(str(sql))) or (
            kind == "index" and (sql is None or _PLAIN_INDEX.fullmatch(str(sql)))
        )
        if not is_plain and {str(name).lower(), str(table).lower()} & _OURS:
            raise _not_optunas(str(path), f"the {kind} {name!r}")


def _not_optunas(shown: str, what: str) -> StorageError:
    return StorageError(
        f"{shown} holds {what} that Optuna does not make, so it is not opened: it was changed, or "
        f"made by another program. {_OTHER}"
    )


def _no_studies(reason: str) -> StorageError:
    return StorageError(
        f"There are no studies yet: {reason}. `hpo grid --param batch_size` creates the first "
        f"one; {_OTHER}"
    )


def _connect_sqlite(path: Path, timeout_s: float, journal: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout_s, check_same_thread=False)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_TEXT)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
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
    place, best, file_system = path.resolve(), "", ""
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
        if place.is_relative_to(point) and len(point) >= len(best):
            best, file_system = point, kind
    return file_system not in _LOCAL_FILE_SYSTEMS


def database_of(study: optuna.Study) -> Database | None:
    """Return the database of a study, None for one in memory."""
    backend = getattr(study._storage, "_backend", study._storage)
    return backend if isinstance(backend, Database) else None


def url_of(study: optuna.Study) -> str:
    """Return the URL of the database of a study."""
    database = database_of(study)
    return database.url if database else DEFAULT_URL


def in_command(study: optuna.Study) -> str:
    """Return `STUDY --storage URL` as a printed command needs it to find this very study."""
    return named(study.study_name, url_of(study))


def quiet_optuna() -> None:
    """Keep Optuna's own log lines away from the terminal: hpo prints its own progress."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
