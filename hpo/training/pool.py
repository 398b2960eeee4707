"""Lanes distributed over workers: processes with their own stacks, here or on a cluster.

The results of a lane do not depend on its worker. Workers may join and leave: lost trainings
are repeated with bitwise equal results, and no epoch is returned twice.
"""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import torch

from hpo import models
from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import (
    NO_MEMORY,
    DeviceError,
    HpoError,
    OutOfMemoryError,
    TrainingError,
    lacks_memory,
)
from hpo.training import machine
from hpo.training.custom import open_network
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, TrainingResult, result_of
from hpo.training.images import check_fits, read_images
from hpo.training.progress import root_of
from hpo.training.stack import FOLD, open_stack, seconds_per_epoch

_MOST_LOSSES: Final = 20
_LOST: Final = (
    f"A training was lost {_MOST_LOSSES} times with its process, most often for lack of memory. "
    "Use smaller images, a smaller network, or `ray start --num-cpus=N` with fewer cores."
)

Trained: TypeAlias = tuple[list[LaneEpoch], dict[int, TrainingResult | TrainingError]]
"""New epochs, and the results or errors of the lanes that have left."""


class Member(Protocol):
    """A worker as seen by the pool: whether it has work, and the lanes it has room for."""

    @property
    def is_busy(self) -> bool: ...

    def room(self, config: TrainingConfig) -> float: ...

    def train(self, added: Sequence[tuple[Any, ...]], lanes: Sequence[int]) -> None:
        """Start `Worker.train` in it."""


class WorkerGroup(Protocol):
    """The available workers and how to reach them; `joins` as in `open_stack`.

    If it `goes_ahead`, workers do not wait until their epochs are reported, and may train two
    epochs of a lane that is then dropped.
    """

    data: TrainingData
    joins: bool
    goes_ahead: bool

    @property
    def members(self) -> Sequence[Member]: ...

    def share(self, image_size: int) -> Any:
        """Return the place from which workers read the images of a size."""

    def receive(self) -> Iterable[Trained]:
        """Wait until members have trained, joined or left; raise their errors."""

    def close(self) -> None: ...


@dataclass(eq=False)
class _Lane:
    """A running training. `cost` is that of an epoch; `n_returned` epochs were returned."""

    request: tuple[Any, ...]
    config: TrainingConfig
    cost: float
    root: tuple[str, int, int] | None
    member: Member | None = None
    is_sent: bool = False
    n_returned: int = 0
    n_lost: int = 0


class Pool:
    """Lanes in several processes; see `hpo.training.engine.Stack`.

    A lane is assigned to the worker with the least remaining work, or waits for room. Also raised:
    DeviceError if workers cannot continue, and OutputError if they cannot share the images.
    """

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self._lanes: dict[int, _Lane] = {}
        self._results: dict[int, TrainingResult | TrainingError] = {}
        self._homes: dict[tuple[str, int, int], Member] = {}
        self._n_added = 0

    @property
    def lanes(self) -> tuple[int, ...]:
        return tuple(self._lanes)

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Queue a training for a worker."""
        data = self.group.data
        check_fits(data, config, fold)
        if config.model:  # An invalid model fails here, and not in a process with other trainings.
            open_network(config, data.code, seed=seed)
        if config.align != "none":
            read_images(data, config, fold)  # This fills the cache of this machine.
        images, place = data.fold(fold), self.group.share(config.image_size)
        root = root_of(config) if self.group.joins else None
        self._n_added += 1
        self._lanes[self._n_added] = _Lane(
            request=(self._n_added, config, seed, fold, images, place),
            config=config,
            cost=machine.epoch_cost(config, n_train=len(images.train)),
            root=(root, seed, fold) if root else None,
        )
        if self.group.goes_ahead:
            self._assign()
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train; return the first finished epochs, or none if workers joined or left."""
        while self._lanes:
            self._assign()
            members, n_live, done = list(self.group.members), len(self._lanes), []
            for epochs, results in self.group.receive():
                for epoch in epochs:
                    lane = self._lanes.get(epoch.lane)
                    # The lane may have been dropped, or it was lost and restarted.
                    if lane and epoch.epoch > lane.n_returned:
                        lane.n_returned = epoch.epoch
                        done.append(epoch)
                for number in results.keys() & self._lanes.keys():
                    self._results[number] = results[number]
                    del self._lanes[number]
            if self.group.goes_ahead:
                self._assign()
            if done or len(self._lanes) < n_live or members != self.group.members:
                return sorted(done)
        return []

    def drop(self, lane: int) -> None:
        self._results.pop(lane, None)
        self._lanes.pop(lane, None)

    def result(self, lane: int) -> TrainingResult:
        return result_of(self._results.pop(lane))

    def close(self) -> None:
        self.group.close()
        for state in (self._lanes, self._results, self._homes):
            state.clear()

    def _assign(self) -> None:
        """Assign waiting lanes to workers, and start the waiting workers."""
        running: dict[Member, list[_Lane]] = {member: [] for member in self.group.members}
        waiting = []
        for lane in self._lanes.values():
            if lane.member in running:
                running[lane.member].append(lane)
                continue
            lane.member, lane.is_sent, lane.n_lost = None, False, lane.n_lost + lane.is_sent
            if lane.n_lost == _MOST_LOSSES:
                raise DeviceError(_LOST)
            waiting.append(lane)
        for lane in waiting:
            free = [m for m, lanes in running.items() if len(lanes) < m.room(lane.config)]
            # A training that others join stays with its worker.
            if lane.root and (home := self._homes.get(lane.root)) in running:
                free = [home]
            if free:
                lane.member = min(free, key=lambda member: sum(map(_cost_left, running[member])))
                running[lane.member].append(lane)
                if lane.root:
                    self._homes[lane.root] = lane.member
        for member, lanes in running.items():
            if lanes and not member.is_busy:
                added = [lane.request for lane in lanes if not lane.is_sent]
                for lane in lanes:
                    lane.is_sent = True
                member.train(added, [lane.request[0] for lane in lanes])


