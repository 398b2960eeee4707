"""Opening databases: what works, and what each broken one is said to be."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import InvalidRequestError, PendingRollbackError
from sqlalchemy.orm.exc import StaleDataError

from hpo.errors import StorageError, UsageError
from hpo.storage.opening import explained, open_storage
from hpo.storage.url import backend_of, mask, mask_command, sqlite_path

ENDLESS = (
    "WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k) "
    "SELECT i AS trial_id, i AS number, 1 AS study_id, 'FAIL' AS state FROM k"
)
WORK = "SELECT 1 WHERE 2 = (SELECT count(*) FROM trials AS a, trials AS b, trials AS c)"


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_sqlite_is_opened_with_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "new" / "hpo.db"
    storage = open_storage(url(path))
    optuna.create_study(study_name="a", storage=storage.optuna)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_braces_in_the_name_of_a_database_are_its_own(tmp_path: Path) -> None:
    open_storage(url(tmp_path / "a{b}" / "{.db"))
    assert (tmp_path / "a{b}" / "{.db").exists()


def test_a_network_drive_gets_the_rollback_journal_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.storage.opening._is_on_network", lambda _: True)
    storage = open_storage(url(tmp_path / "hpo.db"))
    assert "network drive" in storage.notes[0]
    with sqlite3.connect(tmp_path / "hpo.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


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


def test_reading_does_not_create_a_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="There are no studies yet"):
        open_storage(url(tmp_path / "hpo.db"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_text_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "hpo.db").write_text("these are notes about X-rays, not a database" * 100)
    with pytest.raises(StorageError, match="is not an SQLite database"):
        open_storage(url(tmp_path / "hpo.db"))


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a folder"):
        open_storage(url(tmp_path))


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    with pytest.raises(StorageError, match=r"database of another program .*'photos'"):
        open_storage(url(path))
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("photos",)]


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        (["DROP TABLE trials", f"CREATE VIEW trials AS {ENDLESS}"], "the view 'trials'"),
        (["DROP TABLE trials", f"CREATE VIEW Trials AS {ENDLESS}"], "the view 'Trials'"),
        ([f"CREATE TRIGGER t BEFORE DELETE ON trials BEGIN {WORK}; END"], "the trigger 't'"),
        (["CREATE INDEX i ON trials (hex(zeroblob(number)))"], "the index 'i'"),
        (
            [
                "DROP TABLE trial_values",
                "CREATE TABLE trial_values (trial_id, value AS (hex(zeroblob(100000000))))",
            ],
            "the table 'trial_values'",
        ),
    ],
)
def test_a_database_that_computes_what_it_holds_is_not_opened(
    tmp_path: Path, odd: list[str], named: str
) -> None:
    path = tmp_path / "hpo.db"
    open_storage(url(path)).optuna.engine.dispose()
    with sqlite3.connect(path) as connection:
        for statement in odd:
            connection.execute(statement)
    with pytest.raises(StorageError, match=f"holds {named} that Optuna does not make"):
        open_storage(url(path), create=False)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'v9.0.0.a'",
        "UPDATE alembic_version SET version_num = 'v2.6.0.a'",
        "INSERT INTO alembic_version VALUES ('v2.6.0.a')",
        "UPDATE alembic_version SET version_num = ''",
    ],
)
def test_a_schema_of_another_version_is_said_to_be_one(tmp_path: Path, change: str) -> None:
    path = tmp_path / "hpo.db"
    open_storage(url(path)).optuna.engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    with pytest.raises(StorageError, match="another version of Optuna than"):
        open_storage(url(path))


def test_tables_without_a_column_are_said_to_be_other_tables(tmp_path: Path) -> None:
    storage = open_storage(url(tmp_path / "hpo.db"))
    with sqlite3.connect(tmp_path / "hpo.db") as connection:
        connection.execute("ALTER TABLE study_directions DROP COLUMN direction")
    with pytest.raises(StorageError, match="has other tables than"), explained(storage.url):
        optuna.create_study(study_name="a", storage=storage.optuna)


@pytest.mark.parametrize("kind", ["gpfs", "beegfs", "ceph", "fuse.sshfs", "9p", "not known yet"])
def test_a_file_system_that_is_not_known_to_be_local_counts_as_a_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = tmp_path / "a b"
    mounts = f"x / ext4 rw 0 0\nx {place} {kind} rw 0 0\n".replace("a b", r"a\040b")
    mounts = mounts.replace("not known yet", "unknown")
    monkeypatch.setattr(Path, "read_text", lambda _: mounts)
    assert open_storage(url(place / "hpo.db")).notes
    assert not open_storage(url(tmp_path / "hpo.db")).notes


def test_a_locked_database_is_said_to_be_locked(tmp_path: Path) -> None:
    path = tmp_path / "hpo.db"
    storage = open_storage(url(path), busy_timeout_s=0.1)
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(StorageError, match="is locked by another program"),
            explained(storage.url),
        ):
            optuna.create_study(study_name="a", storage=storage.optuna)
        other.rollback()


def test_a_corrupt_database_is_said_to_be_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "hpo.db"
    open_storage(url(path)).optuna.engine.dispose()
    content = bytearray(path.read_bytes())
    content[100:8000] = b"\xff" * 7900
    path.write_bytes(content)
    with pytest.raises(StorageError, match="is corrupt"):
        open_storage(url(path))


@pytest.mark.parametrize(
    "bad", ["hpo.db", "mysql://host/db", "", "sqlite://", "sqlite:///", "://"]
)
def test_an_unknown_url_is_a_usage_error(bad: str) -> None:
    with pytest.raises(UsageError):
        open_storage(bad)


def test_a_path_gets_the_url_it_should_have_been() -> None:
    with pytest.raises(UsageError, match=r"write sqlite:///mine\.db"):
        open_storage("mine.db")


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
        ("postgresql:///?conninfo=host%3Dh%20password%3Da", "postgresql:///?conninfo=***"),
        ("postgresql:///?pass%2577ord=a", "postgresql:///?pass%2577ord=***"),
        ("postgresql:///dbname%3Dd%20password%3Da", "postgresql:///dbname=d password=***"),
        ("host=h password=a user=b", "host=h password=*** user=b"),
        (r"host=h sslpassword = 'a \' b' user=b", "host=h sslpassword = *** user=b"),
        ("me:secret@host/db", "me:***@host/db"),
        ("//me:secret@host/db", "//me:***@host/db"),
        ("sqlite://me:secret@host/x.db", "sqlite://me:***@host/x.db"),
    ],
)
def test_a_password_is_never_shown(given: str, shown: str) -> None:
    assert mask(given) == shown


def test_only_sqlite_urls_name_a_file() -> None:
    assert sqlite_path("sqlite:///a/b.db") == Path("a/b.db")
    assert sqlite_path("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("postgresql://me@host/db") is None


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


def test_a_sign_in_a_password_that_needs_an_escape_is_told() -> None:
    with pytest.raises(UsageError, match="write an @ in a password as %40"):
        backend_of("postgresql://me:p@ss@host/db")
    assert backend_of("postgresql://me@azure:p%40ss@host/db") == "postgresql"


def test_what_a_library_says_is_quoted_unless_the_password_stands_in_it() -> None:
    url = "postgresql://me:p%40ss@host/db?sslpassword=more"
    for secret in ("p@ss", "p%40ss", "more"):
        with pytest.raises(StorageError) as caught, explained(url):
            raise sqlite3.OperationalError(f"no route for {secret}")
        assert secret not in str(caught.value)
    with pytest.raises(StorageError, match="no route for you"), explained(url):
        raise sqlite3.OperationalError("no route for you")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StaleDataError("UPDATE statement on table 'trials': 0 were matched."), "deleted it"),
        (PendingRollbackError("Can't reconnect until invalid transaction"), "connection ended"),
        (InvalidRequestError("This Session's transaction"), r"error \(InvalidRequestError\)"),
    ],
)
def test_what_sqlalchemy_says_of_itself_is_said_in_our_words(error: Exception, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught, explained("sqlite:///hpo.db"):
        raise error
    assert str(error) not in str(caught.value)


@pytest.mark.parametrize("password", ["a", "hpo", "storage", "again"])
def test_a_password_that_is_a_word_leaves_the_words_of_a_message(password: str) -> None:
    url = f"postgresql://me:{password}@host/db"
    with pytest.raises(StorageError) as caught, explained(url):
        raise sqlite3.OperationalError("database is locked by hpo")
    assert str(caught.value).count("***") == 1
    assert "run the same command again" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("hpo show --storage=postgresql://me:x@h/d", "hpo show --storage=postgresql://me:***@h/d"),
        ("show --storage 'postgresql://me:a b@h/d'", "show --storage 'postgresql://me:***@h/d'"),
        ("show 'postgresql://me:a'\"'\"'b@h/d'", "show 'postgresql://me:***@h/d'"),
        ("show 'postgresql://me:a", "show 'postgresql://me:***"),
        ("show --storage 'host=h password=x'", "show --storage 'host=h password=***'"),
        ("hpo grid --space 'my space.toml'", "hpo grid --space 'my space.toml'"),
    ],
)
def test_passwords_are_hidden_in_a_command(given: str, shown: str) -> None:
    assert mask_command(given) == shown


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000 + "x", "a\0b"])
def test_a_file_that_cannot_be_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="no file can be called"):
        open_storage(f"sqlite:///{name}")
