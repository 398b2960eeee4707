"""Workers on the machines of a Ray cluster: an actor for each core or GPU of every node.

Images are in Ray's object store, once per node. New nodes get actors, and lost actors are
replaced.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpo.config import TrainingConfig
from hpo.data.dataset import Pixels, TrainingData
from hpo.errors import DeviceError, HpoError, OutOfMemoryError, fault_list
from hpo.training import machine, stress
from hpo.training.device import Device
from hpo.training.engine import TrainingResult, Workers
from hpo.training.pool import Pool, Trained, Worker, fields_of, needed
from hpo.training.ray_connection import check_answers, connected, why
from hpo.training.selfcheck import choose_checked

_POLL_S: Final = 1.0
_STARTING_S: Final = 60.0
_MOST_STARTS: Final = 3


@dataclass(eq=False)
class Actor:
    """An actor as seen by the driver; `processor` is empty until it has started.

    `replies` are pending. While one is on its way, the actor trains for the next.
    """

    handle: Any
    node: str
    address: str
    replies: deque[Any]
    most: int
    processor: str = ""
    n_bytes: int = 0
    lanes: set[int] = field(default_factory=set)

    @property
    def is_busy(self) -> bool:
        """Whether it is training, and has the next epoch to train after it."""
        return len(self.replies) > 1

    def room(self, config: TrainingConfig) -> float:
        """Return the number of lanes like this one that it has room for."""
        return max(1, min(self.most, self.n_bytes // machine.lane_bytes(config)))

    def train(self, added: Sequence[tuple[Any, ...]], lanes: Sequence[int]) -> None:
        """Start `hpo.training.pool.Worker.train` in it."""
        self.lanes = set(lanes)
        self.replies.append(self.handle.answer.remote("train", added, lanes))


class Cluster:
    """A Ray cluster at an address or, for `auto`, at RAY_ADDRESS, else one on this machine.

    It is connected on first use, and is a group of workers once its stack is open. `processors`
    are the kinds in use; another kind is refused, or added if `is_mixed`.
    """

    data: TrainingData
    joins: bool
    goes_ahead = True

    def __init__(self, address: str, *, is_mixed: bool = False) -> None:
        self.address, self.is_mixed = address, is_mixed
        self.processors: list[str] = []
        self._is_connected = False
        self._closing = contextlib.ExitStack()
        self._places: dict[int, list[Any]] = {}
        self._actors: list[Actor] = []
        self._failed_starts = Counter[str]()
        self._refused: dict[str, str] = {}
        self._notes: list[str] = []
        self._n_lost, self._is_changed, self._grown_at = 0, False, 0.0

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; end it if it was started here."""
        self.close()
        self._closing.close()
        self._is_connected = False

    def choose(self, name: str, precision: str) -> Device:
        """Resolve device and precision on a node, like `hpo.training.selfcheck.choose_checked`.

        Raises:
            DeviceError: the cluster has no such device, or cannot run hpo.
        """
        if name == "auto":
            name = "cuda" if self.n_slots("cuda") else "cpu"
        self.n_slots(name, least=1)
        pending = ray.remote(**_resources(name))(choose_checked).remote(name, precision)
        try:
            return ray.get(pending)  # type: ignore[no-any-return]
        except RayTaskError as error:
            own = error.cause if isinstance(error.cause, HpoError) else None
            message = f"A node of the Ray cluster cannot run hpo: {why(error)}"
            raise own or DeviceError(message) from None

    def nodes(self, device: str) -> dict[str, tuple[str, int]]:
        """Return the address of each live node, and the number of actors it has room for."""
        if not self._is_connected:
            self._closing.enter_context(connected(self.address))
            self._is_connected = True
        # If the head or the node of this machine is lost, Ray would end this process.
        context, resource = ray.get_runtime_context(), "CPU" if device == "cpu" else "GPU"
        check_answers(context.gcs_address)
        all_nodes = ray.nodes()
        own = next(node for node in all_nodes if node["NodeID"] == context.get_node_id())
        node = f"{own['NodeManagerAddress']}:{own['NodeManagerPort']}"
        check_answers(context.gcs_address, node=node)
        return {
            node["NodeID"]: (node["NodeManagerAddress"], int(node["Resources"][resource]))
            for node in all_nodes
            if node["Alive"] and node["Resources"].get(resource, 0) >= 1
        }

    def n_slots(self, device: str, *, least: int = 0) -> int:
        """Return the number of actors that fit on the cluster; DeviceError if below `least`."""
        n = sum(n for _, n in self.nodes(device).values())
        if n < least:
            kind, option = ("core", "cpus") if device == "cpu" else ("GPU", "gpus")
            raise DeviceError(
                f"No node of the Ray cluster offers a {kind}. Start one with `ray start "
                f"--num-{option}=N`, or choose another --device."
            )
        return n

    def open_stack(self, data: TrainingData, device: Device, *, joins: bool = False) -> Pool:
        """Open the engine on every node; `joins` as in `hpo.training.stack.open_stack`.

        Cores in use by others may start later, without delaying this call.

        Raises:
            DeviceError: some nodes would compute different results.
        """
        self.n_slots(device.name, least=1)
        self.data, self.joins, self._device = data, joins, device
        self._needed, self._shared = needed(data.code), ray.put(fields_of(data))
        self._most = machine.lanes_per_worker(device.name)
        self._is_changed, deadline = True, time.monotonic() + _STARTING_S
        self._grow()
        while len(self.members) < len(self._actors) and time.monotonic() < deadline:
            self.receive()
        if self._refused:
            raise DeviceError(
                fault_list(
                    "The nodes of the Ray cluster cannot train together. Every node needs the "
                    "same versions as this process; --mixed-processors allows processors that "
                    "round differently.",
                    list(self._refused.values()),
                )
            )
        return Pool(self)

    @property
    def members(self) -> list[Actor]:
        """The actors that have started."""
        return [actor for actor in self._actors if actor.processor]

    def news(self) -> Workers | None:
        """Return the workers, and the trainings lost since the last call; None if unchanged."""
        if not self._is_changed:
            return None
        members = self.members
        waits = [] if members else ["Waiting until the cluster has a free core or GPU."]
        news = Workers(
            n_actors=len(members),
            n_nodes=len({actor.node for actor in members}),
            n_lanes=max(1, len(members) * self._most),
            processors=tuple(self.processors),
            n_lost=self._n_lost,
            notes=(*self._notes, *waits),
        )
        self._n_lost, self._notes, self._is_changed = 0, [], False
        return news

    def share(self, image_size: int) -> list[Any]:
        """Put the images of a size into the object store, once; return their references."""
        if image_size not in self._places:
            images = [self.data.pixels_at(image_size)]
            if self.data.is_stressed:
                images.append(stress.changed_pixels(self.data, image_size))
            self._places[image_size] = [ray.put(pixels) for pixels in images]
        return self._places[image_size]

    def receive(self) -> list[Trained]:
        """Wait at most a second for the actors that finish first."""
        if time.monotonic() >= self._grown_at + _POLL_S:
            self._grow()
        pending = {actor.replies[0]: actor for actor in self._actors if actor.replies}
        if not pending:
            time.sleep(_POLL_S)
            return []
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=_POLL_S)
        if ready:
            ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
        answers = [self._take(pending[reply]) for reply in ready]
        return [trained for trained in answers if trained]

    def close(self) -> None:
        for actor in self._actors:
            _kill(actor)
        self._actors.clear()
        self._places.clear()

    def _grow(self) -> None:
        """Start an actor in every free place of the cluster."""
        self._grown_at = time.monotonic()
        remote = ray.remote(**_resources(self._device.name))(Worker)
        n_actors = Counter(actor.node for actor in self._actors)
        for node, (address, n) in self.nodes(self._device.name).items():
            for _ in range(0 if node in self._refused else n - n_actors[node]):
                on_node = NodeAffinitySchedulingStrategy(node, soft=False)
                handle = remote.options(scheduling_strategy=on_node).remote(
                    self._shared,
                    self._device,
                    joins=self.joins,
                    read=_read,
                    reads_stressed=self.data.is_stressed,
                )
                facts = deque([handle.answer.remote("facts")])
                self._actors.append(Actor(handle, node, address, facts, self._most))

    def _take(self, actor: Actor) -> Trained | None:
        """Process the answer of an actor; a lost one, or one out of memory, ends."""
        if actor not in self._actors:  # Its node was refused a moment ago.
            return None
        try:
            answer = ray.get(actor.replies.popleft())
        except RayError as error:
            answer = error
        if not actor.processor:
            self._admit(actor, answer)
        elif isinstance(answer, RayError):
            self._end(actor)
        elif isinstance(answer, OutOfMemoryError):
            if len(actor.lanes) == 1:  # Fewer lanes would not help.
                raise DeviceError(str(answer))
            self._most = len(actor.lanes) // 2  # For its replacement.
            self._end(actor)
        elif isinstance(answer, Exception):
            raise answer
        else:
            epochs, results = answer
            actor.lanes -= results.keys()
            for number, result in results.items():
                if isinstance(result, TrainingResult):
                    versions = result.run.versions | {"processor": actor.processor}
                    run = replace(result.run, versions=versions)
                    results[number] = result._replace(run=run)
            return epochs, results
        return None

    def _admit(self, actor: Actor, answer: Any) -> None:
        """Use an actor, unless it would compute different results."""
        if isinstance(answer, Exception):
            self._end(actor)
            self._failed_starts[actor.node] += 1
            if self._failed_starts[actor.node] == _MOST_STARTS:
                self._refuse(actor, f"cannot run hpo: {why(answer)}")
            return
        facts, processor, n_bytes = answer
        different = [
            f"{name} {facts.get(name)}, not {needed_fact}"
            for name, needed_fact in self._needed.items()
            if facts.get(name) != needed_fact
        ]
        if self.processors and processor not in self.processors and not self.is_mixed:
            different.append(f"the processor {processor}, not {self.processors[0]}")
        if different:
            self._refuse(actor, f"has {'; '.join(different)}.")
            return
        if processor not in self.processors:
            self.processors.append(processor)
        n_on_node = sum(other.node == actor.node for other in self._actors)
        actor.processor, actor.n_bytes = processor, n_bytes // 2 // n_on_node
        self._is_changed = True

    def _refuse(self, actor: Actor, why: str) -> None:
        """Stop using a node, with a note if it still exists."""
        for other in [other for other in self._actors if other.node == actor.node]:
            self._end(other)
        if actor.node in self.nodes(self._device.name):
            self._refused[actor.node] = f"The node {actor.address} {why}"
            self._notes.append(f"{self._refused[actor.node]} It is not used.")

    def _end(self, actor: Actor) -> None:
        """End an actor; its trainings are lost."""
        self._actors.remove(actor)
        self._n_lost += len(actor.lanes)
        self._is_changed = True
        _kill(actor)


def _read(_size: int, place: Sequence[Any]) -> list[Pixels]:
    images: list[Pixels] = ray.get(list(place))
    return images


def _kill(actor: Actor) -> None:
    with contextlib.suppress(RayError, ValueError):
        ray.kill(actor.handle)


def _resources(device: str) -> dict[str, int]:
    return {"num_cpus": 1} if device == "cpu" else {"num_cpus": 0, "num_gpus": 1}
