"""Told to end: in order by Ctrl-C, SIGTERM and SIGHUP, at once by the second of them."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.studies import GRID, SEARCH, Case


def started(case: Case, *, epoch_s: float) -> subprocess.Popen[bytes]:
    """Start a command and wait until it trains."""
    child = case.start(epoch_s=epoch_s)
    end = time.monotonic() + 120
    while time.monotonic() < end and not list((case.folder / "runs").glob("*.json")):
        time.sleep(0.02)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_a_command_puts_back_what_it_trains(
    tmp_path: Path, xrays: Path, number: signal.Signals
) -> None:
    case = Case(tmp_path / "case", xrays, GRID)
    child = started(case, epoch_s=0.3)
    child.send_signal(number)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130
    assert b"This goes on: hpo resume s" in said
    assert b"Traceback" not in said
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
        os.kill(child.pid, signal.SIGINT)
        time.sleep(0.002)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130
    assert b"Traceback" not in said
    case.finish()
    assert case.described() == whole.described()
