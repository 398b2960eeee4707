"""Lanes on the machines of a Ray cluster: an actor for each core, or GPU, of every node.

An actor is a process with the worker of the local pool. Images are in Ray's object store, once on
each node. Nodes that join get actors. What was lost with an actor or a node is trained again, to
the same bits, and none of its epochs is returned twice.
"""

import contextlib
import math
import os
import secrets
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import ray
import torch
from ray.exceptions import AuthenticationError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpo.config import TrainingConfig
from hpo.data.dataset import Pixels, TrainingData
from hpo.errors import DeviceError, HpoError, OutOfMemoryError, TrainingError, fault_list
from hpo.training import machine, stress
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, TrainingResult, Workers, result_of
from hpo.training.images import check_fits, read_images
from hpo.training.own import check_network
from hpo.training.pool import Worker, fields_of
from hpo.training.progress import root_of
from hpo.training.selfcheck import choose_checked

_POLL_S: Final = 1.0
_STARTING_S: Final = 60.0
_MOST_STARTS: Final = 3
_MOST_LOSSES: Final = 20
_COMPARED: Final = ("hpo", "torch", "numpy", "python")


class Cluster:
    """A Ray cluster: of an address, or for `auto` that of RAY_ADDRESS, else one on this machine.

    It is connected to when something is first asked of it. `processors` are those that train;
    another kind is refused, or added to them where `is_mixed`.
    """

    def __init__(
        self, address: str, *, processors: Sequence[str] = (), is_mixed: bool = False
    ) -> None:
        self.address, self.is_mixed = address, is_mixed
        self.processors = list(processors)
        self._stack: RayStack | None = None
        self._told: Workers | None = None
        self._closing = contextlib.ExitStack()
        self._is_connected = False

    def choose(self, name: str, precision: str) -> Device:
        """Resolve device and precision as `hpo.training.selfcheck.choose_checked` does, on a node.

        Raises:
            DeviceError: the cluster has no such device, or cannot run hpo.
        """
        if name == "auto":
            name = "cuda" if self.n_slots("cuda") else "cpu"
        self.n_slots(name, least=1)
        asked = ray.remote(**_resources(name))(choose_checked).remote(name, precision)
        try:
            chosen: Device = ray.get(asked)
        except RayTaskError as error:
            if isinstance(error.cause, HpoError):
                raise error.cause from None
            raise DeviceError(f"A node of the Ray cluster cannot run hpo: {_why(error)}") from None
        return chosen

    def nodes(self, device: str) -> dict[str, tuple[str, int]]:
        """Return the address of each living node, and how many actors it has room for."""
        self._connect()
        resource = "CPU" if device == "cpu" else "GPU"
        try:
            living = [node for node in ray.nodes() if node["Alive"]]
        except (RayError, RuntimeError, ConnectionError) as error:
            raise DeviceError(
                f"The Ray cluster does not answer any more: {_why(error)} Start it again and run "
                "the same command: finished trainings are kept."
            ) from error
        found = {
            node["NodeID"]: (node["NodeManagerAddress"], int(node["Resources"].get(resource, 0)))
            for node in living
        }
        return {node: (address, n) for node, (address, n) in found.items() if n}

    def n_slots(self, device: str, *, least: int = 0) -> int:
        """Return how many actors the cluster has room for; a DeviceError if less than `least`."""
        n = sum(n for _, n in self.nodes(device).values())
        if n < least:
            what, option = ("core", "cpus") if device == "cpu" else ("GPU", "gpus")
            raise DeviceError(
                f"No node of the Ray cluster offers a {what}. Start one with `ray start "
                f"--num-{option}=N`, or choose another --device."
            )
        return n

    def n_lanes(self, device: str) -> int:
        """Return how many trainings suit the cluster."""
        return self.n_slots(device) * machine.lanes_per_worker(device)

    def open_stack(self, data: TrainingData, device: Device, *, joins: bool = False) -> "RayStack":
        """Open the engine on every node; `joins` as in `hpo.training.stack.open_stack`."""
        self.n_slots(device.name, least=1)
        self._stack = RayStack(self, data, device, joins=joins)
        return self._stack

    def news(self) -> Workers | None:
        """Return who trains, if that is not what was returned before."""
        found = self._stack.workers() if self._stack else None
        if found is None or (found == self._told and not found.n_lost):
            return None
        self._told = replace(found, n_lost=0, notes=())
        return found

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._is_connected = False
        self._closing.close()

    def _connect(self) -> None:
        if not self._is_connected:
            address = self.address
            if address == "auto":
                address = os.environ.get("RAY_ADDRESS") or "local"
                machine.check_ray(address, source="RAY_ADDRESS")
            _init(address, self._closing)
            self._is_connected = True