def _cost_left(lane: _Lane) -> float:
    return lane.cost * (lane.config.epochs - lane.n_returned)


def fields_of(data: TrainingData) -> dict[str, Any]:
    """Return the data for a worker, without the functions that read pixels and folds."""
    return {name: value for name, value in vars(data).items() if not callable(value)}


def needed(code: str | None) -> dict[str, str]:
    """Return the facts that must agree on all machines: versions, and a custom model's digest."""
    facts = {name: machine.versions()[name] for name in ("hpo", "torch", "numpy", "python")}
    if code:
        model, _ = models.open_custom(code)
        facts |= {**model.versions, model.entry: model.digest}
    return facts


class Worker:
    """A stack in another process; its lanes have the numbers of the study's process.

    `shared` are the fields of the data that are not functions. `read(size, place)` returns pool
    and test images of a size from their place, once for each size; if it `reads_stressed`, also
    the pool under the stress battery, which is then not cached.
    """

    def __init__(
        self,
        shared: Mapping[str, Any],
        device: Device,
        *,
        joins: bool,
        read: Callable[[int, Any], Sequence[Pixels]],
        reads_stressed: bool = False,
    ) -> None:
        self._device, self._read = device, read
        self._images: dict[int, Sequence[Pixels]] = {}
        self._folds: dict[int, Fold] = {}
        self._names: dict[int, int] = {}
        readers = {
            "pixels_at": lambda size: self._images[size][0],
            "fold": self._folds.__getitem__,
            "stressed_at": (lambda size: self._images[size][1]) if reads_stressed else None,
        }
        self._data = TrainingData(**{**shared, **readers})
        self._stack = open_stack(self._data, device=device, joins=joins)

    def answer(self, name: str, *arguments: Any) -> Any:
        """Return the result of one of the methods below, or its exception."""
        try:
            return getattr(self, name)(*arguments)
        except HpoError as error:
            return error
        except Exception as error:  # Not every exception can be unpickled, but its traceback can.
            if lacks_memory(error):
                return OutOfMemoryError(NO_MEMORY)
            return RuntimeError(f"A training process failed:\n{traceback.format_exc()}")

    def train(self, added: Sequence[tuple[Any, ...]], lanes: Sequence[int]) -> Trained:
        """Train these lanes for an epoch, and drop all others.

        `added` lanes are started first, with the place of their pixels.
        """
        results: dict[int, TrainingResult | TrainingError] = {}
        for name, config, seed, fold, images, place in added:
            self._place(config.image_size, place)
            self._folds[fold] = images
            try:
                self._names[self._stack.add(config, seed=seed, fold=fold)] = name
            except TrainingError as error:
                results[name] = error
        for lane in [lane for lane, name in self._names.items() if name not in lanes]:
            self._stack.drop(lane)
            del self._names[lane]
        trained = self._stack.step()
        epochs = [done._replace(lane=self._names[done.lane]) for done in trained]
        for lane in self._names.keys() - set(self._stack.lanes):
            name = self._names.pop(lane)
            try:
                results[name] = self._stack.result(lane)
            except TrainingError as error:
                results[name] = error
        return epochs, results

    def time(self, requests: Sequence[tuple[TrainingConfig, Any]], images: Fold) -> list[float]:
        """Return the seconds of an epoch of each configuration, given with its place."""
        self._folds[FOLD] = images
        for config, place in requests:
            self._place(config.image_size, place)
        return [seconds_per_epoch(self._data, c, device=self._device) for c, _ in requests]

    def facts(self) -> tuple[dict[str, str], str, int]:
        """Return the facts that must agree everywhere, the processor, and the free memory."""
        is_gpu = self._device.type == "cuda"
        processor = torch.cuda.get_device_name() if is_gpu else machine.processor()
        return needed(self._data.code), processor, machine.available_bytes(self._device.name)

    def _place(self, size: int, place: object) -> None:
        if size not in self._images:
            self._images[size] = self._read(size, place)
