"""The processor, and how many of its cores this process may use."""

import math
import os
import platform
from pathlib import Path
from typing import Final

from hpo import cgroups

_CPUINFO: Final = Path("/proc/cpuinfo")


def processor() -> str:
    """Return the name of the processor, that of its architecture where no other is known."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def available() -> set[int]:
    """Return the cores that this process may use; by their count where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def n_usable() -> int:
    """Return how many cores this process can keep busy: a container may allow less than it shows.

    Which ones is left to the system: containers that took the first few would share them.
    """
    return math.ceil(min(len(available()), cgroups.n_cores()))
