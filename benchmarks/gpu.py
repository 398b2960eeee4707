"""The benchmark of a GPU in one run: first correctness, then speed.

    python -m benchmarks.gpu --data PATH [--json FILE] [--device cpu --image-size 32 --rounds 1]

The checks: the tests marked `gpu`; a stack of mixed lanes against each lane alone, bit for bit,
and against the reference implementation, in every precision; whole commands, twice with the same
numbers; too little memory, which shrinks the stack. Then an epoch of each contender at two widths,
the lanes that fit into memory, whole commands, and the time to the first epoch. A part that fails
or finds no time is recorded, and the others continue. With `--device cpu` it is a rehearsal whose
figures are meaningless.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from benchmarks.contenders import Setting, now
from benchmarks.machine import REAL_DATA, ROOT, describe_machine
from benchmarks.stack import measure_epochs
from hpo.config import TrainingConfig
from hpo.data.dataset import seal
from hpo.data.source import open_data
from hpo.training.device import Device, Precision, choose
from hpo.training.machine import lane_bytes
from hpo.training.stack import open_stack
from tests.training import oracle
from tests.training.together import Job, assert_bitwise_equal, train_alone, train_together

RESULTS = Path(__file__).parent / "results" / "gpu.json"
WIDTHS = (64, 512)
# Milliseconds per epoch and lane on an H200, and seconds of whole commands.
TARGETS = {
    "width 64, stack of 8": 1.5,
    "width 64, stack of 1": 2.2,
    "width 512, stack of 8": 11.5,
    "search": 60.0,
    "grid": 15.0,
    "first epoch": 8.0,
}
# How far the training loss of an epoch may be from float64, as a share of it.
TOLERANCES: Mapping[Precision, float] = {"fp64": 1e-6, "fp32": 2e-3, "bf16": 5e-2}
_COPY_BYTES = 1 << 30
_PROCESS_BYTES = 600_000_000
# Lanes of three cohorts: they differ in layers, loss, optimizer, batch size and every number.
_MIXED: Sequence[Mapping[str, Any]] = (
    {},
    {"optimizer": "sgd", "learning_rate": 0.03, "augment_pose": 0.1, "augment_flip": True},
    {"dropout": [0.1, 0.2, 0.3], "weight_decay": 0.01, "scheduler": "cosine"},
    {"hidden": [512, 64], "activation": "gelu", "loss": "focal", "optimizer": "adamw"},
    {"batch_size": 128, "normalize": "image", "optimizer": "rmsprop", "learning_rate": 1e-4},
)
_FIRST_EPOCH = """
import sys
from pathlib import Path
from hpo.config import TrainingConfig
from hpo.data.dataset import seal
from hpo.data.source import open_data
from hpo.training import stack
from hpo.training.device import choose
data = seal(open_data(Path(sys.argv[1])))
stack = stack.open_stack(data, device=choose(sys.argv[2]))
stack.add(TrainingConfig(image_size=int(sys.argv[3]), hidden=(64, 64, 64)), seed=0, fold=0)
stack.step()
"""
# hpo with this many bytes: of the GPU or, in a rehearsal, of each process.
_SMALL_MEMORY = """
import sys
n_bytes = int(sys.argv.pop(1))
if "cpu" in sys.argv:
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))
else:
    import torch
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(n_bytes / total, 0)
from hpo.cli import main
main()
"""

_Part: TypeAlias = tuple[str, Callable[..., Any], tuple[object, ...]]


class _TimeIsUp(BaseException):
    """The time of the whole run is over."""


def main() -> None:
    """Check, measure part by part, and write after each."""
    asked = _parser().parse_args()
    if not asked.data.exists():
        sys.exit(f"Skipped: there are no images at {asked.data}; give a folder with --data.")
    signal.signal(signal.SIGALRM, _end)
    signal.alarm(int(60 * asked.minutes))
    with tempfile.TemporaryDirectory() as folder:
        # Images are resized once, by the first part that needs them.
        os.environ["HPO_CACHE"] = str(Path(folder) / "cache")
        setting = _setting(asked)
        found: dict[str, Any] = {"machine": _describe(setting.device), "targets": TARGETS}
        found["failed"] = []
        for name, part, arguments in _parts(setting, asked, Path(folder)):
            start = time.perf_counter()
            is_over = False
            try:
                found[name] = part(*arguments)
            except (Exception, _TimeIsUp) as error:
                is_over = isinstance(error, _TimeIsUp)
                found[name] = {"error": f"{type(error).__name__}: {error}"[-2000:]}
                found["failed"].append(name)
            print(f"{name}, {time.perf_counter() - start:.1f} s: {json.dumps(found[name])[:300]}")
            found["shares of the copy rate"] = _shares(found, setting)
            asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            if is_over:
                break
    sys.exit(f"Failed: {', '.join(found['failed'])}." if found["failed"] else 0)


def _end(*_: object) -> None:
    raise _TimeIsUp


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--grid", default="5,30", help="repeats and epochs of the grid")
    parser.add_argument("--trials", type=int, default=50, help="of the search")
    parser.add_argument("--minutes", type=float, default=8, help="after which the run ends")
    return parser


def _setting(asked: argparse.Namespace) -> Setting:
    repeats, epochs = (int(number) for number in asked.grid.split(","))
    return Setting(
        path=asked.data.resolve(),
        data=seal(open_data(asked.data)),
        device=choose(asked.device),
        config=TrainingConfig(
            hidden=(64, 64, 64),
            dropout=0.5,
            image_size=asked.image_size,
            # No training ends while it is timed.
            epochs=10_000,
        ),
        rounds=asked.rounds,
        lanes=(),
        grid=(repeats, epochs),
    )


def _describe(device: Device) -> dict[str, Any]:
    found = describe_machine() | {"device": device.name, "precision": device.precision}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device.torch)
        found |= {"gpu": properties.name, "gpu_bytes": properties.total_memory}
        found |= {"cuda": torch.version.cuda, "driver": _driver()}
    return found


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()


def _parts(setting: Setting, asked: argparse.Namespace, folder: Path) -> list[_Part]:
    """Return the parts in order: checks, then figures; the longest one last."""
    grid = ("grid", "--param", "batch_size", "--repeats", str(setting.grid[0]), "--epochs")
    few = ("--trials", "4", "--finalists", "2", "--final-repeats", "2", "--epochs", "2")
    places = [replace(setting.device, precision=precision) for precision in TOLERANCES]
    return [
        ("tests marked gpu", _run_tests, (setting.device,)),
        *(
            (
                f"a lane alone is the lane in a stack, {place.precision}",
                _check_alone,
                (setting, place),
            )
            for place in places
        ),
        *(
            (f"a lane is the oracle's, {place.precision}", _check_oracle, (setting, place))
            for place in places
        ),
        ("the same numbers twice", _check_twice, (setting, folder, *grid, "2")),
        ("a search of 4 trials, seconds", _seconds, (setting, folder, "search", *few)),
        ("too little memory shrinks the stack", _check_memory, (setting, folder)),
        ("copy, bytes per second", _copy_rate, (setting.device,)),
        *((f"width {width}", _epochs, (setting, width)) for width in WIDTHS),
        ("first epoch, seconds", _first_epoch, (setting,)),
        ("grid, seconds", _seconds, (setting, folder, *grid, str(setting.grid[1]))),
        ("search, seconds", _seconds, (setting, folder, "search", "--trials", str(asked.trials))),
    ]


def _run_tests(device: Device) -> str:
    """Run the tests that need a GPU; if there is one, none may be skipped."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/training"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or (device.type == "cuda" and "skipped" in done.stdout):
        raise RuntimeError(done.stdout)
    return done.stdout.strip().splitlines()[-1]


