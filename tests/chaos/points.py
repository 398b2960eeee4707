"""Killed at the n-th write, for every n: commits of the database, and files."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy.engine import Engine

from hpo.run import session as sessions
from hpo.run.plan import Plan, SearchSettings, Settings, plan_grid, plan_search
from hpo.run.session import open_session, training_events
from tests.chaos.forks import fork, wait
from tests.chaos.studies import Case
from tests.clocked import ClockedStack

_SMALL: Final = {"image_size": 16, "epochs": 4}


def plan(kind: str, data: Path) -> Plan:
    """Return a small grid or search; its storage is that of a case."""
    settings = Settings(data=data, set=_SMALL, study="s", repeats=2, lanes=2, metric="accuracy")
    if kind == "grid":
        return plan_grid(["batch_size"], replace(settings, values={"batch_size": "16,32"}))
    of_search = SearchSettings(trials=7, finalists=2, final_repeats=2)
    names = ["learning_rate", "dropout"]
    return plan_search(names, replace(settings, repeats=1), of_search)


def train(of: Plan, case: Case, *, kill_at: int = -1) -> int:
    """Train in a process of its own, killed as it begins write number `kill_at`.

    Returns:
        Its exit code, and below 0 the signal.
    """

    def work() -> None:
        sessions.open_stack = lambda *_args, **_options: ClockedStack()  # type: ignore[attr-defined]
        os.environ["HPO_RUNS"] = str(case.folder / "runs")
        count_writes(_killer(kill_at))
        with open_session(replace(of, storage=case.url)) as session:
            for _ in training_events(session):
                pass

    return wait(fork(work))


def count_writes(write: Callable[[], None]) -> None:
    """Call a function before every write of this process: it is to end soon."""
    sqlalchemy.event.listen(Engine, "commit", lambda _connection: write())
    for place, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
        setattr(place, name, _first(write, getattr(place, name)))


def _first(write: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: object, **options: object) -> Any:
        write()
        return function(*arguments, **options)

    return wrapped


def _killer(kill_at: int) -> Callable[[], None]:
    numbers = iter(range(1_000_000))

    def write() -> None:
        if next(numbers) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return write


def killed_everywhere(kind: str, data: Path, folder: Path, *, step: int) -> Iterator[list[str]]:
    """Yield, for every `step`-th write until there are no more, what differs in the end."""
    of = plan(kind, data)
    whole = Case(folder / "whole", data, ())
    whole.folder.mkdir(parents=True)
    assert train(of, whole) == 0
    expected = whole.described()
    number = 0
    while True:
        case = Case(folder / str(number), data, ())
        case.folder.mkdir()
        code = train(of, case, kill_at=number)
        if code == 0:
            return
        assert code == -signal.SIGKILL
        stored = case.inodes()
        assert train(of, case) == 0
        found = case.described()
        differences = [name for name in expected if found[name] != expected[name]]
        if any(case.inodes()[name] != inode for name, inode in stored.items()):
            differences.append("trained again")
        yield differences
        number += step
