"""One epoch of report A's base: the readable engine with one thread against the reports' loop.

    python -m tests.benchmarks.epoch --data PATH --json FILE

An epoch is all training steps and one pass over the validation images. The contenders take turns,
so that whatever else the machine does meets them all; ratios are taken pair by pair. The reports'
loop has all cores; it is timed with one thread as well, because on a busy machine two threads that
wait for each other take many times as long, which would flatter the engine. The clock covers
neither loading the data nor the first epoch of each.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hpo.config import TrainingConfig
from hpo.data import TrainingData, open_data, seal
from hpo.training import lane as lanes
from hpo.training.device import choose, one_thread
from hpo.training.lane import Lane, open_lane
from hpo.training.lane_data import Images
from hpo.training.reference import run_epoch
from hpo.training.timing import seconds_per_epoch
from tests.benchmarks.machine import REAL_DATA, describe_machine, spread
from tests.benchmarks.report_loop import open_report_loop, run_report_epoch

TARGET = 0.8
CONFIG = TrainingConfig(hidden=(64, 64, 64), dropout=0.5, batch_size=32, epochs=100)

# What a step calls, by the name under which the lane's module knows it.
PARTS = {
    "gather and augment pixels": "batch_pixels",
    "first product": "multiply",
    "first layer's gradient": "collect_gradient",
    "dropout masks": "_keep_masks",
}


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    if not arguments.data.exists():
        sys.exit(f"Skipped: there are no images at {arguments.data}; give a folder with --data.")
    result = measure(seal(open_data(arguments.data)), arguments.repeats)
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def measure(data: TrainingData, repeats: int) -> dict[str, Any]:
    """Time both loops in turn; return seconds, ratios, and where the engine's time goes."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    machine, device = describe_machine(), choose("cpu")
    lane = _open_lane(data)
    engine_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loop = open_report_loop(data, CONFIG)
    ours: list[float] = []
    theirs: list[float] = []
    theirs_alone: list[float] = []
    for _ in range(repeats + 1):
        theirs.append(_seconds(lambda: run_report_epoch(loop)))
        with one_thread():
            ours.append(_seconds(lambda: run_epoch(lane)))
            theirs_alone.append(_seconds(lambda: run_report_epoch(loop)))
    ratio = spread(_ratios(ours, theirs))
    return {
        "what": "seconds for one epoch of report A's base at 256 x 256, training and validation",
        "machine": machine,
        "load_average_after": [round(load, 2) for load in os.getloadavg()],
        "precision": device.precision,
        "n_train": len(data.fold(0).train),
        "n_validation": len(data.fold(0).validation),
        "report_loop": spread(theirs[1:]) | {"n_threads": torch.get_num_threads()},
        "report_loop_alone": spread(theirs_alone[1:]) | {"n_threads": 1},
        "engine": spread(ours[1:]) | {"n_threads": 1},
        "ratio": ratio,
        "ratio_to_one_thread": spread(_ratios(ours, theirs_alone)),
        "target": TARGET,
        "is_reached": ratio["median"] <= TARGET,
        "forecast": round(seconds_per_epoch(data, CONFIG, device=device), 4),
        "engine_shares": _shares(lane),
        "engine_peak_megabytes": engine_memory // 1024,
    }


def _open_lane(data: TrainingData) -> Lane:
    device = choose("cpu")
    with one_thread():
        lane = open_lane(CONFIG, Images(data, device).place(CONFIG, 0), seed=0, device=device)
        run_epoch(lane)
    return lane


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Divide pair by pair, without the first epochs, which warm up."""
    return [our / their for our, their in zip(ours[1:], theirs[1:], strict=True)]


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _shares(lane: Lane) -> dict[str, float]:
    """Return the share of an epoch that each part takes, over five epochs."""
    spent: dict[str, float] = {}
    with one_thread(), _timed_parts(spent), _timed_update(lane, spent):
        training = sum(_seconds(lambda: lanes.train_epoch(lane, 0)) for _ in range(5))
        reading = sum(
            _seconds(lambda: lanes.read_losses(lane, lane.data.validation)) for _ in range(5)
        )
    rest = training - sum(spent.values())
    spent |= {"validation": reading, "other layers, loss, their backward pass": rest}
    return {name: round(seconds / (training + reading), 3) for name, seconds in spent.items()}


@contextmanager
def _timed_parts(spent: dict[str, float]) -> Iterator[None]:
    originals = {function: getattr(lanes, function) for function in PARTS.values()}
    for name, function in PARTS.items():
        setattr(lanes, function, _timed(originals[function], name, spent))
    try:
        yield
    finally:
        for function, original in originals.items():
            setattr(lanes, function, original)


@contextmanager
def _timed_update(lane: Lane, spent: dict[str, float]) -> Iterator[None]:
    step = lane.optimizer.step
    lane.optimizer.step = _timed(step, "update", spent)  # type: ignore[method-assign]
    try:
        yield
    finally:
        lane.optimizer.step = step  # type: ignore[method-assign]


def _timed(function: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        value = function(*arguments, **named)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
        return value

    return timed


if __name__ == "__main__":
    main()
