"""Opening databases: what works, and what each broken one is said to be."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from hpo.errors import StorageError, UsageError
from hpo.storage import explained, open_storage
from hpo.storage_url import mask, sqlite_path


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
    ],
)
def test_a_password_is_never_shown(given: str, shown: str) -> None:
    assert mask(given) == shown


def test_only_sqlite_urls_name_a_file() -> None:
    assert sqlite_path("sqlite:///a/b.db") == Path("a/b.db")
    assert sqlite_path("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("postgresql://me@host/db") is None
