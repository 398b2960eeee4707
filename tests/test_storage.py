"""Opening databases, and the message for each broken one."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from hpo.errors import StorageError
from hpo.storage.database import translate_errors
from hpo.storage.opening import open_storage
from hpo.storage.url import mask

ENDLESS = (
    "WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k) "
    "SELECT i AS trial_id, i AS number, 1 AS study_id, 'FAIL' AS state FROM k"
)
WORK = "SELECT 1 WHERE 2 = (SELECT count(*) FROM trials AS a, trials AS b, trials AS c)"


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def journal(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_sqlite_of_any_name_is_opened_with_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "a{b}" / "{.db"
    with pytest.raises(StorageError, match="There are no studies yet"):
        open_storage(url(path), create=False)
    assert list(tmp_path.iterdir()) == []
    assert not open_storage(url(path)).notes
    assert journal(path) == "wal"


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_a_network_drive_gets_the_rollback_journal_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = tmp_path / "a b"
    mounts = f"x / ext4 rw 0 0\nx {str(place).replace(' ', chr(92) + '040')} {kind} rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda _: mounts)
    assert "network drive" in open_storage(url(place / "hpo.db")).notes[0]
    assert journal(place / "hpo.db") == "delete"
    assert not open_storage(url(tmp_path / "hpo.db")).notes


def corrupt(path: Path) -> None:
    open_storage(url(path)).engine.dispose()
    content = bytearray(path.read_bytes())
    content[100:8000] = b"\xff" * 7900
    path.write_bytes(content)


def photo_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("notes, not a database" * 100), "is not an SQLite database"),
        (Path.mkdir, "is a folder"),
        (photo_database, "database of another program .*'photos'"),
        (corrupt, "is corrupt"),
    ],
)
def test_a_file_that_is_not_a_study_database_is_left_unchanged(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "hpo.db"
    make(path)
    before = path.is_file() and path.read_bytes()
    with pytest.raises(StorageError, match=message):
        open_storage(url(path))
    assert (path.is_file() and path.read_bytes()) == before


COMPUTED = "CREATE TABLE trial_values (trial_id, value AS (hex(zeroblob(100000000))))"
TRIGGER = f"CREATE TRIGGER t BEFORE DELETE ON trials BEGIN {WORK}; END"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (f"DROP TABLE trials; CREATE VIEW Trials AS {ENDLESS}", "contains the view 'Trials'"),
        (TRIGGER, "contains the trigger 't'"),
        ("CREATE INDEX i ON trials (hex(zeroblob(number)))", "contains the index 'i'"),
        (f"DROP TABLE trial_values; {COMPUTED}", "contains the table 'trial_values'"),
        ("UPDATE alembic_version SET version_num = 'v9.0.0.a'", "another version of Optuna"),
    ],
)
def test_a_database_with_views_triggers_or_another_version_is_not_opened(
    tmp_path: Path, changes: str, message: str
) -> None:
    path = tmp_path / "hpo.db"
    open_storage(url(path)).engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.executescript(changes)
    with pytest.raises(StorageError, match=message):
        open_storage(url(path), create=False)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("sqlite:///home/a:b@c/hpo.db", "sqlite:///home/a:b@c/hpo.db"),
        ("postgresql://me:pass@word@host/db", "postgresql://***"),
        ("postgresql://me@azure:secret@host/db", "postgresql://***"),
        ("postgresql://host/db?password=a&user=b", "postgresql://host/db?password=***&user=b"),
        ("postgresql://host/db?pass%77ord=a@b", "postgresql://host/db?pass%77ord=***"),
        ("postgresql:///?conninfo=host%3Dh%20password%3Da", "postgresql://***"),
        ("postgresql:///dbname%3Dd%20password%3Da", "postgresql://***"),
        ("host=h password=a user=b", "***"),
        ("sqlite://me:secret@host/x.db", "sqlite://me:***@host/x.db"),
    ],
)
def test_a_password_is_never_shown(given: str, shown: str) -> None:
    assert mask(given) == shown


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("BEGIN EXCLUSIVE", "has been locked by another program"),
        ("ALTER TABLE study_directions DROP COLUMN direction", "has other tables than"),
    ],
)
def test_changes_of_an_open_database_by_other_programs_are_reported(
    tmp_path: Path, statement: str, message: str
) -> None:
    path = tmp_path / "hpo.db"
    storage = open_storage(url(path), busy_timeout_s=0.1)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(statement)
        with pytest.raises(StorageError, match=message), translate_errors(storage.url):
            optuna.create_study(study_name="a", storage=storage)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        *((f"no route for {secret}", "is not shown") for secret in ("p@ss", "p%40ss", "again")),
        ("no route for you", "no route for you"),
        ("database is locked by hpo", "run the same command again"),
    ],
)
def test_library_errors_are_quoted_unless_they_contain_a_password(
    message: str, shown: str
) -> None:
    # A password that is a common word is not removed from our own messages.
    url = "postgresql://me:p%40ss@host/db?sslpassword=again"
    with pytest.raises(StorageError, match=shown) as caught, translate_errors(url):
        raise sqlite3.OperationalError(message)
    assert "no route for p" not in str(caught.value)
