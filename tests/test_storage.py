"""Opening databases: what works, and what each broken one is said to be."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from hpo.errors import StorageError, UsageError
from hpo.storage import explained, open_storage
from hpo.storage_url import backend_of, conceal, mask, mask_command, sqlite_path


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_sqlite_is_opened_with_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "new" / "hpo.db"
    storage = open_storage(url(path))
    optuna.create_study(study_name="a", storage=storage.optuna)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_network_drive_gets_the_rollback_journal_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.storage._is_on_network", lambda _: True)
    storage = open_storage(url(tmp_path / "hpo.db"))
    assert "network drive" in storage.notes[0]
    with sqlite3.connect(tmp_path / "hpo.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_processes_that_make_the_same_database_at_once_all_open_it(tmp_path: Path) -> None:
    program = f"from hpo.storage import open_storage; open_storage({url(tmp_path / 'hpo.db')!r})"
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
    with pytest.raises(StorageError, match="is no SQLite database"):
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


def test_what_a_library_quotes_of_a_password_is_hidden() -> None:
    url = "postgresql://me:p%40ss@host/db?sslpassword=more"
    assert conceal("'p@ss' or p%40ss or more", url) == "'***' or *** or ***"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("hpo show --storage=postgresql://me:x@h/d", "hpo show --storage=postgresql://me:***@h/d"),
        ("show --storage 'postgresql://me:a b@h/d'", "show --storage 'postgresql://me:***@h/d'"),
        ("show 'postgresql://me:a'\"'\"'b@h/d'", "show 'postgresql://me:***@h/d'"),
        ("show 'postgresql://me:a", "show 'postgresql://me:***"),
        ("hpo grid --space 'my space.toml'", "hpo grid --space 'my space.toml'"),
    ],
)
def test_passwords_are_hidden_in_a_command(given: str, shown: str) -> None:
    assert mask_command(given) == shown


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000 + "x", "a\0b"])
def test_a_file_that_cannot_be_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="no file can be called"):
        open_storage(f"sqlite:///{name}")


def test_an_attribute_that_is_no_json_is_called_corrupt(tmp_path: Path) -> None:
    storage = open_storage(url(tmp_path / "hpo.db"))
    optuna.create_study(study_name="a", storage=storage.optuna).set_user_attr("hpo", 1)
    with sqlite3.connect(tmp_path / "hpo.db") as connection:
        connection.execute("UPDATE study_user_attributes SET value_json = '{'")
    with pytest.raises(StorageError, match="is corrupt"), explained(storage.url):
        storage.optuna.get_all_studies()
