"""`python -m benchmarks.ray_kills`: random kill -9 on a Ray cluster; writes ray_kills.json.

A head and two more nodes on this machine train grids. Every few seconds an actor, a node or the
command is killed; a new node joins, or the command restarts. The results of the grids are compared
with those of the same grids trained without Ray, number for number.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import describe_machine
from tests.conftest import SMALL, make_xrays
from tests.processes import children

RESULT: Final = Path(__file__).parent / "results" / "ray_kills.json"
_NODE: Final = {"num_cpus": 1, "include_dashboard": False}
_GRID: Final = ("grid", "batch_size=8,16,32", *SMALL[:4], "--epochs", "150", "--repeats", "4")
_PAUSE_S: Final = (3.0, 12.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, compare and write; return 1 if a number differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_kills", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("chaos/ray"))
    parser.add_argument("--kills", type=int, default=30)
    asked = parser.parse_args(arguments)
    folder = asked.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "of this benchmark alone" * 2,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # On 127.0.0.1.
        "RAY_raylet_start_wait_time_s": "300",
        "HPO_CACHE": str(folder / "cache"),
    }
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=_NODE)
    for _ in range(2):
        _join(cluster)
    data, rng, kills, rounds = make_xrays(folder), random.Random(0), Counter[str](), []
    start = time.monotonic()
    while kills.total() < asked.kills:
        seed = str(10 * len(rounds))
        command = (*_GRID, "--data", str(data), "--seed", seed)
        n_before = kills.total()
        _disturb(cluster, command, folder / seed / "ray", rng, kills, most=asked.kills)
        _hpo(command, folder / seed / "here").wait()
        found, expected = (_runs(folder / seed / name) for name in ("ray", "here"))
        n_equal = sum(found.get(name) == run for name, run in expected.items())
        rounds.append(
            {
                "n_kills": kills.total() - n_before,
                "n_trainings": len(expected),
                "n_equal": n_equal,
                "n_extra": len(found.keys() - expected.keys()),
            }
        )
        print(rounds[-1], dict(kills), file=sys.stderr, flush=True)
        seconds = round(time.monotonic() - start)
        result = {"what": __doc__, "machine": describe_machine(), "seconds": seconds}
        RESULT.write_text(json.dumps(result | {"kills": kills, "rounds": rounds}, indent=1) + "\n")
    cluster.shutdown()
    return int(any(r["n_equal"] < r["n_trainings"] or r["n_extra"] for r in rounds))


def _disturb(
    cluster: Any,
    command: Sequence[str],
    folder: Path,
    rng: random.Random,
    kills: Counter[str],
    *,
    most: int,
) -> None:
    """Train a grid on the cluster to its end, with kills in the meantime."""
    command = (*command, "--ray", cluster.address)
    driver = _hpo(command, folder)
    while driver.poll() is None:
        time.sleep(rng.uniform(*_PAUSE_S))
        kind = rng.choices(("actor", "node", "driver"), (5, 4, 1))[0]
        actors = _actors(cluster)
        # A command that has not started to train is not killed: otherwise it would never start.
        if not actors or driver.poll() is not None or kills.total() >= most:
            continue
        if kind == "actor":
            os.kill(rng.choice(actors), signal.SIGKILL)
        elif kind == "node":
            node = rng.choice(sorted(cluster.worker_nodes, key=id))
            cluster.remove_node(node, allow_graceful=False)
            _join(cluster)
        else:
            driver.kill()
            driver.wait()
            driver = _hpo(command, folder)
        kills[kind] += 1
        print(f"killed: {dict(kills)}", file=sys.stderr, flush=True)
    assert driver.returncode == 0, f"exit code {driver.returncode}: see {folder}/said"


def _join(cluster: Any) -> None:
    """Add a node; on a busy machine Ray may give up before it has started."""
    for _ in range(5):
        with contextlib.suppress(Exception):
            cluster.add_node(**_NODE)
            return


def _hpo(command: Sequence[str], folder: Path) -> "subprocess.Popen[bytes]":
    """Start a command with its output in a file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    said = (folder / "said").open("ab")
    storage = ("--storage", f"sqlite:///{folder}/hpo.db")
    words = [sys.executable, "-m", "hpo", *command, *storage]
    environment = os.environ | {"HPO_RUNS": str(folder / "runs")}
    return subprocess.Popen(words, stdout=said, stderr=said, env=environment)


def _actors(cluster: Any) -> list[int]:
    """Return the processes that train."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()]
    workers = [pid for raylet in raylets for pid in children(raylet)]
    return [pid for pid in workers if b"Worker.answer" in _title(pid)]


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _runs(folder: Path) -> dict[str, Any]:
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("runs/*.json")}
    for run in found.values():
        del run["seconds"], run["versions"]
    return found


if __name__ == "__main__":
    sys.exit(main())
