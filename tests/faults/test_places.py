"""Disks that fill up, folders that cannot be written, locks and clocks: one message, then on."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.conftest import Answer
from tests.faults.faults import (
    ClockSetBack,
    Database,
    Disk,
    FullOutput,
    Impatience,
    ReadOnly,
    SmallDisk,
    has_mounts,
)
from tests.faults.studies import Study
from tests.processes import Fault, said

_MOST = 5000


def goes_on(
    command: Callable[[Fault], Answer], fault: Callable[[int], Fault], *words: str, step: int = 1
) -> int:
    """Call a command with room for 0, 1, 2 … writes until it succeeds; return how many it took.

    Each call begins with what the one before it left behind.
    """
    for room in range(0, _MOST, step):
        answer = command(fault(room))
        if answer.code == 0:
            return room
        said(answer, *words)
    raise AssertionError("it never succeeded")


def test_training_goes_on_wherever_files_could_not_be_written(
    study: Study, undisturbed: Any
) -> None:
    n_writes = goes_on(
        lambda fault: study.train(fault=fault),
        lambda room: Disk(study.home, room),
        "No space left on device",
    )
    assert n_writes > 5
    assert study.shown() == undisturbed
    assert len(study.scores()) == 2
    assert not list(study.home.rglob(".*"))


def test_training_goes_on_wherever_the_database_could_not_be_written(
    study: Study, undisturbed: Any
) -> None:
    n_writes = goes_on(lambda fault: study.train(fault=fault), Database, "the disk is full")
    assert n_writes > 7
    assert study.shown() == undisturbed
    assert len(study.scores()) == 2


@has_mounts
@pytest.mark.parametrize("kilobytes", [4, 384])
def test_training_on_a_disk_that_is_too_small_goes_on_where_there_is_room(
    study: Study, undisturbed: Any, kilobytes: int
) -> None:
    answer = study.train(fault=SmallDisk(study.home, 1024 * kilobytes))
    said(answer, "What is finished is kept", "ake room")
    n_kept = len(list(study.home.glob("runs/*.json")))
    assert study.call(*study.grid, "--json").json["n_trained"] <= 2 - n_kept
    assert study.shown() == undisturbed
    assert len(study.scores()) == 2


@pytest.mark.parametrize(
    ("command", "step", "written"),
    [
        (("report", "mine"), 1, "mine/report.html"),
        (("export", "mine"), 7, "mine/export/001_batch_size-8/network.py"),
        (("compare", "mine", "other"), 1, "compare-mine-other.html"),
    ],
)
def test_what_could_not_be_written_is_written_by_the_next_call(
    trained: Study, command: tuple[str, ...], step: int, written: str
) -> None:
    if "compare" in command:
        assert trained.call(*trained.grid, "--study", "other").code == 0
    (trained.home / "mine" / "report.html").unlink()
    n_writes = goes_on(
        lambda fault: trained.call(*command, fault=fault),
        lambda room: Disk(trained.home, room),
        "No space left on device",
        step=step,
    )
    assert n_writes >= 1
    assert (trained.home / written).exists()
    assert not list(trained.home.rglob(".*.hpo"))


def test_what_the_database_does_not_take_has_not_happened(
    trained: Study, undisturbed: Any
) -> None:
    answer = trained.call("evaluate", "mine", fault=Database(0))
    said(answer, "the disk is full")
    assert answer.out == ""
    said(trained.call("delete", "mine", "--yes", fault=Database(0)), "the disk is full")
    assert trained.shown() == undisturbed
    assert (trained.home / "mine" / "report.html").exists()
    assert trained.call("evaluate", "mine", "--json").json["n_openings"] == 1
    assert trained.call("delete", "mine", "--yes").code == 0


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_result_that_could_not_be_printed_is_said(
    study: Study, undisturbed: Any, option: tuple[str, ...]
) -> None:
    answer = study.call(*study.grid, *option, fault=FullOutput())
    said(answer, "The output", "cannot be written: No space left on device")
    assert study.call(*study.grid, "--json").json["n_trained"] == 0
    assert study.shown() == undisturbed


def test_training_needs_no_room_for_what_only_saves_time(
    study: Study, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = study.folder / "cache"
    monkeypatch.setenv("HPO_CACHE", str(cache))
    assert study.train(fault=Disk(cache, 0)).code == 0
    assert study.shown() == undisturbed
    assert not cache.exists()


def test_room_that_several_processes_lack_for_their_images_is_said(
    study: Study, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = study.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("HPO_LANES", "2")
    # Without room for the first one Python takes another folder.
    for room in (1, 2):
        said(study.train(fault=Disk(scratch, room)), "No space left on device", "ake room")
    monkeypatch.setenv("HPO_LANES", "1")
    assert study.train().code == 0
    assert study.shown() == undisturbed


@has_mounts
@pytest.mark.parametrize(
    ("command", "folder", "words"),
    [
        (("show",), "", ("hpo.db", "cannot be written", "Copy the folder")),
        (("report", "mine"), "mine", ("studies/mine", "Read-only file system")),
        (("export", "mine"), "mine", ("studies/mine", "Read-only file system")),
        (("delete", "mine", "--yes"), "mine", ("studies/mine", "remove this folder yourself")),
        (("delete", "mine", "--yes"), "artifacts", ("studies/artifacts", "deleted from the")),
    ],
)
def test_a_folder_of_studies_that_cannot_be_written_is_said(
    trained: Study, command: tuple[str, ...], folder: str, words: tuple[str, ...]
) -> None:
    if command[0] == "export":
        (trained.home / "mine" / "export").mkdir()
    said(trained.call(*command, fault=ReadOnly(trained.home / folder)), *words)
    if command[0] != "delete":
        assert trained.call(*command).code == 0


@has_mounts
@pytest.mark.parametrize("folder", ["", "runs", "mine"])
def test_training_goes_on_once_a_folder_can_be_written(
    study: Study, undisturbed: Any, folder: str
) -> None:
    place = study.home / folder
    place.mkdir(parents=True)
    said(study.train(fault=ReadOnly(place)), f"studies/{folder}", "cannot be written")
    assert study.train().code == 0
    assert study.shown() == undisturbed


def test_a_lock_that_is_given_back_in_time_is_waited_for(study: Study, undisturbed: Any) -> None:
    study.home.mkdir()
    with closing(sqlite3.connect(study.home / "hpo.db", check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(1.0, other.rollback).start()
        assert study.train().code == 0
    assert study.shown() == undisturbed


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_lock_that_is_not_given_back_is_said_and_the_command_goes_on_afterwards(
    study: Study, undisturbed: Any, journal: str
) -> None:
    study.home.mkdir()
    with closing(sqlite3.connect(study.home / "hpo.db")) as other:
        other.execute(f"PRAGMA journal_mode={journal}")
        other.execute("BEGIN EXCLUSIVE")
        answer = study.train(fault=Impatience(0.2))
        said(answer, "is locked by another program", "end that program")
        other.rollback()
    assert study.train().code == 0
    assert study.shown() == undisturbed


def test_a_clock_that_was_set_back_changes_nothing(study: Study, undisturbed: Any) -> None:
    assert study.call(*study.grid, "--timeout", "0.000001").code == 1
    assert study.scores() == {}
    assert study.train(fault=ClockSetBack()).code == 0
    assert study.shown() == undisturbed
    assert study.call("evaluate", "mine").code == 0
    assert study.call("evaluate", "mine", fault=ClockSetBack()).code == 0
    openings = study.call("show", "mine", "--json").json["openings"]
    assert len(openings) == 1  # The second look is the first one again.
    assert study.call("report", "mine", fault=ClockSetBack()).code == 0
