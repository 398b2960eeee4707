"""--ray: trainings on a cluster give the same results as here, even if processes are killed."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import DeviceError
from hpo.storage.paths import runs_folder
from hpo.training import machine
from hpo.training.device import Device
from tests.conftest import SMALL, Hpo
from tests.processes import Command, assert_error, children, start, wait_for
from tests.training.test_pool import BASE
from tests.training.together import Job, add, assert_bitwise_equal, make_data, train_alone

needs_ray = pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed")

# Ray keeps sockets and processes open until the process ends.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

TOKEN = "a token of this test" * 3
NODE = {"num_cpus": 1, "include_dashboard": False}
CPU = Device("cpu", "fp32")
EXAMPLE = Path(__file__).parents[1] / "examples" / "cnn.py"
GRID = ("grid", "--param", "epochs", "--values", "2,4", *SMALL[:4], "--set", "scheduler=none")
SEARCH = ("search", "--trials", "3", "--param", "learning_rate", *SMALL, "--finalists", "0")
OWN = ("grid", "depth=1,2", "--model", f"{EXAMPLE}:cnn", *SMALL[:2], "--epochs", "1")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two nodes with one core each, only on 127.0.0.1 and with a token."""
    if not find_spec("ray"):
        pytest.skip("Ray is not installed")
    settings = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        nodes = Cluster(initialize_head=True, head_node_args=NODE)
        nodes.add_node(**NODE)
        yield nodes
        nodes.shutdown()


def runs_in(folder: Path) -> dict[str, Any]:
    """Return the runs of a folder, without what depends on time and place."""
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for run in found.values():
        del run["seconds"], run["versions"]
    return found


@pytest.mark.parametrize("command", [SEARCH, OWN], ids=["search", "custom model"])
def test_a_study_is_the_same_on_a_cluster(
    cluster: Any, hpo: Hpo, xrays: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    found = {}
    for name, where in (("here", ()), ("ray", ("--lanes", "8", "--ray", cluster.address))):
        storage = f"sqlite:///{tmp_path}/{name}/hpo.db"
        repeats = () if command == SEARCH else ("--repeats", "2")
        answer = hpo(*command, *repeats, "--data", xrays, "--storage", storage, *where)
        assert answer.code == 0, answer.err
        found[name] = runs_in(runs_folder(storage))
    assert "Ray: training in 2 actors on 2 nodes." in answer.err
    assert found["ray"]
    assert found["ray"] == found["here"]


def test_lost_trainings_are_repeated_and_new_nodes_are_used(cluster: Any) -> None:
    from hpo.training.ray_cluster import Cluster

    data = make_data(100, 80)
    jobs = [Job(BASE.replace(epochs=12), seed=seed) for seed in range(4)]
    kills = {
        5: lambda: kill_actor(here),
        20: lambda: cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False),
        30: lambda: cluster.add_node(**NODE),
    }
    seen: list[tuple[int, int]] = []
    with Cluster(cluster.address) as here, closing(here.open_stack(data, CPU)) as stack:
        lanes, news, is_joined = [add(stack, job) for job in jobs], [], False
        while stack.lanes:
            seen += [(done.lane, done.epoch) for done in stack.step()]
            for least in [n for n in kills if n <= len(seen)]:
                kills.pop(least)()
            if workers := here.news():
                news.append(workers)
            are_used = all(actor.lanes for actor in here.members)
            is_joined |= not kills and news[-1].n_nodes == 2 and are_used
            while len(stack.lanes) < 3 and not is_joined:
                time.sleep(1)  # Trainings added while a node starts are compared as well.
                jobs.append(Job(BASE.replace(epochs=12), seed=len(jobs)))
                lanes.append(add(stack, jobs[-1]))
        results = [stack.result(lane) for lane in lanes]
    assert not kills
    assert sorted(seen) == [(lane, epoch) for lane in lanes for epoch in range(1, 13)]
    for job, result in zip(jobs, results, strict=True):
        assert_bitwise_equal(result, train_alone(data, job, CPU))
    assert sum(workers.n_lost for workers in news) >= 2
    assert {1, 2} <= {workers.n_nodes for workers in news}