def _check_alone(setting: Setting, place: Device) -> str:
    """Compare every number of a stack of mixed lanes with those of each lane alone."""
    jobs = _mixed(setting, setting.config.image_size)
    with closing(open_stack(setting.data, device=place)) as stack:
        together = train_together(stack, jobs)
    for found, job in zip(together, jobs, strict=True):
        assert_bitwise_equal(found, train_alone(setting.data, job, place))
    return f"{len(jobs)} lanes, equal to the last bit"


def _check_oracle(setting: Setting, place: Device) -> dict[str, float]:
    """Return the distance of losses and probabilities after an epoch from the reference."""
    jobs = _mixed(setting, min(64, setting.config.image_size), epochs=1)
    with closing(open_stack(setting.data, device=place)) as stack:
        together = train_together(stack, jobs)
    distances = dict.fromkeys(("train_loss", "mean_probability"), 0.0)
    for found, job in zip(together, jobs, strict=True):
        expected = oracle.train(job.config, setting.data, seed=job.seed, fold=job.fold)
        loss = abs(found.run.epochs[0].train["loss"] / expected.run.epochs[0].train["loss"] - 1)
        both = (one.run.validation_probabilities for one in (found, expected))
        apart = np.abs(np.subtract(*both)).mean()
        for name, distance in zip(distances, (loss, float(apart)), strict=True):
            distances[name] = max(distances[name], distance)
    # Probabilities are not compared: rounding changes them much if an epoch learned little.
    if not distances["train_loss"] <= TOLERANCES[place.precision]:
        raise RuntimeError(f"{distances} is above {TOLERANCES[place.precision]}")
    return distances


