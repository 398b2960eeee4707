"""The machine, and the limits of a container: control groups 2 and 1, and files of nonsense."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.config import TrainingConfig
from hpo.training import machine

V2 = {"proc/self/cgroup": "0::/pod/container\n"}
V1 = {
    "proc/self/cgroup": "12:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n"
}
GIGABYTE = 1 << 30
SMALL = TrainingConfig(image_size=16, hidden=(8,))

Put = Callable[[dict[str, str]], None]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Let the files of the system be these, on a machine of eight cores and 16 GB."""
    monkeypatch.setattr(machine, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def put(files: dict[str, str]) -> None:
        memory = {"proc/meminfo": f"MemTotal: 9 kB\nMemAvailable: {16 << 20} kB\n"}
        for name, text in (memory | files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return put


def quota_v1(folder: str, quota: str, period: str) -> dict[str, str]:
    return V1 | {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (V2 | {"pod/container/cpu.max": "150000 100000\n"}, 2),
        (V2 | {"pod/container/cpu.max": "max 100000\n", "pod/cpu.max": "50000 100000"}, 1),
        (V2 | {"cpu.max": "300000 100000"}, 3),
        (quota_v1("cpu/docker/1", "300000", "100000"), 3),
        # The mount of a container begins at its own group, though it knows its path outside.
        (quota_v1("cpu", "50000", "50000"), 1),
        ({}, 8),
        ({"proc/self/cgroup": "rubbish\n:\n\n"}, 8),
        *((V2 | {"cpu.max": text}, 8) for text in ("", "0 100000", "100000 0", "two cores")),
    ],
)
def test_no_more_cores_are_used_than_a_container_may_take(
    put: Put, files: dict[str, str], expected: int
) -> None:
    put(files)
    assert machine.n_cores() == expected
    assert machine.choose_lanes("grid", "cpu", [SMALL]) == 4 * expected


def memory(limit: str, used: str, cache: str) -> dict[str, str]:
    return V2 | {
        "pod/container/memory.max": limit,
        "pod/container/memory.current": used,
        "pod/container/memory.stat": f"anon 5\ninactive_file {cache}\nactive_file 7\n",
    }


MEMORY_V1 = V1 | {
    "memory/memory.limit_in_bytes": "4000",
    "memory/memory.usage_in_bytes": "3000",
    "memory/memory.stat": "inactive_file 3\ntotal_inactive_file 500\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (memory("4000", "3000", "500"), 1500),
        (memory("max", "3000", "500"), math.inf),
        (memory("4000", "3000", "lots"), 1000),
        (memory("4000", "3000", "0") | {"pod/memory.max": "9", "pod/memory.current": "8"}, 1),
        (MEMORY_V1, 1500),
        (memory(str(64 * GIGABYTE), str(3 * GIGABYTE), "0"), math.inf),
    ],
)
def test_memory_is_what_container_and_machine_both_have(
    put: Put, files: dict[str, str], expected: float
) -> None:
    put(files)
    assert machine.available_bytes() == min(expected, 16 * GIGABYTE)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"proc/cpuinfo": "model name\t: AMD EPYC: a\nmodel name\t: B\n"}, "AMD EPYC: a"),
        ({"proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 50\n"}, "of the platform"),
        ({}, "of the platform"),
    ],
)
def test_the_processor_has_a_name(
    put: Put, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], name: str
) -> None:
    put(files)
    monkeypatch.setattr("platform.processor", lambda: "of the platform")
    assert machine.processor() == name