def kill_actor(here: Any) -> None:
    """Kill the process of an actor that trains."""
    import ray

    handle = here.members[-1].handle
    os.kill(ray.get(handle.__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)


def test_nodes_with_other_versions_or_another_model_file_are_refused(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpo.training import ray_cluster

    data, needed = replace(make_data(100, 80), code=f"{EXAMPLE}:cnn"), ray_cluster.needed
    others = {"torch": "1.0", "python": "2.7", "cnn.py:cnn": "0123"}
    monkeypatch.setattr(ray_cluster, "needed", lambda code: needed(code) | others)
    says = r"torch .*, not 1\.0; python .*, not 2\.7; cnn\.py:cnn .*, not 0123\.\n.*not 0123\."
    with (
        ray_cluster.Cluster(cluster.address) as here,
        pytest.raises(DeviceError, match=says),
    ):
        here.open_stack(data, CPU)


def test_processors_of_another_kind_are_refused_or_recorded(
    cluster: Any, hpo: Hpo, xrays: Path, tmp_path: Path
) -> None:
    command = ("grid", "batch_size=8,16", *SMALL, "--data", xrays, "--study", "mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "processor", lambda: "Another")
        assert hpo(*command, "--repeats", "1").code == 0
    command = (*command, "--repeats", "2", "--ray", cluster.address)
    refused, here = hpo(*command), machine.processor()
    assert refused.code == 1
    assert refused.err.count(f"has the processor {here}, not Another.") == 2
    assert "--mixed-processors allows" in " ".join(refused.err.split())
    assert hpo(*command, "--mixed-processors").code == 0
    runs = [json.loads(path.read_text()) for path in (tmp_path / "studies/runs").glob("*.json")]
    assert sorted(run["versions"]["processor"] for run in runs) == sorted(2 * ["Another", here])
    shown = " ".join(hpo("show", "mine").out.split())
    assert f"Trained on processors that round differently: Another, {here}." in shown


def test_a_killed_driver_is_resumed_to_the_same_study(
    cluster: Any, hpo: Hpo, xrays: Path, tmp_path: Path
) -> None:
    command = (*GRID, "--repeats", "2", "--data", str(xrays), "--study", "mine")
    command = tuple(word.replace("2,4", "60,120") for word in command)
    storage = ("--storage", f"sqlite:///{tmp_path}/ray/hpo.db")
    child = start(tmp_path / "ray", Command((*command, *storage, "--ray", cluster.address)))
    wait_for(lambda: list((tmp_path / "ray" / "runs").glob("*.json")))
    child.kill()
    answer = hpo("resume", "mine", *storage, "--ray", cluster.address, "--lanes", "8")
    assert answer.code == 0, answer.err
    assert hpo(*command, "--storage", f"sqlite:///{tmp_path}/here/hpo.db").code == 0
    assert runs_in(tmp_path / "ray" / "runs") == runs_in(tmp_path / "here" / "runs")


@pytest.mark.usefixtures("cluster")
def test_a_lost_head_node_ends_the_command_with_how_to_resume(xrays: Path, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args=NODE)
    command, address = (*GRID, "--data", str(xrays), "--study", "mine"), nodes.address
    command = tuple(word.replace("2,4", "100,9000") for word in command)
    child = start(tmp_path, Command((*command, "--ray", address)))
    wait_for(lambda: child.poll() or list((tmp_path / "studies" / "runs").glob("*.json")))
    nodes.head_node.kill_gcs_server()
    answer = child.answer()
    nodes.shutdown()
    assert_error(
        answer, f"No Ray cluster answers at {address}", f"hpo resume mine --ray {address}"
    )


def test_a_dry_run_uses_the_cores_of_the_cluster(
    cluster: Any, hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "n_cores", lambda: 1)
    monkeypatch.delenv("HPO_LANES")
    command = ("grid", "batch_size=8,16", *SMALL, "--repeats", "9", "--data", xrays, "--dry-run")
    here, there = (hpo(*command, "--json", *on) for on in ((), ("--ray", cluster.address)))
    assert there.json["n_lanes"] == 2 * here.json["n_lanes"]


@needs_ray
def test_an_automatic_cluster_listens_on_loopback_and_ends_with_ctrl_c(
    xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("ss") is None:
        pytest.skip("ss is not installed: it says where a process listens")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    command = (*GRID, "--data", str(xrays), "--ray", "auto")
    command = tuple(word.replace("2,4", "2000,4000") for word in command)
    child = start(tmp_path, Command(command))
    started = "Ray: training in"
    wait_for(lambda: child.poll() or (child.err.exists() and started in child.err.read_text()))
    family = descendants(child.pid)
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    places = {
        line.split()[3]
        for line in listening.splitlines()
        if {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & set(family)
    }
    child.send_signal(signal.SIGINT)
    answer = child.answer()
    assert answer.code == 130, answer.err
    assert len(places) >= 4
    assert all("127.0.0.1" in place for place in places), places
    assert answer.err.count("\n") <= 8, answer.err
    assert "To continue: hpo resume" in answer.err
    wait_for(lambda: not [pid for pid in family if Path(f"/proc/{pid}").exists()])


def descendants(pid: int) -> list[int]:
    found = children(pid)
    return [pid, *(below for child in found for below in descendants(child))]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ray", "somewhere"), "--ray must be auto or the HOST:PORT of a Ray cluster"),
        (("--mixed-processors",), "needs --ray"),
        (("--ray", "auto", "--device", "cuda:1"), "Use --device cuda"),
    ],
)
def test_contradictory_ray_options_are_refused(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    answer = hpo("grid", "--param", "batch_size", *options)
    assert answer.code == 2
    assert says in " ".join(answer.err.split())


def test_a_missing_ray_extra_is_named(hpo: Hpo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    answer = hpo("grid", "--param", "batch_size", "--ray", "auto")
    assert answer.code == 2
    assert "pip install '.[ray]'" in answer.err


@needs_ray
def test_an_unreachable_cluster_gives_one_message(hpo: Hpo) -> None:
    answer = hpo("grid", "--param", "batch_size", "--ray", "127.0.0.1:9")
    assert answer.code == 1
    assert "No Ray cluster answers at 127.0.0.1:9: Connection refused" in answer.err
