"""`kill -9`, at random moments and at every write, until the study is complete."""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy.engine import Engine

from hpo.run import session as sessions
from hpo.run.plan import Plan, Settings, plan_grid, plan_search
from hpo.run.session import open_session, training_events
from tests.chaos.studies import Case
from tests.clocked import ClockedStack

_SMALL: Final = {"image_size": 16, "epochs": 4}


@dataclass(frozen=True)
class Disturbed:
    """The result of one study: kills, lost or duplicated trainings, and differences."""

    n_kills: int
    n_lost: int
    n_double: int
    differences: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self) | {"is_equal": not self.differences}


def disturb(case: Case, expected: dict[str, Any], *, n_kills: int, seed: int) -> Disturbed:
    """Kill the command this many times, then let it finish.

    A training is lost if its run was in the store at a kill, and was written again.
    """
    chance, n_done = random.Random(seed), 0
    stored: dict[str, int] = {}
    while n_done < n_kills:
        child = case.start()
        end = time.monotonic() + chance.uniform(0.1, 2.0)
        while time.monotonic() < end and child.poll() is None:
            time.sleep(0.005)
        # A command that has finished can no longer be killed.
        is_over = child.poll() is not None
        child.kill()
        if is_over:
            break
        n_done += 1
        stored = case.inodes() | stored
    case.finish()
    n_lost = sum(case.inodes().get(name) != inode for name, inode in stored.items())
    found = case.described()
    differences = [name for name in expected if found[name] != expected[name]]
    return Disturbed(n_done, n_lost, found["n_double"], tuple(differences))


def killed_everywhere(kind: str, data: Path, folder: Path, *, step: int) -> Iterator[list[str]]:
    """Yield, for every `step`-th write until there are no more, the final differences.

    Writes are commits of the database, and files.
    """
    of = _plan(kind, data)
    whole = Case(folder / "whole", data, ())
    assert _train(of, whole) == 0
    expected, number = whole.described(), 0
    while True:
        case = Case(folder / str(number), data, ())
        code = _train(of, case, kill_at=number)
        if code == 0:
            return
        assert code == -signal.SIGKILL
        stored = case.inodes()
        assert _train(of, case) == 0
        found = case.described()
        differences = [name for name in expected if found[name] != expected[name]]
        if any(case.inodes()[name] != inode for name, inode in stored.items()):
            differences.append("trained again")
        yield differences
        number += step


def _plan(kind: str, data: Path) -> Plan:
    settings = Settings(data=data, set=_SMALL, study="s", repeats=2, lanes=2, metric="accuracy")
    if kind == "grid":
        return plan_grid(["batch_size"], replace(settings, values={"batch_size": "16,32"}))
    settings = replace(settings, repeats=1, trials=7, finalists=2, final_repeats=2)
    return plan_search(["learning_rate", "dropout"], settings)


def _train(of: Plan, case: Case, *, kill_at: int = -1) -> int:
    """Train in a copy of this process, killed at the start of write number `kill_at`.

    Returns:
        Its exit code, or the negative signal number.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        sessions.open_stack = lambda *_args, **_options: ClockedStack()  # type: ignore[assignment]
        case.folder.mkdir(parents=True, exist_ok=True)
        os.environ["HPO_RUNS"] = str(case.folder / "runs")
        _kill_at(kill_at)
        with open_session(replace(of, settings=replace(of.settings, storage=case.url))) as session:
            for _ in training_events(session):
                pass
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _kill_at(number: int) -> None:
    """Let this process be killed at a write."""
    numbers = iter(range(1_000_000))

    def write(*_: object) -> None:
        if next(numbers) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def first(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: object, **options: object) -> Any:
            write()
            return function(*arguments, **options)

        return wrapped

    sqlalchemy.event.listen(Engine, "commit", write)
    for place, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
        setattr(place, name, first(getattr(place, name)))
