"""Many trainings in parallel: the stacked engine compared with loops and ensembles.

    python -m benchmarks.stack --data PATH --json FILE

`epochs` times an epoch of training and a pass over the validation images, per training, for report
A's base. The contenders take turns, so that other load affects them all, and ratios are computed
within a round. `lanes` is the cost of a lane in stacks of 1 to 64. `grid` compares a whole command
with the reports' way to the same trainings. A measured part replaces the one in FILE for this kind
of device; the other parts stay.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from benchmarks.contenders import (
    LOOP,
    Setting,
    add_lane,
    now,
    open_contenders,
    open_loop,
    open_stack,
    take_time,
    train_epochs,
)
from benchmarks.machine import REAL_DATA, ROOT, describe_machine, spread
from benchmarks.report_loop import run_report_epoch
from hpo.config import TrainingConfig
from hpo.data.dataset import seal
from hpo.data.source import open_data
from hpo.training.device import Device, choose
from hpo.training.engine import LaneEpoch

# To the reports' loop with all cores: an epoch of the stack, and a whole grid, on two cores.
TARGETS = {"epochs": 0.40, "grid": 0.45}
BATCH_SIZES = (32, 64, 128)
SMALL = 64
LOOP_EPOCHS = 3


def main() -> None:
    """Run the parts and write their measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--parts", default="epochs,lanes,grid")
    parser.add_argument("--rounds", type=int, default=9, help="of lanes and grid a third")
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--lanes", default="1,2,4,8,16,64")
    parser.add_argument("--grid", default="5,30", help="repeats and epochs of the grid")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        sys.exit(f"Skipped: there are no images at {arguments.data}; give a folder with --data.")
    setting = _setting(arguments)
    check(setting)
    for part in arguments.parts.split(","):
        measured: dict[str, Any] = {"machine": _describe(setting.device)}
        measured |= PARTS[part](setting)
        measured["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
        if arguments.json:
            _keep(arguments.json, setting.device.type, part, measured)


def check(setting: Setting) -> None:
    """End unless lanes compute the same alone, in a stack and, on the CPU, over processes."""
    together = _told(setting, range(4))
    alone = [told for lane in range(4) for told in _told(setting, [lane])]
    if together != alone:
        sys.exit("A lane in a stack is not what it is alone: there is nothing to time.")
    if setting.device.type == "cpu" and _told(setting, range(4), n_processes=2) != together:
        sys.exit("A lane in a process is not what it is here: there is nothing to time.")


def measure_epochs(setting: Setting) -> dict[str, Any]:
    """Let all contenders train in turn; print and return the times."""
    runs: dict[str, list[float]] = {}
    contenders: dict[str, dict[str, Any]] = {}
    with open_contenders(setting) as opened:
        for _ in range(setting.rounds + 1):
            for name, contender in opened.items():
                took, accuracy = take_time(contender, setting.device)
                runs.setdefault(name, []).append(took)
                counts = {k: v for k, v in asdict(contender).items() if k.startswith("n_")}
                contenders[name] = counts | {"accuracy_after": round(accuracy, 3)}
    runs = {name: values[1:] for name, values in runs.items()}
    ours = list(runs)[-1]
    for name, values in runs.items():
        contenders[name] |= spread(values) | {
            "ratio_to_loop": spread(_ratios(values, runs[LOOP])),
            "stack_is_times_as_fast": spread(_ratios(values, runs[ours])),
        }
    _print_epochs(contenders)
    return {
        "what": "milliseconds for an epoch of one training of report A's base",
        "clock": "all steps of an epoch and a pass over the validation images; of trainings that "
        "go together the time of all, divided by their number. Loading, opening, the start of "
        "processes and the first epochs of each are not in it.",
        "image_size": setting.config.image_size,
        "n_train": len(setting.data.fold(0).train),
        "n_validation": len(setting.data.fold(0).validation),
        "contenders": contenders,
        "seconds_to_start_processes": _start_seconds(setting),
        "stack": ours,
        "ratio": contenders[ours]["ratio_to_loop"],
        **_judged("epochs", contenders[ours]["ratio_to_loop"], setting.device),
    }


def measure_lanes(setting: Setting) -> dict[str, Any]:
    """Return the cost of a lane by the number of lanes, in one process and over all cores."""
    sizes = sorted({SMALL, setting.config.image_size})
    cores = [0, setting.n_cores] if setting.device.type == "cpu" else [0]
    curves = [(size, n_processes) for size in sizes for n_processes in cores]
    runs: dict[tuple[int, int, int], list[float]] = {}
    for _ in range(_a_third(setting.rounds)):
        for size, n_processes in curves:
            for n_lanes in setting.lanes:
                took = _lane_milliseconds(setting, size, n_lanes, min(n_processes, n_lanes))
                runs.setdefault((size, n_processes, n_lanes), []).append(took)
    found = [
        {
            "image_size": size,
            "n_processes": n_processes or 1,
            "lanes": {n: spread(runs[size, n_processes, n]) for n in setting.lanes},
        }
        for size, n_processes in curves
    ]
    _print_lanes(found)
    return {
        "what": "milliseconds per lane and epoch of the stacked engine, by the number of lanes",
        "clock": "as of epochs; every stack is opened anew and trains an epoch before the clock",
        "curves": found,
    }


def measure_grid(setting: Setting) -> dict[str, Any]:
    """Time whole grids in turn with the reports' way to the same trainings."""
    repeats, epochs = setting.grid
    theirs, ours = [_reports_seconds(setting)], []
    for _ in range(_a_third(setting.rounds)):
        ours.append(_grid_seconds(setting))
        theirs.append(_reports_seconds(setting))
    around = [fmean(pair) for pair in pairwise(theirs)]
    ratio = spread(_ratios(ours, around))
    print(f"\ngrid: {median(ours):.1f} s, the reports' way {median(theirs):.1f} s, {ratio}")
    return {
        "what": f"seconds of hpo grid --param batch_size: {len(BATCH_SIZES)} values x {repeats} "
        f"repeats x {epochs} epochs",
        "clock": "the whole command from the start of its process to its end, in fresh folders; "
        "the images were resized before. The reports' way: the reports' loop with all cores, "
        f"{LOOP_EPOCHS} epochs at each batch size after one that is not timed, scaled to all "
        "epochs and repeats; loading is not in it. Each grid is compared with the mean of the "
        "measurements before and after it.",
        "image_size": setting.config.image_size,
        "grid": spread(ours),
        "reports": spread(theirs),
        "ratio": ratio,
        **_judged("grid", ratio, setting.device),
    }


PARTS = {"epochs": measure_epochs, "lanes": measure_lanes, "grid": measure_grid}


def _setting(arguments: argparse.Namespace) -> Setting:
    repeats, epochs = (int(number) for number in arguments.grid.split(","))
    return Setting(
        path=arguments.data.resolve(),
        data=seal(open_data(arguments.data)),
        device=choose(arguments.device),
        config=TrainingConfig(
            hidden=(64, 64, 64),
            dropout=0.5,
            batch_size=BATCH_SIZES[0],
            image_size=arguments.image_size,
            # No training ends while it is timed.
            epochs=10_000,
        ),
        rounds=arguments.rounds,
        lanes=tuple(int(number) for number in arguments.lanes.split(",")),
        grid=(repeats, epochs),
    )


def _describe(device: Device) -> dict[str, object]:
    gpu = {"gpu": torch.cuda.get_device_name(device.torch)} if device.type == "cuda" else {}
    return describe_machine() | gpu | {"precision": device.precision}


def _keep(path: Path, device: str, part: str, measured: dict[str, Any]) -> None:
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    document.setdefault(device, {})[part] = measured
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _told(setting: Setting, lanes: Sequence[int], n_processes: int = 0) -> list[tuple[Any, ...]]:
    """Return lane, epoch and metrics of two epochs, lane by lane."""
    config = setting.config.replace(epochs=2)
    told: list[LaneEpoch] = []
    with closing(open_stack(setting, n_processes)) as stack:
        names = {add_lane(stack, config, lane): lane for lane in lanes}
        while stack.lanes:
            told += stack.step()
    named = [(names[done.lane], done.epoch, done.metrics) for done in told]
    return sorted(named, key=lambda done: done[:2])


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def _a_third(rounds: int) -> int:
    return -(-rounds // 3)


def _judged(part: str, ratio: dict[str, Any], device: Device) -> dict[str, object]:
    """Return the target and whether it is reached; the targets are those of two cores."""
    if device.type != "cpu":
        return {}
    return {"target": TARGETS[part], "is_reached": ratio["median"] <= TARGETS[part]}


def _lane_milliseconds(setting: Setting, size: int, n_lanes: int, n_processes: int) -> float:
    config = setting.config.replace(image_size=size)
    # A few lanes are timed for several epochs: the clock runs for as long as with eight.
    n_epochs = max(1, 8 // n_lanes)
    with closing(open_stack(setting, n_processes)) as stack:
        for repeat in range(n_lanes):
            add_lane(stack, config, repeat)
        train_epochs(stack, 1)
        start = now(setting.device)
        train_epochs(stack, n_epochs)
        return 1000 * (now(setting.device) - start) / (n_epochs * n_lanes)


def _start_seconds(setting: Setting) -> float | None:
    """Return how much longer the first epoch over processes takes, from opening on."""
    if setting.device.type != "cpu":
        return None
    start = time.perf_counter()
    with closing(open_stack(setting, setting.n_cores)) as stack:
        for repeat in range(setting.n_cores):
            add_lane(stack, setting.config, repeat)
        train_epochs(stack, 1)
        first = time.perf_counter() - start
        train_epochs(stack, 1)
        return round(2 * first - (time.perf_counter() - start), 2)


def _grid_seconds(setting: Setting) -> float:
    repeats, epochs = setting.grid
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hpo", "grid", "--param", "batch_size", "--quiet"]
        command += ["--repeats", str(repeats), "--epochs", str(epochs)]
        command += ["--data", str(setting.path), "--device", setting.device.name]
        command += ["--set", f"image_size={setting.config.image_size}"]
        command += ["--storage", f"sqlite:///{folder}/hpo.db"]
        paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        surroundings = os.environ | {"HPO_RUNS": f"{folder}/runs", "PYTHONPATH": paths}
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=surroundings)
        return time.perf_counter() - start


def _reports_seconds(setting: Setting) -> float:
    """Return the seconds of the grid's trainings one after another in the reports' loop."""
    torch.set_num_threads(setting.n_cores)
    repeats, epochs = setting.grid
    total = 0.0
    for batch_size in BATCH_SIZES:
        loop = open_loop(setting, setting.config.replace(batch_size=batch_size))
        run_report_epoch(loop)
        start = now(setting.device)
        for _ in range(LOOP_EPOCHS):
            run_report_epoch(loop)
        total += (now(setting.device) - start) / LOOP_EPOCHS
    return total * epochs * repeats


def _print_epochs(contenders: dict[str, dict[str, Any]]) -> None:
    print(f"\n{'per epoch and training':40} {'ms':>8} {'low':>8} {'high':>8}  of the loop  stack")
    for name, found in contenders.items():
        bounds = f"{found['median']:8.1f} {found['low']:8.1f} {found['high']:8.1f}"
        ratio, gain = found["ratio_to_loop"], found["stack_is_times_as_fast"]
        print(f"{name:40} {bounds} {ratio['median']:12.2f} {gain['median']:6.2f}x")


def _print_lanes(curves: list[dict[str, Any]]) -> None:
    print("\nms per lane and epoch")
    for curve in curves:
        name = f"{curve['image_size']} x {curve['image_size']}, {curve['n_processes']} processes"
        costs = [f"{n}: {found['median']:.1f}" for n, found in curve["lanes"].items()]
        print(f"{name:40} {', '.join(costs)}")


if __name__ == "__main__":
    main()
