"""The limits of a container: version 2 and 1 of control groups, and files that say nothing."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo import cgroups, cores
from hpo.config import TrainingConfig
from hpo.training import cost

V2 = "0::/pod/container\n"
V1 = "12:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n"
GIGABYTE = 1 << 30

Contain = Callable[..., None]


@pytest.fixture
def contain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contain:
    """Put this process into groups with these files."""
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")

    def put(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return put


@pytest.fixture
def _of_eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "available", lambda: set(range(8)))


def quota_v1(folder: str, quota: str, period: str) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (V2, {"pod/container/cpu.max": "200000 100000\n"}, 2),
        (V2, {"pod/container/cpu.max": "max 100000\n"}, math.inf),
        (V2, {"pod/container/cpu.max": "max 100000\n", "pod/cpu.max": "50000 100000"}, 0.5),
        (V2, {"cpu.max": "150000 100000"}, 1.5),
        (V2, {"other/cpu.max": "100000 100000"}, math.inf),
        (V1, quota_v1("cpu/docker/1", "300000", "100000"), 3),
        (V1, quota_v1("cpu/docker/1", "300000", ""), math.inf),
        # The mount of a container begins at its own group, though it knows its path outside.
        (V1, quota_v1("cpu", "50000", "50000"), 1),
        (V1, quota_v1("cpu", "-1", "100000"), math.inf),
        (V2, {}, math.inf),
        ("", {"cpu.max": "100000 100000"}, math.inf),
        ("rubbish\n:\n\n", {}, math.inf),
    ],
)
def test_a_container_says_how_many_cores_it_may_take(
    contain: Contain, own: str, files: dict[str, str], expected: float
) -> None:
    contain(own, files)
    assert cgroups.n_cores() == expected


@pytest.mark.parametrize(
    "text", ["", "max", "0 0", "0 100000", "100000 0", "two cores", "-5 100000", "1e5 1e5", "\x00"]
)
def test_a_quota_that_is_none_is_no_limit(contain: Contain, text: str) -> None:
    contain(V2, {"pod/container/cpu.max": text})
    assert cgroups.n_cores() == math.inf


@pytest.mark.usefixtures("_of_eight_cores")
@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000", 2), ("150000", 2), ("10000", 1), ("9900000", 8), ("max", 8)],
)
def test_no_more_cores_are_used_than_a_container_may_take(
    contain: Contain, quota: str, expected: int
) -> None:
    contain(V2, {"pod/container/cpu.max": f"{quota} 100000"})
    assert cores.n_usable() == expected
    # Which ones is left to the system.
    assert len(cores.available()) == 8
    small = TrainingConfig(image_size=16, hidden=(8,))
    assert cost.choose_lanes("grid", "cpu", [small]) == 4 * expected


def memory(limit: str, used: str, cache: str) -> dict[str, str]:
    return {
        "pod/container/memory.max": limit,
        "pod/container/memory.current": used,
        "pod/container/memory.stat": f"anon 5\ninactive_file {cache}\nactive_file 7\n",
    }


def memory_v1(limit: str, used: str, cache: str) -> dict[str, str]:
    return {
        "memory/memory.limit_in_bytes": limit,
        "memory/memory.usage_in_bytes": used,
        "memory/memory.stat": f"inactive_file 3\ntotal_inactive_file {cache}\n",
    }


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (V2, memory("4000", "3000", "500"), 1500),
        (V2, memory("4000", "5000", "500"), 0),
        (V2, memory("max", "3000", "500"), math.inf),
        (V2, memory("4000", "3000", "lots"), 1000),
        (V2, memory("4000", "", "500"), math.inf),
        (V2, memory("a lot", "3000", "500"), math.inf),
        (V2, {"memory.max": "9000", "memory.current": "8000"}, 1000),
        (V1, memory_v1("4000", "3000", "500"), 1500),
        (V1, {"memory/memory.limit_in_bytes": "4000"}, math.inf),
        ("", memory("4000", "3000", "500"), math.inf),
    ],
)
def test_a_container_says_how_much_memory_is_left(
    contain: Contain, own: str, files: dict[str, str], expected: float
) -> None:
    contain(own, files)
    assert cgroups.free_bytes() == expected


def test_the_tightest_group_around_a_process_counts(contain: Contain) -> None:
    outer = {"pod/memory.max": "9000", "pod/memory.current": "8900"}
    contain(V2, memory("4000", "3000", "0") | outer)
    assert cgroups.free_bytes() == 100


@pytest.mark.parametrize(
    ("limit", "expected"), [(4 * GIGABYTE, 1 * GIGABYTE), (64 * GIGABYTE, 16 * GIGABYTE)]
)
def test_memory_is_what_container_and_machine_both_have(
    contain: Contain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, expected: int
) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {16 << 20} kB\n")
    monkeypatch.setattr(cost, "_MEMINFO", tmp_path / "meminfo")
    contain(V2, memory(str(limit), str(3 * GIGABYTE), "0"))
    assert cost.available_bytes() == expected


def test_a_small_container_trains_fewer_at_a_time(contain: Contain) -> None:
    large = TrainingConfig(image_size=256, hidden=(512,))
    contain(V2, memory(str(GIGABYTE), "0", "0"))
    assert cost.choose_lanes("search", "cpu", [large]) == 1


def test_without_control_groups_there_is_no_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "nothing")
    assert (cgroups.n_cores(), cgroups.free_bytes()) == (math.inf, math.inf)
