"""This machine, read without torch: its cores, its memory and the best number of lanes.

A container may allow less than the machine has. On Linux, control groups set limits, and every
group around this process applies. In version 2 a group is one folder, in version 1 there is one
per controller. A file that is missing or contains no number sets no limit.
"""

import importlib.metadata
import importlib.util
import math
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final

from hpo.choices import Optimizer
from hpo.config import TrainingConfig
from hpo.errors import UsageError, either

PRECISIONS: Final = ("auto", "bf16", "fp32")

# Seconds on a CPU with bf16 instructions, all cores busy (benchmarks/cost.py).
_SECONDS: Final[Mapping[str, float]] = {
    "pass over a first weight": 1.3e-9,
    "product of a first weight": 0.029e-9,
    "step": 0.6e-3,
    "layer of a step": 0.8e-3,
    "changed pixel": 7e-9,
    "changed image": 20e-6,
}

# Beyond these a stack gains little (benchmarks/results/stack.json).
_LANES_PER_CORE: Final = 4
_LANES_OF_GPU: Final = 8
_FEWEST_OF_SEARCH: Final = 4

# The number of tensors of the size of the weights that each optimizer keeps between steps.
_N_MOMENTS: Final[Mapping[Optimizer, int]] = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}

# Memory of a custom model's layers per pixel of a batch, forward and backward.
_NUMBERS_OF_PIXEL: Final = 200

_PROC: Final = Path("/proc")
_GROUPS: Final = Path("/sys/fs/cgroup")

# For versions 2 and 1: the limit, the used memory, and the file cache in it.
_MEMORY_FILES: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def check_names(device: str, precision: str) -> None:
    """Check only the syntax; `hpo.training.device.choose` checks that the device exists."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"--device must be auto, cpu, cuda or cuda:N, but got {device!r}.")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision must be {either(PRECISIONS)}, but got {precision!r}.")


def check_ray(address: str, *, source: str = "--ray") -> None:
    """Check the address of a Ray cluster, and that Ray is installed."""
    if address not in ("auto", "local") and not re.fullmatch(r"[^\s:/]+:\d+|\[\S+\]:\d+", address):
        raise UsageError(
            f"{source} must be auto or the HOST:PORT of a Ray cluster, but got {address[:80]!r}."
        )
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--ray needs Ray. In the checkout of hpo: pip install '.[ray]'")


def processor() -> str:
    """Return the name of the processor, or of its architecture if unknown."""
    match = re.search(r"^model name\s*: *(.+)$", _read(_PROC / "cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the processor and versions, which affect rounding, without importing libraries."""
    names = {"hpo": "hpo-toolkit", **{n: n for n in ("torch", "optuna", "numpy", "scikit-learn")}}
    by_name = {"python": platform.python_version()}
    for name, distribution in names.items():
        try:
            by_name[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            by_name[name] = "unknown"
    return by_name | {"processor": processor()}


def n_cores() -> int:
    """Return the number of cores for this process; a container may allow fewer than it shows.

    The system assigns the cores: processes that chose the first ones would share them.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Not on macOS.
    n_seen = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return math.ceil(min([n_seen, *map(_quota, _groups("cpu"))]))


def available_bytes(device: str = "cpu") -> int:
    """Return the memory of a device that can be used without displacing anything else."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return int(min([_host_bytes(), *map(_group_bytes, _groups("memory"))]))


def epoch_cost(config: TrainingConfig, *, n_train: int) -> float:
    """Return roughly the seconds of an epoch: for comparing only, not for forecasting."""
    return sum(_SECONDS[part] * n for part, n in parts(config, n_train=n_train).items())


def parts(config: TrainingConfig, *, n_train: int) -> dict[str, int]:
    """Return the parts of an epoch, and the number of each."""
    # The layers of a custom model are unknown: assume one of 1,000 units.
    widths = (1_000,) if config.model else config.hidden
    n_weights = config.image_size**2 * widths[0]
    n_steps = -(-n_train // config.batch_size)
    n_changed = n_train if config.is_warped else 0
    return {
        "pass over a first weight": n_weights * n_steps,
        "product of a first weight": n_weights * n_train,
        "step": n_steps,
        "layer of a step": n_steps * len(widths),
        "changed pixel": n_changed * config.image_size**2,
        "changed image": n_changed,
    }


def lanes_per_worker(device: str) -> int:
    """Return the best number of trainings for a core, or a GPU."""
    return _LANES_OF_GPU if device.startswith("cuda") else _LANES_PER_CORE


def choose_lanes(kind: str, device: str, configs: Iterable[TrainingConfig]) -> int:
    """Return the number of parallel trainings: the measured best, as far as memory allows.

    `configs` are those that may run together, as far as known. No result depends on the number,
    because the proposals of a search depend on its window instead.
    """
    configs = list(configs)
    best = lanes_per_worker(device) * (1 if device.startswith("cuda") else n_cores())
    if kind == "search":
        best = max(n_cores(), _FEWEST_OF_SEARCH)
    if any(config.model for config in configs):  # They train sequentially in a process.
        best = n_cores()
    largest = max(map(lane_bytes, configs), default=1)
    return max(1, min(best, available_bytes(device) // 2 // largest))


def lane_bytes(config: TrainingConfig, *, factor_bytes: int = 2) -> int:
    """Return the approximate memory of a lane: weights, average, moments and a batch.

    `factor_bytes` is the size of one factor of the first product.
    """
    if config.model:
        return _NUMBERS_OF_PIXEL * 4 * config.batch_size * config.image_size**2
    n_copies = 2 + _N_MOMENTS[config.optimizer] + (2 if config.early_stopping else 0)
    # A batch is uint8 and converted; augmentation adds float images and a grid.
    is_changed = config.is_warped or config.augment_exposure > 0
    batch = config.batch_size * config.image_size**2 * (24 if is_changed else factor_bytes)
    return 4 * n_copies * n_weights(config) + batch


def n_weights(config: TrainingConfig) -> int:
    """Return the number of weights and biases of the Linear layers."""
    widths = (config.image_size**2, *config.hidden, config.n_outputs)
    return sum((n + 1) * m for n, m in pairwise(widths))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folder of each control group around this process; some may not exist."""
    for line in _read(_PROC / "self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        home = _GROUPS / controller if controllers else _GROUPS
        group = PurePosixPath(path.lstrip("/"))
        yield from (home / inside for inside in (group, *group.parents))


def _quota(group: Path) -> float:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    texts = _read(group / "cpu.max").split() or [_read(group / name) for name in names]
    quota, period, *_ = (*map(_number, texts), math.inf, math.inf)
    return quota / period if quota and 0 < period < math.inf else math.inf


def _group_bytes(group: Path) -> float:
    """Return how much more memory a group allows; the system drops the file cache first."""
    available, statistics = [math.inf], _read(group / "memory.stat")
    for limit, used, cache in _MEMORY_FILES:
        maximum, in_use = _number(_read(group / limit)), _number(_read(group / used))
        if in_use < math.inf:
            cached = re.search(rf"^{cache} (\d+)$", statistics, re.MULTILINE)
            available.append(maximum - in_use + (int(cached[1]) if cached else 0))
    return max(0.0, min(available))


def _host_bytes() -> int:
    if match := re.search(r"^MemAvailable: *(\d+) kB", _read(_PROC / "meminfo"), re.MULTILINE):
        return int(match[1]) * 1024
    # Not Linux: half of all memory, or enough for the trainings of the reports.
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _number(text: str) -> float:
    return float(text) if text.isdecimal() else math.inf
