"""`python -m benchmarks.chaos`: disturb studies by force, and write benchmarks/results/chaos.json.

Finished parts are kept in the working folder: the same command continues after interruptions.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna

from benchmarks import pace
from benchmarks.kills import disturb, killed_everywhere
from benchmarks.machine import describe_machine
from tests.chaos.studies import GRID, SEARCH, Case
from tests.conftest import make_xrays
from tests.postgres import programs, running

RESULT: Final = Path(__file__).parent / "results" / "chaos.json"
_COMMANDS: Final = {"grid": GRID, "search": SEARCH}
_KILLS_EACH: Final = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing parts, write the result, and return 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("chaos"))
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--step", type=int, default=1, help="kill at every n-th write")
    parser.add_argument("--trials", type=int, default=1_000, help="of a driver without training")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = asked.folder.absolute()
    data = make_xrays(folder)
    parts: dict[str, Any] = {
        "kills": list(_kills(folder, data, n=asked.kills)),
        "every_write": _points(folder, data, step=asked.step),
        "pace": _paces(folder, data, n_trials=asked.trials),
    }
    asked.out.write_text(json.dumps({"machine": describe_machine(), **parts}, indent=1) + "\n")
    for line in _broken(parts):
        print(line, file=sys.stderr)
    return int(any(_broken(parts)))


def _kills(folder: Path, data: Path, *, n: int) -> Iterator[dict[str, Any]]:
    """Disturb studies until this many processes have been killed."""
    n_done = number = 0
    while n_done < n:
        kind = ("grid", "search")[number % 2]
        name = f"kills/{kind}-{number}"
        work = _disturbed(folder, name, Case(folder / name, data, _COMMANDS[kind]))
        found = _once(folder / f"{name}.json", work)
        yield {"kind": kind} | found
        n_done, number = n_done + found["n_kills"], number + 1


def _disturbed(folder: Path, name: str, case: Case) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        whole = Case(folder / "kills" / f"whole-{case.command[0]}", case.data, case.command)
        whole.finish()  # Trained once; the same command again trains nothing.
        seed = int(name.rpartition("-")[2])
        found = disturb(case, whole.described(), n_kills=_KILLS_EACH, seed=seed)
        print(f"{name}: {found}", file=sys.stderr, flush=True)
        return found.to_document()

    return work


def _points(folder: Path, data: Path, *, step: int) -> dict[str, Any]:
    def of(kind: str) -> dict[str, Any]:
        found = list(killed_everywhere(kind, data, folder / "writes" / kind, step=step))
        print(f"{kind}: killed at {len(found)} writes", file=sys.stderr, flush=True)
        return {"step": step, "n_writes": len(found), "n_unequal": sum(map(bool, found))}

    return {
        kind: _once(folder / "writes" / f"{kind}.json", lambda kind=kind: of(kind))
        for kind in _COMMANDS
    }


def _paces(folder: Path, data: Path, *, n_trials: int) -> dict[str, Any]:
    """Run a driver over trials that cost nothing, and Optuna over a tenth of them."""
    folder = folder / "pace"
    folder.mkdir(parents=True, exist_ok=True)

    def both(storage: str, url: Callable[[str], str]) -> dict[str, Any]:
        os.environ["HPO_RUNS"] = str(folder / storage / "runs")
        ours = pace.of_hpo(url("ours"), data, n_trials=n_trials)
        plain = pace.of_optuna(url("plain"), n_trials=n_trials // 10)
        print(f"{storage}: {ours}\noptuna: {plain}", file=sys.stderr, flush=True)
        return {"hpo": ours.to_document(), "optuna": plain.to_document()}

    found = {"sqlite": _once(folder / "sqlite.json", lambda: both("sqlite", _sqlite(folder)))}
    if there := programs():
        with _postgres(there) as url:
            work = lambda: both("postgresql", url)  # noqa: E731 (beside the other one)
            found["postgresql"] = _once(folder / "postgresql.json", work)
    return found


def _sqlite(folder: Path) -> Callable[[str], str]:
    return lambda name: f"sqlite:///{folder}/{name}.db"


@contextmanager
def _postgres(there: Path) -> Iterator[Callable[[str], str]]:
    with running(there) as server:
        yield lambda _name: server.new_database()


def _once(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return an earlier result, or compute and store it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(work()))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _broken(parts: dict[str, Any]) -> Iterator[str]:
    for found in parts["kills"]:
        if found["n_lost"] or found["n_double"] or not found["is_equal"]:
            yield f"a promise is broken: {found}"
    for kind, found in parts["every_write"].items():
        if found["n_unequal"]:
            yield f"{kind}: {found['n_unequal']} of {found['n_writes']} are not equal"


if __name__ == "__main__":
    sys.exit(main())
