"""Ctrl-C, SIGTERM and SIGHUP stop a command cleanly; a second signal stops it at once."""

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
    """Start a command that ignores these signals, and wait until it trains."""
    child = case.start(epoch_s=epoch_s, n_quick=6, ignored=ignored)
    wait_for(case.inodes)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_command_requeues_its_running_trials(
    tmp_path: Path, xrays: Path, number: signal.Signals
) -> None:
    case = Case(tmp_path / "case", xrays, GRID)
    child = started(case, epoch_s=60.0)
    wait_for(lambda: len(case.described()["trials"]) > 4)  # Not between two batches of four.
    child.send_signal(number)
    answer = child.answer()
    assert answer.code == 130
    assert "To continue: hpo resume s" in answer.err
    assert "Traceback" not in answer.err
    states = {trial[1] for trial in case.described()["trials"].values()}
    assert "WAITING" in states <= {"COMPLETE", "WAITING"}
    case.finish()
    assert case.described()["n_open"] == 0


def test_a_second_signal_stops_at_once_and_loses_nothing(tmp_path: Path, xrays: Path) -> None:
    whole = Case(tmp_path / "whole", xrays, SEARCH)
    whole.finish()
    case = Case(tmp_path / "case", xrays, SEARCH)
    child = started(case, epoch_s=0.3)
    for _ in range(20):
        if child.poll() is not None:
            break
        child.send_signal(signal.SIGINT)
        time.sleep(0.002)
    answer = child.answer()
    assert answer.code == 130
    assert "Traceback" not in answer.err
    case.finish()
    assert case.described() == whole.described()


def test_a_signal_ignored_from_the_start_stops_nothing(tmp_path: Path, xrays: Path) -> None:
    case = Case(tmp_path / "case", xrays, GRID)
    child = started(case, epoch_s=0.1, ignored=(signal.SIGHUP,))
    child.send_signal(signal.SIGHUP)
    assert child.answer().code == 0
    assert case.described()["n_open"] == 0


class SignalOnDelete:
    """Sends SIGTERM to its process when destroyed: Python drops exceptions raised there."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class SignalInDestructor:
    """A process that gets SIGTERM in a destructor, once, when it opens a file of this name."""

    name: str

    def __call__(self) -> None:
        sent: list[str] = []

        def see(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and self.name in str(arguments[0]) and not sent:
                sent.append(event)
                SignalOnDelete()
                # Long enough for the second try; the first was dropped.
                time.sleep(0.2)

        sys.addaudithook(see)


def test_an_interrupt_dropped_by_python_is_raised_again(study: Study) -> None:
    answer = study.train(fault=SignalInDestructor("report.html"))
    assert answer.code == 130
    assert answer.err.count("Stopped. Finished trainings are saved") == 1
    assert "Traceback" not in answer.err
    assert study.train().code == 0


def test_a_command_without_training_is_interrupted_cleanly(study: Study) -> None:
    answer = study.call("data", "info", "--data", study.data, fault=SignalInDestructor(".npy"))
    assert (answer.code, answer.out) == (130, "")
    assert answer.err == "Stopped. Finished trainings are saved: the same command continues.\n"
