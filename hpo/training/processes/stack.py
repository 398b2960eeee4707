"""A stack whose lanes train in several processes; the parent hands them out and collects."""

import queue
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import OutputError
from hpo.training import battery
from hpo.training.cost import epoch_cost
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, TrainingResult
from hpo.training.lane_data import check_fits
from hpo.training.processes.messages import Add, Drop, Failed, Open, Reply, Train
from hpo.training.processes.process import Process
from hpo.training.progress import root_of


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How lanes are spread over processes; `joins` as in `hpo.training.stacked.open_stack`."""

    n_processes: int
    joins: bool = False


def open_stack(data: TrainingData, *, device: Device, spread: Spread) -> "ProcessStack":
    """Start processes on this data, without a lane."""
    return ProcessStack(data, device, spread)


@dataclass
class _Place:
    """A process and its lanes, each with the cost of what is left of it."""

    process: Process
    lanes: dict[int, float] = field(default_factory=dict)
    is_busy: bool = False


class ProcessStack:
    """Lanes in several processes; see `hpo.training.engine.Stack`."""

    def __init__(self, data: TrainingData, device: Device, spread: Spread) -> None:
        self._data = data
        self._spread = spread
        self._folder = tempfile.TemporaryDirectory(prefix="hpo-", ignore_cleanup_errors=True)
        self._files: dict[int, Path] = {}
        self._replies: queue.SimpleQueue[tuple[int, Reply]] = queue.SimpleQueue()
        self._places: list[_Place] = []
        self._epoch_costs: dict[int, float] = {}
        self._roots: dict[tuple[str, int, int], _Place] = {}
        self._results: dict[int, TrainingResult] = {}
        self._n_added = 0
        folder = Path(self._folder.name)
        opening = Open(
            fingerprint=data.fingerprint,
            labels=data.labels,
            n_test=data.n_test,
            device=device,
            joins=spread.joins,
            is_stressed=data.is_stressed,
            folder=folder,
        )
        for index in range(spread.n_processes):
            place = _Place(Process(partial(self._take_in, index)))
            place.process.send(opening)
            self._places.append(place)

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes that still train, in the order they were added."""
        return tuple(sorted(lane for place in self._places for lane in place.lanes))

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Start a training, in the process with the least left to do; return its lane.

        Raises:
            TrainingError: a batch is larger than the training images of the fold.
            OutputError: the pixels cannot be put where all processes see them.
        """
        check_fits(self._data, config, fold)
        images = self._data.fold(fold)
        pixels = self._shared_pixels(config.image_size)
        self._n_added += 1
        cost = epoch_cost(config, n_train=len(images.train))
        place = self._choose(config, seed, fold)
        place.lanes[self._n_added] = cost * config.epochs
        self._epoch_costs[self._n_added] = cost
        place.process.send(Add(self._n_added, config, seed, fold, images, pixels))
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train; return the epochs that are done first: no process waits for another.

        Raises:
            OutOfMemoryError: there is too little memory; open another stack with fewer lanes.
            DeviceError: a process has ended.
        """
        for place in self._places:
            if place.lanes and not place.is_busy:
                place.process.send(Train())
                place.is_busy = True
        done: list[LaneEpoch] = []
        while self._is_waiting(done):
            done += self._next_epochs()
        return sorted(done)

    def drop(self, lane: int) -> None:
        """Forget a lane."""
        self._results.pop(lane, None)
        for place in self._places:
            if place.lanes.pop(lane, None) is not None:
                place.process.send(Drop(lane))

    def result(self, lane: int) -> TrainingResult:
        """Return what a finished lane leaves behind, and forget the lane."""
        return self._results.pop(lane)

    def close(self) -> None:
        """End the processes; what they train is lost."""
        for place in self._places:
            place.process.close()
            place.lanes.clear()
        self._results.clear()
        self._folder.cleanup()

    def _choose(self, config: TrainingConfig, seed: int, fold: int) -> _Place:
        """Return the process that has the training to be joined, else the one with least to do."""
        least = min(self._places, key=self._work)
        root = root_of(config) if self._spread.joins else None
        return self._roots.setdefault((root, seed, fold), least) if root else least

    def _work(self, place: _Place) -> float:
        """Return what a process has to do until all its lanes end."""
        return sum(place.lanes.values())

    def _take_in(self, index: int, reply: Reply) -> None:
        self._replies.put((index, reply))

    def _is_waiting(self, done: list[LaneEpoch]) -> bool:
        is_busy = any(place.is_busy for place in self._places)
        return is_busy and (not done or not self._replies.empty())

    def _next_epochs(self) -> list[LaneEpoch]:
        """Wait for a reply and return its epochs, but for those of lanes dropped meanwhile."""
        index, reply = self._replies.get()
        if isinstance(reply, Failed):
            raise _explained(reply)
        place = self._places[index]
        place.is_busy = False
        epochs = [done for done in reply.epochs if done.lane in place.lanes]
        for done in epochs:
            place.lanes[done.lane] -= self._epoch_costs[done.lane]
        for lane in place.lanes.keys() & reply.results.keys():
            self._results[lane] = reply.results[lane]
            del place.lanes[lane]
        return epochs

    def _shared_pixels(self, image_size: int) -> Path:
        """Return the file of the pixels of a size: mapped, all processes share its memory."""
        if image_size not in self._files:
            path = Path(self._folder.name) / f"{image_size}.npy"
            if self._data.is_stressed:
                # Once, into the cache: the processes read it there.
                battery.changed_pixels(self._data, image_size)
            try:
                np.save(path, self._data.pixels_at(image_size))
            except OSError as error:
                raise OutputError(
                    f"The images cannot be written to {path.parent}, where the processes that "
                    f"train share them: {error.strerror or error}. Make room there, set TMPDIR to "
                    "another folder, or train in one process with --lanes 1."
                ) from error
            self._files[image_size] = path
        return self._files[image_size]


def _explained(failed: Failed) -> Exception:
    """Return the error of a process."""
    return failed.error or RuntimeError(f"A process that trains failed:\n{failed.trace}")
