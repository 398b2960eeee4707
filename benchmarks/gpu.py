"""Everything that is to be known of a GPU, in one run.

    python -m benchmarks.gpu --data PATH [--json FILE] [--device cpu --image-size 32]

First the check that a lane of a stack is what it is alone. Then an epoch of each contender at two
widths, beside what the memory allows; whole commands; and how long it takes from the start of a
process to its first epoch. What was measured is written after each part. With `--device cpu` it is
a rehearsal that measures nothing of worth.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import Setting, now
from benchmarks.machine import REAL_DATA, ROOT, describe_machine
from benchmarks.stack import check, measure_epochs
from hpo.config import TrainingConfig
from hpo.data import open_data, seal
from hpo.training.device import Device, choose

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
_COPY_BYTES = 1 << 30
_FIRST_EPOCH = (
    "import sys\n"
    "from pathlib import Path\n"
    "from hpo.config import TrainingConfig\n"
    "from hpo.data import open_data, seal\n"
    "from hpo.training import stack\n"
    "from hpo.training.device import choose\n"
    "data = seal(open_data(Path(sys.argv[1])))\n"
    "stack = stack.open_stack(data, device=choose(sys.argv[2]))\n"
    "config = TrainingConfig(image_size=int(sys.argv[3]), hidden=(64, 64, 64), dropout=0.5)\n"
    "stack.add(config, seed=0, fold=0)\n"
    "stack.step()\n"
)


def main() -> None:
    """Check, measure part by part, and write after each."""
    asked = _parser().parse_args()
    if not asked.data.exists():
        sys.exit(f"Skipped: there are no images at {asked.data}; give a folder with --data.")
    setting = _setting(asked)
    found: dict[str, Any] = {"machine": _describe(setting.device), "targets": TARGETS}
    parts: dict[str, Callable[[], Any]] = {
        "a lane alone is the lane in a stack": lambda: _check(setting),
        "copy, bytes per second": lambda: _copy_rate(setting.device),
    }
    for width in WIDTHS:
        wide = replace(setting, config=setting.config.replace(hidden=(width,) * 3))
        parts[f"width {width}"] = lambda wide=wide: measure_epochs(wide)
    parts["first epoch, seconds"] = lambda: _first_epoch(setting)
    parts["grid, seconds"] = lambda: _command(setting, "grid", asked.trials)
    parts["search, seconds"] = lambda: _command(setting, "search", asked.trials)
    for name, measure in parts.items():
        found[name] = measure()
        print(f"{name}: {json.dumps(found[name])[:300]}", flush=True)
        found["shares"] = _shares(found, setting)
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--trials", type=int, default=50, help="of the search")
    return parser


def _setting(asked: argparse.Namespace) -> Setting:
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
        lanes=(1, 8),
        grid=(5, 30),
    )


def _describe(device: Device) -> dict[str, Any]:
    found = describe_machine() | {"device": device.name, "precision": device.precision}
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device.torch)
        found |= {"gpu": name, "cuda": torch.version.cuda}
    return found


def _check(setting: Setting) -> bool:
    """End unless lanes are the same alone."""
    check(setting)
    return True


def _copy_rate(device: Device) -> float:
    """Return the bytes that the device reads and writes in a second as it copies."""
    here = torch.zeros(_COPY_BYTES, dtype=torch.uint8, device=device.torch)
    there = torch.empty_like(here)
    rates = []
    for _ in range(10):
        start = now(device)
        there.copy_(here)
        rates.append(2 * _COPY_BYTES / (now(device) - start))
    return max(rates)


def _shares(found: dict[str, Any], setting: Setting) -> dict[str, float]:
    """Return what share of the copy rate each stack reaches: weights and moments, in and out."""
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
    with tempfile.TemporaryDirectory() as folder:
        size = str(setting.config.image_size)
        arguments = [str(setting.path), setting.device.name, size]
        return _timed([sys.executable, "-c", _FIRST_EPOCH, *arguments], folder)


def _command(setting: Setting, kind: str, n_trials: int) -> float:
    repeats, epochs = setting.grid
    options = {
        "grid": ["--param", "batch_size", "--repeats", str(repeats), "--epochs", str(epochs)],
        "search": ["--trials", str(n_trials)],
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hpo", kind, *options[kind], "--quiet"]
        command += ["--data", str(setting.path), "--device", setting.device.name]
        command += ["--storage", f"sqlite:///{folder}/hpo.db"]
        return _timed(command, folder)


def _timed(command: list[str], folder: str) -> float:
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, env=os.environ | {"PYTHONPATH": paths})
    return round(time.perf_counter() - start, 2)


if __name__ == "__main__":
    main()
