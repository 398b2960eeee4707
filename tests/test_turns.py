"""Turns: one process at a time decides what is trained next, and a killed one stands in no way."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpo import turns
from hpo.errors import StorageError
from hpo.storage import open_storage
from hpo.turns import turn

HOLD = """
import sys
from hpo.storage import open_storage
from hpo.turns import turn
with turn(open_storage(sys.argv[1]), "study"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hpo.db"


def holder(url: str) -> subprocess.Popen[str]:
    """Return another process that holds the turn."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    return child


def test_threads_take_turns_too(url: str) -> None:
    storage, inside, most = open_storage(url), 0, 0

    def visit() -> None:
        nonlocal inside, most
        for _ in range(50):
            with turn(storage, "study"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_who_does_not_move_is_told_of_in_the_end(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "BUSY_TIMEOUT_S", 0.2)
    child = holder(url)
    with pytest.raises(StorageError, match="another hpo"), turn(open_storage(url), "study"):
        pass
    child.communicate()


def test_a_killed_process_gives_its_turn_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "BUSY_TIMEOUT_S", 20.0)
    child = holder(url)
    child.kill()
    with turn(open_storage(url), "study"):
        pass
    child.communicate()


def test_a_folder_that_cannot_be_written_is_named(url: str, tmp_path: Path) -> None:
    storage = open_storage(url)
    (tmp_path / "hpo.db-turn").mkdir()
    with pytest.raises(StorageError, match=r"hpo\.db-turn cannot be written"), turn(storage, "s"):
        pass
