"""Opening databases: what works, and what each broken one is said to be."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import InvalidRequestError, PendingRollbackError
from sqlalchemy.orm.exc import StaleDataError

from hpo.errors import StorageError, UsageError
from hpo.storage.opening import open_storage, translate_errors
from hpo.storage.url import mask, mask_command

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


def test_sqlite_is_opened_with_a_write_ahead_log_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a{b}" / "{.db"
    with pytest.raises(StorageError, match="There are no studies yet"):
        open_storage(url(path), create=False)
    assert list(tmp_path.iterdir()) == []
    assert not open_storage(url(path)).notes
    assert journal(path) == "wal"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "gpfs", "fuse.sshfs"])
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


def of_photos(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("notes, not a database" * 100), "is not an SQLite database"),
        (Path.mkdir, "is a folder"),
        (of_photos, "database of another program .*'photos'"),
        (corrupt, "is corrupt"),
    ],
)
def test_what_is_not_a_database_of_studies_is_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "hpo.db"
    make(path)
    before = path.is_file() and path.read_bytes()
    with pytest.raises(StorageError, match=said):
        open_storage(url(path))
    assert (path.is_file() and path.read_bytes()) == before


def test_processes_that_make_the_same_database_at_once_all_open_it(tmp_path: Path) -> None:
    program = (
        f"from hpo.storage.opening import open_storage; open_storage({url(tmp_path / 'hpo.db')!r})"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0] * 4, answers


NOT_OPTUNAS = "holds the {} that Optuna does not make"
OTHER_VERSION = "another version of Optuna than"
COMPUTED = "CREATE TABLE trial_values (trial_id, value AS (hex(zeroblob(100000000))))"
TRIGGER = f"CREATE TRIGGER t BEFORE DELETE ON trials BEGIN {WORK}; END"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["DROP TABLE trials", f"CREATE VIEW trials AS {ENDLESS}"], "view 'trials'"),
        (["DROP TABLE trials", f"CREATE VIEW Trials AS {ENDLESS}"], "view 'Trials'"),
        ([TRIGGER], "trigger 't'"),
        (["CREATE INDEX i ON trials (hex(zeroblob(number)))"], "index 'i'"),
        (["DROP TABLE trial_values", COMPUTED], "table 'trial_values'"),
        (["UPDATE alembic_version SET version_num = 'v9.0.0.a'"], ""),
        (["UPDATE alembic_version SET version_num = 'v2.6.0.a'"], ""),
        (["INSERT INTO alembic_version VALUES ('v2.6.0.a')"], ""),
        (["UPDATE alembic_version SET version_num = ''"], ""),
    ],
)
def test_a_database_that_computes_what_it_holds_or_is_of_another_version_is_not_opened(
    tmp_path: Path, changes: list[str], said: str
) -> None:
    path = tmp_path / "hpo.db"
    open_storage(url(path)).engine.dispose()
    with sqlite3.connect(path) as connection:
        for change in changes:
            connection.execute(change)
    with pytest.raises(StorageError, match=NOT_OPTUNAS.format(said) if said else OTHER_VERSION):
        open_storage(url(path), create=False)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:p:a/s@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:///studies/hpo.db", "sqlite:///studies/hpo.db"),
        ("sqlite:///home/a:b@c/hpo.db", "sqlite:///home/a:b@c/hpo.db"),
        ("postgresql://me:pass@word@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@azure:secret@host/db", "postgresql://me@azure:***@host/db"),
        ("postgresql://me:secret", "postgresql://me:***"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql://host/db?password=a&user=b", "postgresql://host/db?password=***&user=b"),
        ("postgresql://host/db?pass%77ord=a@b", "postgresql://host/db?pass%77ord=***"),
        ("postgresql://host/db?sslpassword=a", "postgresql://host/db?sslpassword=***"),
        ("postgresql:///?password=a", "postgresql:///?password=***"),
        ("postgresql://h/d?passfile=/a&password=b", "postgresql://h/d?passfile=/a&password=***"),
        ("postgresql:///?conninfo=host%3Dh%20password%3Da", "postgresql://***"),
        ("postgresql:///?pass%2577ord=a", "postgresql:///?pass%2577ord=***"),
        ("postgresql:///dbname%3Dd%20password%3Da", "postgresql://***"),
        ("host=h password=a user=b", "***"),
        ("me:secret@host/db", "me:***@host/db"),
        ("//me:secret@host/db", "//me:***@host/db"),
        ("sqlite://me:secret@host/x.db", "sqlite://me:***@host/x.db"),
    ],
)
def test_a_password_is_never_shown(given: str, shown: str) -> None:
    assert mask(given) == shown


@pytest.mark.parametrize(
    "bad",
    [
        "host=h password=secret user=me",
        "me:secret@host/db",
        "//me:secret@host/db",
        "sqlite://me:secret@host/x.db",
        "sqlite+pysqlcipher://:secret@/x.db",
        "postgresql+psycopg://me:secret@host:port/db",
        "postgresql+psycopg://me:secret",
        "postgresql+psycopg://me:p@secret@127.0.0.1:1/db",
        "postgresql+nodriver://me:secret@host/db",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(bad: str) -> None:
    with pytest.raises((UsageError, StorageError)) as caught:
        open_storage(bad)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StaleDataError("UPDATE statement on table 'trials': 0 were matched."), "deleted it"),
        (PendingRollbackError("Can't reconnect until invalid transaction"), "cannot be reached"),
        (InvalidRequestError("This Session's transaction"), r"error \(InvalidRequestError\)"),
    ],
)
def test_what_sqlalchemy_says_of_itself_is_said_in_our_words(error: Exception, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught, translate_errors("sqlite:///hpo.db"):
        raise error
    assert str(error) not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("hpo show --storage=postgresql://me:x@h", "hpo show '--storage=postgresql://me:***@h'"),
        ("show --storage 'postgresql://me:a b@h/d'", "show --storage 'postgresql://me:***@h/d'"),
        ("show 'postgresql://me:a'\"'\"'b@h/d'", "show 'postgresql://me:***@h/d'"),
        ("show --storage 'host=h password=x'", "show --storage '***'"),
        ("hpo grid --space 'my space.toml'", "hpo grid --space 'my space.toml'"),
    ],
)
def test_passwords_are_hidden_in_a_command(given: str, shown: str) -> None:
    assert mask_command(given) == shown


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("BEGIN EXCLUSIVE", "is locked by another program"),
        ("ALTER TABLE study_directions DROP COLUMN direction", "has other tables than"),
    ],
)
def test_what_other_programs_do_to_an_open_database_is_said(
    tmp_path: Path, statement: str, said: str
) -> None:
    path = tmp_path / "hpo.db"
    storage = open_storage(url(path), busy_timeout_s=0.1)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(statement)
        with pytest.raises(StorageError, match=said), translate_errors(storage.url):
            optuna.create_study(study_name="a", storage=storage)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        *((bad, "--storage") for bad in ("mysql://host/db", "", "sqlite://", "sqlite:///", "://")),
        ("mine.db", r"write sqlite:///mine\.db"),
        ("postgresql://me:p@ss@host/db", "write an @ in a password as %40"),
    ],
)
def test_a_url_that_cannot_be_is_a_usage_error(bad: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_storage(bad)


@pytest.mark.parametrize("secret", ["p@ss", "p%40ss", "more"])
def test_what_a_library_says_is_quoted_unless_the_password_stands_in_it(secret: str) -> None:
    url = "postgresql://me:p%40ss@host/db?sslpassword=more"
    with pytest.raises(StorageError, match="is not shown") as caught, translate_errors(url):
        raise sqlite3.OperationalError(f"no route for {secret}")
    assert secret not in str(caught.value)
    with pytest.raises(StorageError, match="no route for you"), translate_errors(url):
        raise sqlite3.OperationalError("no route for you")


@pytest.mark.parametrize("password", ["a", "hpo", "again"])
def test_a_password_that_is_a_word_leaves_the_words_of_a_message(password: str) -> None:
    url = f"postgresql://me:{password}@host/db"
    with pytest.raises(StorageError) as caught, translate_errors(url):
        raise sqlite3.OperationalError("database is locked by hpo")
    assert str(caught.value).count("***") == 1
    assert "again" in str(caught.value)
