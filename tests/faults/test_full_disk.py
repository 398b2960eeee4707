"""A disk that fills up at any write: one message, and the same command goes on to the same end."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.conftest import Answer
from tests.faults.disks import Database, Disk
from tests.faults.studies import Study
from tests.processes import Fault, said

MOST = 200


def goes_on(command: Callable[[Fault], Answer], fault: Callable[[int], Fault], *words: str) -> int:
    """Call a command with room for 0, 1, 2 … writes until it succeeds; return how many it took.

    Each call begins with what the one before it left behind.
    """
    for room in range(MOST):
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
    assert n_writes > 10
    assert study.shown() == undisturbed
    assert len(study.scores()) == 2


@pytest.mark.parametrize(
    "command",
    [
        ("report", "mine"),
        ("export", "mine"),
        ("export", "mine", "--out", "studies/out", "--weights", "all"),
        ("compare", "mine", "mine"),
        ("data", "generate", "studies/phantom"),
        ("delete", "mine", "--yes"),
        ("dashboard",),
    ],
)
def test_other_commands_say_so_and_can_be_called_again(
    trained: Study, command: tuple[str, ...]
) -> None:
    n = goes_on(
        lambda fault: trained.call(*command, fault=fault),
        lambda room: Disk(trained.home, room),
        "No space left on device",
    )
    print(n)


@pytest.mark.parametrize("command", [("evaluate", "mine"), ("delete", "mine", "--yes")])
def test_commands_that_write_the_database_say_so_and_can_be_called_again(
    trained: Study, command: tuple[str, ...]
) -> None:
    n = goes_on(
        lambda fault: trained.call(*command, fault=fault),
        Database,
        "the disk is full",
    )
    print(n)