def _init(address: str, closing: contextlib.ExitStack) -> None:
    """Connect to a cluster, quietly; `closing` takes all of it back.

    A local one listens on 127.0.0.1 alone, and its token is in the memory of its processes.
    """
    options: dict[str, object] = {"address": address}
    closing.callback(os.environ.update, dict(os.environ))
    closing.callback(os.environ.clear)
    # Ray prints the ends of actors and nodes on standard output.
    driver = ray._private.worker
    closing.callback(setattr, driver, "print_to_stdstream", driver.print_to_stdstream)
    driver.print_to_stdstream = lambda *_, **__: None
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    if address == "local":
        options |= {"num_cpus": machine.n_cores(), "include_dashboard": False}
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ.pop("RAY_AUTH_MODE", None)  # Then Ray asks for the token.
        # As Ray does on macOS: this machine is 127.0.0.1.
        constants = ray._private.ray_constants
        os.environ[constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
        closing.callback(setattr, constants, "ENABLE_RAY_CLUSTER", constants.ENABLE_RAY_CLUSTER)
        constants.ENABLE_RAY_CLUSTER = False
    else:
        _check_answers(address)
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        # Ray adds the working folder to the module path of actors: its files may be a stranger's.
        with contextlib.chdir(os.sep):
            closing.callback(ray.shutdown)
            ray.init(**options, logging_level="CRITICAL", log_to_driver=False)
    except (AuthenticationError, ConnectionError, RuntimeError, ValueError) as error:
        raise DeviceError(
            f"The Ray cluster at {address} cannot be used: {_why(error)} This command must run on "
            "a machine of the cluster, with its token (RAY_AUTH_MODE=token; docs/ray.md)."
        ) from error
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, handler)


def _check_answers(address: str) -> None:
    """Raise at once where nothing listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise DeviceError(
            f"No Ray cluster answers at {address}: {error.strerror or error}. Start one there: "
            f"`ray start --head --port={port}`. --ray auto starts one on this machine."
        ) from None


def _why(error: Exception) -> str:
    """Return what Ray says in the last line of an error, as a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") + "." if lines else f"{type(error).__name__}."


def _resources(device: str) -> dict[str, int]:
    return {"num_cpus": 1} if device == "cpu" else {"num_cpus": 0, "num_gpus": 1}


class LaneActor:
    """A worker of the local pool in a process of Ray."""

    def __init__(self) -> None:
        self._stressed: dict[int, Pixels] = {}

    def open(
        self, shared: dict[str, Any], device: Device, joins: bool
    ) -> tuple[dict[str, str], str, int]:
        """Open the stack; return the versions and the processor here, and the free memory."""
        stressed_at = self._stressed.__getitem__ if shared["is_stressed"] else None
        self._worker = Worker(
            shared, device, joins=joins, read=self._read, stressed_at=stressed_at
        )
        is_gpu = device.type == "cuda"
        name = torch.cuda.get_device_name() if is_gpu else machine.processor()
        return machine.versions(), name, machine.available_bytes(device.name)

    def answer(self, name: str, *arguments: Any) -> Any:
        """Ask the worker."""
        return self._worker.answer(name, *arguments)

    def _read(self, size: int, place: Sequence[Any]) -> Pixels:
        images: list[Pixels] = ray.get(list(place))
        self._stressed[size] = images[-1]
        return images[0]


@dataclass(eq=False)
class _Actor:
    """An actor from outside. `reply` is to come; `processor` is empty until it has opened."""

    handle: Any
    node: str
    address: str
    reply: Any
    processor: str = ""
    n_bytes: int = 0
    lanes: list[int] = field(default_factory=list)
    added: list[tuple[object, ...]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)


@dataclass(eq=False)
class _Lane:
    """A training that goes on. `n_told` epochs of it were returned."""

    config: TrainingConfig
    seed: int
    fold: int
    root: tuple[str, int, int] | None
    n_told: int = 0
    n_lost: int = 0


