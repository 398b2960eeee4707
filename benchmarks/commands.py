"""The overhead of the commands: whole processes, a search's overhead, peak memory.

    python -m benchmarks.commands --data PATH --json FILE

Processes are timed from start to end, after one discarded run. The overhead of a search is the
share of its time spent outside the engine: asking, storing, reporting. The forecast is that of
`--dry-run` just before the same grid is trained.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import REAL_DATA, describe_machine, spread
from hpo.config import TrainingConfig
from hpo.run.plan import Settings, plan_search
from hpo.run.session import open_session, training_events
from hpo.training.engine import LaneEpoch, TrainingResult
from hpo.training.stack import StackedStack

TARGETS = {"help": 0.35, "show": 1.2, "finished grid": 3.0, "overhead": 0.03, "megabytes": 1500}

GRID = ["grid", "--param", "batch_size", "--repeats", "3", "--epochs", "10", "--quiet"]


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if not arguments.data.exists():
        sys.exit(f"Skipped: there are no images at {arguments.data}; give a folder with --data.")
    target = arguments.json and arguments.json.resolve()
    data = arguments.data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        result = measure(data, arguments.repeats)
    text = json.dumps(result, indent=2)
    print(text)
    if target:
        target.write_text(text + "\n", encoding="utf-8")


def measure(data: Path, repeats: int) -> dict[str, Any]:
    """Train a grid and a search on the data, and time the work around them."""
    grid = [*GRID, "--data", str(data)]
    forecast = json.loads(hpo([*grid, "--dry-run", "--json"]))["seconds"]
    seconds = _seconds(lambda: hpo(grid))
    finished = [_seconds(lambda: hpo(grid)) for _ in range(repeats + 1)][1:]
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    shown = [_seconds(lambda: hpo(["show"])) for _ in range(repeats + 1)][1:]
    helped = [_seconds(lambda: hpo(["--help"])) for _ in range(repeats + 1)][1:]
    return {
        "what": "seconds of whole processes, share of a search outside the engine, peak memory",
        "machine": describe_machine(),
        "targets": TARGETS,
        "hpo --help": spread(helped),
        "hpo show": spread(shown),
        "the finished grid again": spread(finished),
        "grid of 9 trainings x 10 epochs": {
            "forecast_seconds": round(forecast, 2),
            "seconds": round(seconds, 2),
            "ratio": round(seconds / forecast, 3),
            "peak_megabytes": megabytes,
        },
        "search": measure_search(data),
    }


def measure_search(data: Path) -> dict[str, Any]:
    """Run a search of 20 trials in this process; return the time inside and outside the engine.

    One lane at a time, as otherwise the engine would run in other processes.
    """
    inside: list[float] = []
    for name in ("add", "step", "result"):
        setattr(StackedStack, name, _timed(getattr(StackedStack, name), inside))
    plan = plan_search((), Settings(data=data, epochs=10, lanes=1, trials=20))
    with open_session(plan) as session:
        # The folds and the pixels are prepared once, and do not count as asking or storing.
        session.training_data.fold(0)
        session.training_data.pixels_at(TrainingConfig().image_size)
        seconds = _seconds(lambda: [None for _ in training_events(session)])
    overhead = 1 - sum(inside) / seconds
    return {
        "n_trials": 20,
        "n_epochs": 10,
        "seconds": round(seconds, 2),
        "seconds_in_the_engine": round(sum(inside), 2),
        "overhead": round(overhead, 4),
    }


def hpo(arguments: list[str]) -> str:
    """Run the command line in a separate process."""
    return subprocess.run(
        [sys.executable, "-m", "hpo", *arguments], check=True, capture_output=True, text=True
    ).stdout


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _timed(method: Callable[..., Any], inside: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> int | list[LaneEpoch] | TrainingResult:
        start = time.perf_counter()
        value = method(*arguments, **named)
        inside.append(time.perf_counter() - start)
        return value

    return timed


if __name__ == "__main__":
    main()
