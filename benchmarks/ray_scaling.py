"""The number of actors that one command keeps busy: `python -m benchmarks.ray_scaling`.

Ray, its object store, the training loop, the database and the run store are real. An actor sleeps
as long as trainings of the reports' size take (30 epochs of 0.58 s, stack.json; each 0.7 to 1.3
times as long) and returns weights of their size. Eight processes, started before the command,
answer for all actors, because 64 idle processes alone take 0.6 of a core, which on a cluster would
be cores of other machines; `--processes 0` starts a process for each actor. For each number of
actors, ten trainings each: their time divided by the number of actors, as a share of the time from
the first actor's work to the last result, and of the time in which actors existed. Also measured
are the processor seconds of the command per training, in its loop (asking, distributing,
reporting, finishing, storing) and in total, with Ray's own, and the seconds for which the command
waited for a processor that others used.
"""

import argparse
import functools
import itertools
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from types import SimpleNamespace
from typing import Any, Final

from benchmarks.machine import describe_machine
from benchmarks.sleeper import EPOCH_S, Sleeper, pace
from hpo.run.loop import TrialDone
from hpo.run.plan import Settings, plan_grid
from hpo.run.session import open_session, training_events
from hpo.training.engine import Workers
from tests.conftest import make_xrays

RESULT: Final = Path(__file__).parent / "results" / "ray_scaling.json"
EPOCHS: Final = 30


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_scaling", description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--each", type=int, default=10, help="trainings of each actor")
    parser.add_argument("--processes", type=int, default=8, help="that answer for the actors")
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    os.environ |= {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "of this benchmark alone" * 2,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # On 127.0.0.1.
        "RAY_worker_register_timeout_seconds": "900",
        "RAY_raylet_start_wait_time_s": "300",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_worker_maximum_startup_concurrency": "4",  # On each node.
    }
    from hpo.training import ray_cluster
    from hpo.training.device import Device

    # What an actor is sent must not let it load torch.
    Device.__reduce__ = lambda device: (str, (device.name,))  # type: ignore[method-assign]
    changed = {"Worker": Sleeper, "needed": lambda _: {}, "_read": None, "_STARTING_S": 1800.0}
    for name, value in changed.items():
        setattr(ray_cluster, name, value)
    rows = []
    for n in asked.actors:
        rows.append(measure(n, asked.each, asked.processes))
        print(rows[-1], flush=True)
        result = {"what": __doc__, "machine": describe_machine(), "rows": rows}
        asked.result.write_text(json.dumps(result, indent=1) + "\n")


class Host:
    """A process that answers for several actors, in a thread for each."""

    def __init__(self) -> None:
        self.sleepers = defaultdict[int, Sleeper](Sleeper)
        self.turns = defaultdict[int, Lock](Lock)

    def answer(self, actor: int, *arguments: Any) -> Any:
        """Answer for one of them."""
        with self.turns[actor]:
            return self.sleepers[actor].answer(*arguments)


class Hosted:
    """Starts actors in `hosts` instead of in processes of their own; a handle of one of them."""

    def __init__(self, hosts: Sequence[Any], number: int = 0) -> None:
        self.hosts, self.numbers = hosts, itertools.count()
        answer = hosts[number % len(hosts)].answer
        self.answer = SimpleNamespace(remote=lambda *asked: answer.remote(number, *asked))

    def options(self, **_: object) -> "Hosted":
        """Return itself: the place does not matter."""
        return self

    def remote(self, *_: object, **__: object) -> "Hosted":
        """Return the handle of a new actor."""
        return Hosted(self.hosts, next(self.numbers))


def hosting(n_processes: int) -> Callable[..., Any]:
    """Return a `ray.remote` whose actors are answered for by this many processes."""
    import ray

    @functools.cache
    def hosts() -> Hosted:
        start = ray.remote(num_cpus=0, max_concurrency=100)(Host).remote
        started = [start() for _ in range(n_processes)]
        ray.get([host.answer.remote(0, "facts") for host in started])
        return Hosted(started)

    def remote(**options: Any) -> Callable[[Any], Any]:
        return lambda target: hosts() if target is Sleeper else ray.remote(**options)(target)

    return remote


def measure(n_actors: int, each: int, n_processes: int) -> dict[str, Any]:
    """Train a grid on a cluster of two nodes with this many actors."""
    import ray
    from ray.cluster_utils import Cluster

    from hpo.training import ray_cluster

    n = each * n_actors
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 1 << 30}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        nodes.add_node(num_cpus=n_actors // 2, object_store_memory=1 << 30)
    if n_processes:
        ray_cluster.ray = SimpleNamespace(**vars(ray) | {"remote": hosting(n_processes)})
    receive, waited = ray_cluster.Cluster.receive, [0.0]

    def timed(cluster: Any) -> Any:
        start = time.thread_time()
        try:
            return receive(cluster)
        finally:
            waited[0] += time.thread_time() - start

    ray_cluster.Cluster.receive = timed  # type: ignore[method-assign]
    with TemporaryDirectory() as name:
        settings = Settings(
            data=make_xrays(Path(name)),
            set={"image_size": 16},
            values={"dropout": ",".join(f"{i / n_actors}" for i in range(n_actors))},
            repeats=each,
            epochs=EPOCHS,
            storage=f"sqlite:///{name}/hpo.db",
            device="cpu",
            precision="fp32",
            ray=nodes.address,
        )
        n_done, n_there, since, there = 0, 0, 0.0, 0.0
        with open_session(plan_grid(["dropout"], settings)) as session:
            for event in training_events(session):
                now = time.monotonic()
                there, since = there + n_there * (now - since), now
                if isinstance(event, Workers):
                    n_there = event.n_actors
                    if not n_done:
                        waited[0] = there = 0.0
                        start = now, time.process_time(), time.thread_time(), _waited()
                if isinstance(event, TrialDone):
                    n_done += 1
                    wall, used = now - start[0], there
            cpu, loop = time.process_time() - start[1], time.thread_time() - start[2] - waited[0]
            starved = _waited() - start[3]
    nodes.shutdown()
    ray_cluster.Cluster.receive = receive  # type: ignore[method-assign]
    assert n_done == n
    slept = sum(EPOCHS * EPOCH_S * pace(number + 1) for number in range(n))
    ideal = slept / n_actors
    return {
        "n_actors": n_actors,
        "n_trainings": n,
        "seconds": round(wall, 1),
        "ideal_seconds": round(ideal, 1),
        "share_of_ideal": round(ideal / wall, 3),
        "share_of_the_actors_time": round(slept / used, 3),
        "loop_cpu_seconds_a_training": round(loop / n, 4),
        "all_cpu_seconds_a_training": round(cpu / n, 4),
        "share_of_driver": round(loop / wall, 3),
        "actors_at_3_percent": round(0.03 * (EPOCHS * EPOCH_S) / (loop / n), 1),
        "seconds_without_processor": round(starved, 1),
        "load_average": os.getloadavg()[0],
    }


def _waited() -> float:
    """Return the seconds for which this thread could have run, but others did."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


if __name__ == "__main__":
    main()
