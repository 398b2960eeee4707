"""A stack whose lanes train in several processes; the parent hands them out and collects."""

from dataclasses import dataclass, field

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.cost import epoch_cost
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, TrainingResult
from hpo.training.lane_data import check_fits
from hpo.training.processes.crew import Crew
from hpo.training.processes.messages import Add, Drop, Train, Trained
from hpo.training.progress import root_of


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How lanes are spread over processes; `joins` as in `hpo.training.stack.open_stack`."""

    n_processes: int
    joins: bool = False


def open_stack(data: TrainingData, *, device: Device, spread: Spread) -> "ProcessStack":
    """Start processes on this data, without a lane."""
    return ProcessStack(data, device, spread)


@dataclass
class _Place:
    """The lanes of a process, each with the cost of what is left of it."""

    process: int
    lanes: dict[int, float] = field(default_factory=dict)
    is_busy: bool = False


class ProcessStack:
    """Lanes in several processes; see `hpo.training.engine.Stack`."""

    def __init__(self, data: TrainingData, device: Device, spread: Spread) -> None:
        self._data = data
        self._spread = spread
        self._crew = Crew(data, device=device, n_processes=spread.n_processes, joins=spread.joins)
        self._places = [_Place(process) for process in range(spread.n_processes)]
        self._epoch_costs: dict[int, float] = {}
        self._roots: dict[tuple[str, int, int], _Place] = {}
        self._results: dict[int, TrainingResult] = {}
        self._n_added = 0

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
        offset = self._crew.share_pixels(config.image_size)
        self._n_added += 1
        cost = epoch_cost(config, n_train=len(images.train))
        place = self._choose(config, seed, fold)
        place.lanes[self._n_added] = cost * config.epochs
        self._epoch_costs[self._n_added] = cost
        self._crew.send(place.process, Add(self._n_added, config, seed, fold, images, offset))
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train; return the epochs that are done first: no process waits for another.

        Raises:
            OutOfMemoryError: there is too little memory; open another stack with fewer lanes.
            DeviceError: a process has ended.
        """
        for place in self._places:
            if place.lanes and not place.is_busy:
                self._crew.send(place.process, Train())
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
                self._crew.send(place.process, Drop(lane))

    def result(self, lane: int) -> TrainingResult:
        """Return what a finished lane leaves behind, and forget the lane."""
        return self._results.pop(lane)

    def close(self) -> None:
        """End the processes; what they train is lost."""
        self._crew.close()
        for place in self._places:
            place.lanes.clear()
        self._results.clear()

    def _choose(self, config: TrainingConfig, seed: int, fold: int) -> _Place:
        """Return the process that has the training to be joined, else the one with least to do."""
        least = min(self._places, key=self._work)
        root = root_of(config) if self._spread.joins else None
        return self._roots.setdefault((root, seed, fold), least) if root else least

    def _work(self, place: _Place) -> float:
        """Return what a process has to do until all its lanes end."""
        return sum(place.lanes.values())

    def _is_waiting(self, done: list[LaneEpoch]) -> bool:
        is_busy = any(place.is_busy for place in self._places)
        return is_busy and (not done or self._crew.has_reply)

    def _next_epochs(self) -> list[LaneEpoch]:
        """Wait for a reply and return its epochs, but for those of lanes dropped meanwhile."""
        process, trained = self._crew.receive()
        assert isinstance(trained, Trained)
        place = self._places[process]
        place.is_busy = False
        epochs = [done for done in trained.epochs if done.lane in place.lanes]
        for done in epochs:
            place.lanes[done.lane] -= self._epoch_costs[done.lane]
        for lane in place.lanes.keys() & trained.results.keys():
            self._results[lane] = trained.results[lane]
            del place.lanes[lane]
        return epochs