class RayStack:
    """Lanes on the nodes of a cluster; see `hpo.training.engine.Stack`.

    A lane waits until an actor has room for it. Also raised: DeviceError, where nodes differ.
    """

    def __init__(
        self, cluster: Cluster, data: TrainingData, device: Device, *, joins: bool = False
    ) -> None:
        self._cluster, self._data, self._device, self._joins = cluster, data, device, joins
        self._shared = ray.put(fields_of(data))
        self._places: dict[int, list[Any]] = {}
        self._lanes: dict[int, _Lane] = {}
        self._waiting: list[int] = []
        self._results: dict[int, TrainingResult | TrainingError] = {}
        self._homes: dict[tuple[str, int, int], _Actor] = {}
        self._actors: list[_Actor] = []
        self._most = machine.lanes_per_worker(device.name)
        self._n_added = self._n_lost = 0
        self._failed_starts: Counter[str] = Counter()
        self._refused: dict[str, str] = {}
        self._notes: list[str] = []
        self._grown_at = -math.inf
        self._start()

    @property
    def lanes(self) -> tuple[int, ...]:
        return tuple(self._lanes)

    def workers(self) -> Workers:
        """Return who trains now, and what was lost since this was asked last."""
        opened = [actor for actor in self._actors if actor.processor]
        n_lost, self._n_lost = self._n_lost, 0
        notes, self._notes = tuple(self._notes), []
        return Workers(
            n_actors=len(opened),
            n_nodes=len({actor.node for actor in opened}),
            n_lanes=max(1, len(opened) * machine.lanes_per_worker(self._device.name)),
            processors=tuple(self._cluster.processors),
            n_lost=n_lost,
            notes=notes,
        )

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Let a training wait for an actor."""
        check_fits(self._data, config, fold)
        if config.model:
            check_network(config, self._data.code)
        if config.align != "none":
            read_images(self._data, config, fold)  # Once, into the cache of this machine.
        self._share(config.image_size)
        root = root_of(config) if self._joins else None
        self._n_added += 1
        place = (root, seed, fold) if root else None
        self._lanes[self._n_added] = _Lane(config, seed, fold, place)
        self._waiting.append(self._n_added)
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train; return the epochs that are done first, or none where the actors changed."""
        while self._lanes:
            actors = list(self._actors)
            self._grow()
            self._share_out()
            done = self._receive()
            if done or self._actors != actors:
                return sorted(done)
        return []

    def drop(self, lane: int) -> None:
        self._results.pop(lane, None)
        self._lanes.pop(lane, None)
        if lane in self._waiting:
            self._waiting.remove(lane)
        for actor in self._actors:
            if lane in actor.lanes:
                actor.lanes.remove(lane)
                actor.dropped.append(lane)

    def result(self, lane: int) -> TrainingResult:
        return result_of(self._results.pop(lane))

    def close(self) -> None:
        for actor in self._actors:
            _kill(actor)
        self._waiting.clear()
        for held in (self._actors, self._lanes, self._results, self._homes, self._places):
            held.clear()

    def _share(self, size: int) -> None:
        """Put the images of a size into the object store, once."""
        if size not in self._places:
            images = [self._data.pixels_at(size)]
            if self._data.is_stressed:
                images.append(stress.changed_pixels(self._data, size))
            self._places[size] = [ray.put(pixels) for pixels in images]

    def _start(self) -> None:
        """Open actors on the nodes that are there; cores that others use may take longer.

        Raises:
            DeviceError: some nodes cannot train together.
        """
        self._grow()
        deadline = time.monotonic() + _STARTING_S
        while opening := [actor for actor in self._actors if not actor.processor]:
            if len(opening) < len(self._actors) and time.monotonic() >= deadline:
                break
            self._receive()
            self._grow()
        if self._refused:
            self.close()
            raise DeviceError(
                fault_list(
                    "The nodes of the Ray cluster cannot train together. Every node needs the "
                    "same versions as this process; --mixed-processors allows processors that "
                    "round differently.",
                    list(self._refused.values()),
                )
            )
        self._notes.clear()

    def _grow(self) -> None:
        """Give every free place of the cluster an actor."""
        if time.monotonic() < self._grown_at + _POLL_S:
            return
        self._grown_at = time.monotonic()
        remote = ray.remote(**_resources(self._device.name))(LaneActor)
        n_there = Counter(actor.node for actor in self._actors)
        for node, (address, n) in self._cluster.nodes(self._device.name).items():
            for _ in range(0 if node in self._refused else n - n_there[node]):
                there = NodeAffinitySchedulingStrategy(node, soft=False)
                handle = remote.options(scheduling_strategy=there).remote()
                reply = handle.open.remote(self._shared, self._device, self._joins)
                self._actors.append(_Actor(handle, node, address, reply))

    def _share_out(self) -> None:
        """Give waiting lanes to actors that wait too, the emptiest first, and let them train."""
        idle = [actor for actor in self._actors if actor.processor and actor.reply is None]
        n_actors = max(1, sum(bool(actor.processor) for actor in self._actors))
        most = min(self._most, math.ceil(len(self._lanes) / n_actors))
        for number in list(self._waiting) if idle else ():
            lane = self._lanes[number]
            n_bytes = machine.lane_bytes(lane.config)
            free = [a for a in idle if len(a.lanes) < max(1, min(most, a.n_bytes // n_bytes))]
            # Lanes that are one training go to one actor.
            if lane.root and (home := self._homes.get(lane.root)):
                free = [home] if home in idle else []
            if free:
                actor = min(free, key=lambda actor: len(actor.lanes))
                if lane.root:
                    self._homes[lane.root] = actor
                self._waiting.remove(number)
                actor.lanes.append(number)
                images, place = self._data.fold(lane.fold), self._places[lane.config.image_size]
                actor.added.append((number, lane.config, lane.seed, lane.fold, images, place))
        for actor in idle:
            if actor.lanes:
                actor.reply = actor.handle.answer.remote("train", actor.added, actor.dropped)
                actor.added, actor.dropped = [], []

    def _receive(self) -> list[LaneEpoch]:
        """Wait a second at most for a reply; return the new epochs of all that are there."""
        asked = {actor.reply: actor for actor in self._actors if actor.reply is not None}
        if not asked:
            time.sleep(_POLL_S)
            return []
        ready, _ = ray.wait(list(asked), num_returns=1, timeout=_POLL_S)
        if ready:
            ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        return [epoch for reply in ready for epoch in self._take(asked[reply])]

    def _take(self, actor: _Actor) -> list[LaneEpoch]:
        """Take what an actor answers, or note that it is lost."""
        if actor not in self._actors:  # Its node was refused a moment ago.
            return []
        reply, actor.reply = actor.reply, None
        try:
            answer = ray.get(reply)
        except RayError as error:
            self._lose(actor, error)
            return []
        if not actor.processor:
            self._welcome(actor, *answer)
            return []
        if isinstance(answer, OutOfMemoryError):
            if len(actor.lanes) == 1:  # Other lanes of the cluster would change nothing.
                raise DeviceError(str(answer))
            self._most = len(actor.lanes) // 2
            self._lose(actor, answer)
            return []
        if isinstance(answer, Exception):
            raise answer
        epochs, results = answer
        new = []
        for epoch in epochs:
            # Its lane may have been dropped meanwhile; one that was lost begins again.
            if epoch.lane in actor.lanes and epoch.epoch > self._lanes[epoch.lane].n_told:
                self._lanes[epoch.lane].n_told = epoch.epoch
                new.append(epoch)
        for number in results.keys() & set(actor.lanes):
            found = results[number]
            if isinstance(found, TrainingResult):
                found = replace(found, processor=actor.processor)
            self._results[number] = found
            actor.lanes.remove(number)
            del self._lanes[number]
        return new

    def _welcome(self, actor: _Actor, theirs: dict[str, str], name: str, n_bytes: int) -> None:
        """Let an actor train, unless it would compute something else than the others."""
        ours, known = machine.versions(), self._cluster.processors
        different = [
            f"{part} {theirs[part]}, not {ours[part]}"
            for part in _COMPARED
            if theirs[part] != ours[part]
        ]
        if known and name not in known and not self._cluster.is_mixed:
            different.append(f"the processor {name}, not {known[0]}")
        if different:
            self._refuse(actor, f"has {'; '.join(different)}")
            return
        if name not in known:
            known.append(name)
        n_there = sum(other.node == actor.node for other in self._actors)
        actor.processor, actor.n_bytes = name, n_bytes // 2 // n_there

    def _refuse(self, actor: _Actor, why: str) -> None:
        """Use a node no more."""
        fault = f"The node {actor.address} {why}."
        self._refused[actor.node] = fault
        self._notes.append(f"{fault} It is not used.")
        for other in [other for other in self._actors if other.node == actor.node]:
            self._actors.remove(other)
            _kill(other)

    def _lose(self, actor: _Actor, error: Exception) -> None:
        """Let the lanes of an actor wait for another one."""
        self._actors.remove(actor)
        _kill(actor)
        self._homes = {root: home for root, home in self._homes.items() if home is not actor}
        self._waiting[:0] = actor.lanes
        self._n_lost += len(actor.lanes)
        for lane in [self._lanes[number] for number in actor.lanes]:
            lane.n_lost += 1
            if lane.n_lost == _MOST_LOSSES:
                raise DeviceError(
                    f"A training was lost {lane.n_lost} times with the process that trained it, "
                    f"most often for lack of memory. Ray says: {_why(error)} Use smaller images, "
                    "a smaller network, or `ray start --num-cpus=N` with fewer cores."
                )
        if not actor.processor:
            self._failed_starts[actor.node] += 1
            is_alive = actor.node in self._cluster.nodes(self._device.name)
            is_broken = isinstance(error, RayTaskError)
            if is_alive and (is_broken or self._failed_starts[actor.node] == _MOST_STARTS):
                self._refuse(actor, f"cannot run hpo: {_why(error).rstrip('.')}")


def _kill(actor: _Actor) -> None:
    with contextlib.suppress(RayError, ValueError):
        ray.kill(actor.handle)
