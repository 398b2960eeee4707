"""What a container leaves to this process: limits of control groups, where Linux has any.

A group's limit holds for the groups inside it too, so that all around this process are asked. In
version 2 a group is one folder, in version 1 one for each controller. What is absent, or no
number, is no limit.
"""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")

# Of version 2 and 1: the limit, what is used of it, and which of that is cache of files.
_MEMORY: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def n_cores() -> float:
    """Return the time of how many cores this process may take; infinity without a limit."""
    return min(map(_n_cores, _folders("cpu")), default=math.inf)


def free_bytes() -> float:
    """Return how much more memory this process may take; infinity without a limit.

    The cache of files counts as free: the system drops it first.
    """
    return min(map(_free_bytes, _folders("memory")), default=math.inf)


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folder of each group around this process; some may not be there."""
    for line in _text(_OWN).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        home = _ROOT / controller if controllers else _ROOT
        group = PurePosixPath(path.lstrip("/"))
        yield from (home / inside for inside in (group, *group.parents))


def _n_cores(folder: Path) -> float:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    texts = _text(folder / "cpu.max").split() or [_text(folder / name) for name in names]
    quota, period, *_ = (*map(_number, texts), math.inf, math.inf)
    return quota / period if quota and 0 < period < math.inf else math.inf


def _free_bytes(folder: Path) -> float:
    frees = []
    for limit, used, cache in _MEMORY:
        most, taken = _number(_text(folder / limit)), _number(_text(folder / used))
        if most < math.inf and taken < math.inf:
            frees.append(most - taken + _of_statistics(folder, cache))
    return max(0.0, min(frees, default=math.inf))


def _of_statistics(folder: Path, name: str) -> float:
    for line in _text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == name and (found := _number(value)) < math.inf:
            return found
    return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _number(text: str) -> float:
    return float(text) if text.isdecimal() else math.inf
