"""What an epoch of a configuration costs beside another's, and how many lanes to train at once."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from hpo import cgroups, cores
from hpo.config import TrainingConfig

# Seconds on a CPU with bf16 instructions, all cores at work (benchmarks/cost.py).
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

_MEMINFO: Final = Path("/proc/meminfo")


def epoch_cost(config: TrainingConfig, *, n_train: int) -> float:
    """Return about the seconds of an epoch: good for comparing, not for forecasting."""
    return sum(_SECONDS[part] * n for part, n in parts(config, n_train=n_train).items())


def parts(config: TrainingConfig, *, n_train: int) -> dict[str, int]:
    """Return of what an epoch consists, and how many of each."""
    n_weights = config.image_size**2 * config.hidden[0]
    n_steps = -(-n_train // config.batch_size)
    n_changed = n_train if config.is_warped else 0
    return {
        "pass over a first weight": n_weights * n_steps,
        "product of a first weight": n_weights * n_train,
        "step": n_steps,
        "layer of a step": n_steps * len(config.hidden),
        "changed pixel": n_changed * config.image_size**2,
        "changed image": n_changed,
    }


def choose_lanes(kind: str, device: str, configs: Iterable[TrainingConfig]) -> int:
    """Return how many trainings to do at once: the measured best, as far as memory allows.

    `configs` are those that may go on together, as far as they are known. No number depends on
    it: the course of a search follows from its window.
    """
    best = _LANES_OF_GPU if device.startswith("cuda") else _LANES_PER_CORE * cores.n_usable()
    if kind == "search":
        best = max(cores.n_usable(), _FEWEST_OF_SEARCH)
    largest = max(map(lane_bytes, configs), default=1)
    return max(1, min(best, available_bytes(device) // 2 // largest))


def lane_bytes(config: TrainingConfig) -> int:
    """Return about the memory that a lane takes beside others: weights, moments, a batch."""
    n_pixels = config.image_size**2
    n_copies = 4 if config.early_stopping else 3
    n_warped = 24 if config.is_warped or config.augment_exposure else 2
    weights = 4 * n_copies * n_pixels * config.hidden[0]
    return weights + n_warped * n_pixels * config.batch_size


def available_bytes(device: str = "cpu") -> int:
    """Return the memory of a device that may be used without pushing out anything else."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return int(min(_host_bytes(), cgroups.free_bytes()))


def _host_bytes() -> int:
    """Return the memory of this machine that may be used, whatever the container allows."""
    try:
        for line in _MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError):
        pass
    # No Linux: half of all there is, or, where nobody tells, enough for the reports' trainings.
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30
