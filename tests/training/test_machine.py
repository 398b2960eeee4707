"""Cores, memory and processor of the machine, within the limits of a container."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.config import TrainingConfig
from hpo.training import machine

V2 = {"proc/self/cgroup": "0::/pod/container\n"}
GIGABYTE = 1 << 30
SMALL = TrainingConfig(image_size=16, hidden=(8,))

Put = Callable[[dict[str, str]], None]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Replace the files of the system, on a machine of eight cores and 16 GB."""
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


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (V2 | {"pod/container/cpu.max": "150000 100000\n"}, 2),
        (V2 | {"pod/container/cpu.max": "max 100000\n", "pod/cpu.max": "50000 100000"}, 1),
        ({}, 8),
        ({"proc/self/cgroup": "rubbish\n:\n\n"}, 8),
        *((V2 | {"cpu.max": text}, 8) for text in ("100000 0", "two cores")),
    ],
)
def test_cores_are_limited_by_containers(put: Put, files: dict[str, str], expected: int) -> None:
    put(files)
    assert machine.n_cores() == expected
    assert machine.choose_lanes("grid", "cpu", [SMALL]) == 4 * expected


def memory(limit: str, used: str, cache: str) -> dict[str, str]:
    return V2 | {
        "pod/container/memory.max": limit,
        "pod/container/memory.current": used,
        "pod/container/memory.stat": f"anon 5\ninactive_file {cache}\nactive_file 7\n",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (memory("4000", "3000", "500"), 1500),
        (memory("max", "3000", "500"), math.inf),
        (memory("4000", "3000", "0") | {"pod/memory.max": "9", "pod/memory.current": "8"}, 1),
    ],
)
def test_memory_is_limited_by_container_and_machine(
    put: Put, files: dict[str, str], expected: float
) -> None:
    put(files)
    assert machine.available_bytes() == min(expected, 16 * GIGABYTE)


def test_the_name_of_the_processor_is_found(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.processor", lambda: "of the platform")
    assert machine.processor() == "of the platform"
    put({"proc/cpuinfo": "model name\t: AMD EPYC: a\nmodel name\t: B\n"})
    assert machine.processor() == "AMD EPYC: a"
