"""Full disks, read-only folders and locks: one message, then training continues."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.conftest import Answer
from tests.faults.faults import Database, Disk, ReadOnly, ShortLockTimeout, has_mounts
from tests.faults.studies import Study
from tests.processes import Fault, assert_error

FULL = "No space left on device"


def retry(
    command: Callable[[Fault], Answer], fault: Callable[[int], Fault], word: str, step: int = 1
) -> int:
    """Call a command with room for 0, 1, 2 … writes until it succeeds; return how many it took.

    Each call starts from what the previous one left.
    """
    for room in range(0, 5000, step):
        answer = command(fault(room))
        if answer.code == 0:
            return room
        assert_error(answer, word)
    raise AssertionError("it never succeeded")


@pytest.mark.parametrize("is_database", [False, True])
def test_training_continues_after_any_failed_write(
    study: Study, undisturbed: Any, is_database: bool
) -> None:
    def fault(room: int) -> Fault:
        return Database(room) if is_database else Disk(study.home, room)

    word = "the disk is full" if is_database else FULL
    assert retry(lambda fault: study.train(fault=fault), fault, word) > 5
    assert study.shown() == undisturbed
    assert len(study.scores()) == 2
    assert not list(study.home.rglob(".*"))


@pytest.mark.parametrize(
    ("command", "step", "written"),
    [
        (("report", "mine"), 1, "mine/report.html"),
        (("export", "mine"), 7, "mine/export/best/predict.py"),
    ],
)
def test_the_next_call_writes_what_could_not_be_written(
    trained: Study, command: tuple[str, ...], step: int, written: str
) -> None:
    (trained.home / "mine" / "report.html").unlink()

    def call(fault: Fault) -> Answer:
        return trained.call(*command, fault=fault)

    assert retry(call, lambda room: Disk(trained.home, room), FULL, step) >= 1
    assert (trained.home / written).exists()
    assert not list(trained.home.rglob(".*.hpo"))


def test_failed_database_writes_change_nothing(trained: Study, undisturbed: Any) -> None:
    answer = trained.call("evaluate", "mine", fault=Database(0))
    assert_error(answer, "the disk is full")
    assert answer.out == ""
    assert_error(trained.call("delete", "mine", "--yes", fault=Database(0)), "the disk is full")
    assert trained.shown() == undisturbed
    assert (trained.home / "mine" / "report.html").exists()
    assert trained.call("evaluate", "mine", "--json").json["n_openings"] == 1
    assert trained.call("delete", "mine", "--yes").code == 0


def test_training_needs_no_disk_space_for_the_cache(
    study: Study, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = study.folder / "cache"
    monkeypatch.setenv("HPO_CACHE", str(cache))
    assert study.train(fault=Disk(cache, 0)).code == 0
    assert study.shown() == undisturbed
    assert not cache.exists()


def test_missing_disk_space_for_shared_images_is_reported(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = study.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("HPO_LANES", "2")
    # If the first write fails, Python uses another folder.
    assert_error(study.train(fault=Disk(scratch, 1)), FULL, "ake room")


@has_mounts
@pytest.mark.parametrize(
    ("command", "folder", "words"),
    [
        (("show",), "", ("hpo.db", "cannot be written", "Copy the folder")),
        (("export", "mine"), "mine", ("studies/mine", "Read-only file system")),
        (("delete", "mine", "--yes"), "mine", ("studies/mine", "remove this folder yourself")),
    ],
)
def test_a_read_only_folder_of_studies_is_reported(
    trained: Study, command: tuple[str, ...], folder: str, words: tuple[str, ...]
) -> None:
    if command[0] == "export":
        (trained.home / "mine" / "export").mkdir()
    assert_error(trained.call(*command, fault=ReadOnly(trained.home / folder)), *words)
    if command[0] != "delete":
        assert trained.call(*command).code == 0


@has_mounts
@pytest.mark.parametrize("folder", ["", "runs", "mine"])
def test_training_continues_once_a_folder_is_writable(
    study: Study, undisturbed: Any, folder: str
) -> None:
    place = study.home / folder
    place.mkdir(parents=True)
    assert_error(study.train(fault=ReadOnly(place)), f"studies/{folder}", "cannot be written")
    assert study.train().code == 0
    assert study.shown() == undisturbed


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_lock_is_waited_for_and_reported_if_it_persists(
    study: Study, undisturbed: Any, journal: str
) -> None:
    study.home.mkdir()
    with closing(sqlite3.connect(study.home / "hpo.db", check_same_thread=False)) as other:
        other.execute(f"PRAGMA journal_mode={journal}")
        other.execute("BEGIN EXCLUSIVE")
        answer = study.train(fault=ShortLockTimeout(0.2))
        assert_error(answer, "has been locked by another program", "end that program")
        threading.Timer(1.0, other.rollback).start()
        assert study.train().code == 0
    assert study.shown() == undisturbed