def _mixed(setting: Setting, image_size: int, epochs: int = 2) -> list[Job]:
    base = setting.config.replace(image_size=image_size, epochs=epochs)
    return [
        Job(base.replace(**fields), seed=number, fold=number)
        for number, fields in enumerate(_MIXED)
    ]


def _check_twice(setting: Setting, folder: Path, *arguments: str) -> str:
    """Run a command in two independent processes, and compare all scores."""
    first, second = (_hpo(setting, folder, *arguments) for _ in range(2))
    if first.scores != second.scores:
        raise RuntimeError(f"{first.scores} is not {second.scores}")
    return f"{len(first.scores)} trainings, equal to the last bit"


def _check_memory(setting: Setting, folder: Path) -> str:
    """Give eight wide lanes memory for about five: fewer must reach the same scores."""
    if setting.device.type == "cpu":  # Lanes as large as Python and torch.
        setting = replace(setting, config=setting.config.replace(image_size=128))
    config = setting.config.replace(hidden=(512, 64))
    grid = ("grid", "--param", "batch_size", "--values", "64,128", "--repeats", "4")
    grid += ("--epochs", "1", "--set", "hidden=512-64", "--lanes", "8")
    n_bytes = int(5.5 * lane_bytes(config))
    if setting.device.type == "cpu":  # Of each process.
        n_bytes = n_bytes // setting.n_cores + _PROCESS_BYTES
    expected = _hpo(setting, folder, *grid)
    found = _hpo(setting, folder, *grid, script=_SMALL_MEMORY, first=[str(n_bytes)])
    if "Too little memory" not in found.said:
        raise RuntimeError(f"{n_bytes:,} bytes were enough: {found.said}")
    if found.scores != expected.scores:
        raise RuntimeError(f"{found.scores} is not {expected.scores}")
    return f"{n_bytes / 1e9:.1f} GB: {found.said.strip().splitlines()[-1]}"


def _copy_rate(device: Device) -> float:
    """Return the bytes that the device reads and writes per second when copying."""
    here = torch.zeros(_COPY_BYTES, dtype=torch.uint8, device=device.torch)
    there = torch.empty_like(here)
    rates = []
    for _ in range(10):
        start = now(device)
        there.copy_(here)
        rates.append(2 * _COPY_BYTES / (now(device) - start))
    return max(rates)


def _epochs(setting: Setting, width: int) -> dict[str, Any]:
    return measure_epochs(replace(setting, config=setting.config.replace(hidden=(width,) * 3)))


def _shares(found: dict[str, Any], setting: Setting) -> dict[str, float]:
    """Return the share of the copy rate of each stack: weights and moments, in and out."""
    rate, shares = found.get("copy, bytes per second"), {}
    n_train, size = len(setting.data.fold(0).train), setting.config.batch_size
    for width in WIDTHS:
        n_bytes = 24 * width * setting.config.image_size**2 * -(-n_train // size)
        for name, contender in found.get(f"width {width}", {}).get("contenders", {}).items():
            if name.startswith("stack of") and rate:
                seconds = contender["median"] / 1000
                shares[f"width {width}, {name}"] = round(n_bytes / seconds / rate, 3)
    return shares


def _first_epoch(setting: Setting) -> float:
    """Time a process to its first epoch."""
    arguments = [setting.path, setting.device.name, setting.config.image_size]
    start = time.perf_counter()
    _run([sys.executable, "-c", _FIRST_EPOCH, *map(str, arguments)], ROOT)
    return round(time.perf_counter() - start, 2)


@dataclass(frozen=True)
class _Done:
    """A finished command: its seconds, its scores, and its other output."""

    seconds: float
    scores: list[float | None]
    said: str


def _seconds(setting: Setting, folder: Path, *arguments: str) -> float:
    return _hpo(setting, folder, *arguments).seconds


def _hpo(
    setting: Setting,
    folder: Path,
    *arguments: str,
    script: str = "from hpo.cli import main; main()",
    first: Sequence[str] = (),
) -> _Done:
    """Run a command in its own folder, with the image size of the setting."""
    home = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-c", script, *first, *arguments, "--json"]
    command += ["--data", str(setting.path), "--device", setting.device.name]
    command += ["--set", f"image_size={setting.config.image_size}"]
    command += ["--storage", f"sqlite:///{home}/hpo.db"]
    start = time.perf_counter()
    done = _run(command, home)
    seconds = round(time.perf_counter() - start, 2)
    repeats = [r for c in json.loads(done.stdout)["configurations"] for r in c["repeats"]]
    return _Done(seconds, [repeat["score"] for repeat in repeats], done.stderr)


def _run(command: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    surroundings = os.environ | {"HPO_RUNS": f"{home}/runs", "PYTHONPATH": paths}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=home, env=surroundings
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr}")
    return done


if __name__ == "__main__":
    main()
