"""What goes on meanwhile: another program holds a lock, the clock is set back."""

import sqlite3
import threading
from contextlib import closing
from typing import Any

import pytest

from tests.faults.others import ClockSetBack, Impatience
from tests.faults.studies import Study
from tests.processes import said


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
        said(
            study.train(fault=Impatience(0.2)), "is locked by another program", "end that program"
        )
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
