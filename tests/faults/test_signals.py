"""Told to end: in order by Ctrl-C, SIGTERM and SIGHUP, at once by the second of them."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.studies import GRID, SEARCH, Case
from tests.faults.studies import Study
from tests.processes import Child, wait_for


def started(case: Case, *, epoch_s: float, ignored: tuple[signal.Signals, ...] = ()) -> Child:
    """Start a command that ignores these signals alone, and wait until it trains."""
    child = case.start(epoch_s=epoch_s, n_quick=6, ignored=ignored)
    wait_for(case.inodes)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_a_command_puts_back_what_it_trains(
    tmp_path: Path, xrays: Path, number: signal.Signals
) -> None:
    case = Case(tmp_path / "case", xrays, GRID)
    child = started(case, epoch_s=0.3)
    child.tell(number)
    answer = child.answer()
    assert answer.code == 130
    assert "To continue: hpo resume s" in answer.err
    assert "Traceback" not in answer.err
    states = {trial[1] for trial in case.described()["trials"].values()}
    assert "WAITING" in states <= {"COMPLETE", "WAITING"}
    case.finish()
    assert case.described()["n_open"] == 0


def test_told_twice_it_ends_at_once_and_nothing_is_lost(tmp_path: Path, xrays: Path) -> None:
    whole = Case(tmp_path / "whole", xrays, SEARCH)
    whole.finish()
    case = Case(tmp_path / "case", xrays, SEARCH)
    child = started(case, epoch_s=0.3)
    for _ in range(20):
        if child.poll() is not None:
            break
        child.tell(signal.SIGINT)
        time.sleep(0.002)
    answer = child.answer()
    assert answer.code == 130
    assert "Traceback" not in answer.err
    case.finish()
    assert case.described() == whole.described()


def test_what_is_ignored_from_the_start_as_under_nohup_ends_nothing(
    tmp_path: Path, xrays: Path
) -> None:
    case = Case(tmp_path / "case", xrays, GRID)
    child = started(case, epoch_s=0.1, ignored=(signal.SIGHUP,))
    child.tell(signal.SIGHUP)
    assert child.answer().code == 0
    assert case.described()["n_open"] == 0


class Told:
    """What tells its process to end, as it is destroyed: Python drops what is raised there."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class ToldWhereItIsDropped:
    """A process that is told to end in a destructor, once, as it opens such a file."""

    name: str

    def __call__(self) -> None:
        told: list[str] = []

        def see(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and self.name in str(arguments[0]) and not told:
                told.append(event)
                Told()
                # Long enough for the second try; the first was dropped.
                time.sleep(0.2)

        sys.addaudithook(see)


def test_an_interrupt_that_python_drops_is_raised_again(study: Study) -> None:
    answer = study.train(fault=ToldWhereItIsDropped("report.html"))
    assert answer.code == 130
    assert answer.err.count("Stopped. Finished trainings are saved") == 1
    assert "Traceback" not in answer.err
    assert study.train().code == 0


def test_a_command_that_trains_nothing_is_interrupted_in_order(study: Study) -> None:
    answer = study.call("data", "info", "--data", study.data, fault=ToldWhereItIsDropped(".npy"))
    assert (answer.code, answer.out) == (130, "")
    assert answer.err == "Stopped. Finished trainings are saved: the same command continues.\n"
