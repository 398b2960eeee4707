"""The stacked engine: many lanes at once, each bitwise what it would be alone.

Lanes that share shapes and operations train together, in cohorts. What a lane computes does not
depend on which others are there. A stack of one is the same code, and so is a stack on a GPU.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.cohort import Kind, kind_of, open_cohort, train_epoch, train_steps
from hpo.training.device import Device, one_thread
from hpo.training.engine import EpochMetrics, LaneEpoch, TrainingResult
from hpo.training.lane import Lane, measure, open_lane, read_losses, read_result
from hpo.training.lane_data import Images
from hpo.training.layout import Scratch
from hpo.training.memory import memory_explained, use_huge_pages
from hpo.training.progress import note_epoch, prolong, root_of

# What finished trainings that may go on can hold in all, in bytes.
_MOST_IDLE: Final = 1 << 30

_Root: TypeAlias = tuple[str, int, int]


def open_stack(data: TrainingData, *, device: Device, joins: bool = False) -> "StackedStack":
    """Open the engine on this data, without a lane.

    `joins`: lanes that differ only in their epochs are one training, read at several epochs, where
    the schedule does not depend on the epochs.
    """
    use_huge_pages()
    return StackedStack(data, device, joins=joins)


@dataclass
class _Member:
    """A lane of the seam: a training, up to which epoch, and how much of it was told."""

    lane: Lane
    config: TrainingConfig
    n_told: int = 0

    @property
    def is_finished(self) -> bool:
        progress = self.lane.progress
        return progress.is_stopped or progress.epoch >= self.config.epochs


class StackedStack:
    """Trains its lanes cohort by cohort; see `hpo.training.engine.Stack`."""

    def __init__(self, data: TrainingData, device: Device, *, joins: bool = False) -> None:
        self._device = device
        self._scratch = Scratch(device.torch)
        self._is_warm = False
        self._joins = joins
        self._images = Images(data, device)
        self._live: dict[int, _Member] = {}
        self._results: dict[int, TrainingResult] = {}
        self._roots: dict[_Root, Lane] = {}
        self._n_added = 0

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes that still train, in the order they were added."""
        return tuple(self._live)

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Start a training, or join one that is under way or may go on; return its lane.

        Raises:
            TrainingError: a batch is larger than the training images of the fold.
            OutOfMemoryError: there is too little memory.
        """
        root = root_of(config) if self._joins else None
        lane = self._roots.get((root, seed, fold)) if root else None
        if lane is None or lane.progress.epoch > config.epochs:
            lane = self._open(config, seed=seed, fold=fold)
        elif config.epochs > lane.config.epochs:
            prolong(lane.progress, config)
        if root:
            self._roots[root, seed, fold] = lane
        self._n_added += 1
        self._live[self._n_added] = _Member(lane, config)
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train every live lane for one epoch; a lane that has trained its epochs leaves."""
        # Lanes that joined at their last epoch: before their training goes on for others.
        done = [
            epoch
            for number, member in list(self._live.items())
            if member.is_finished
            for epoch in self._tell(number, member)
        ]
        lanes = self._to_train()
        for lane, metrics in zip(lanes, self._train(lanes), strict=True):
            if note_epoch(lane.progress, metrics):
                with memory_explained(lane.config, self._device):
                    lane.kept = lane.parameters.copy()
        for number, member in list(self._live.items()):
            done += self._tell(number, member)
        return done

    def drop(self, lane: int) -> None:
        """Forget a lane."""
        self._live.pop(lane, None)
        self._results.pop(lane, None)
        self._forget_idle()

    def result(self, lane: int) -> TrainingResult:
        """Return what a finished lane leaves behind, and forget the lane."""
        return self._results.pop(lane)

    def close(self) -> None:
        """Give back the memory; every lane is forgotten."""
        for held in (self._live, self._results, self._roots):
            held.clear()
        self._images.clear()
        self._scratch.clear()

    def _open(self, config: TrainingConfig, *, seed: int, fold: int) -> Lane:
        with memory_explained(config, self._device), one_thread():
            # Images are there for all trainings: their time belongs to none.
            data = self._images.place(config, fold)
            start = time.perf_counter()
            lane = open_lane(config, data, seed=seed, device=self._device)
        lane.progress.seconds += time.perf_counter() - start
        return lane

    def _train(self, lanes: Sequence[Lane]) -> list[EpochMetrics]:
        """Train lanes for their next epoch and read their validation images; note neither."""
        if lanes and not self._is_warm:
            self._warm_up(lanes[0])
        cohorts: dict[Kind, list[Lane]] = {}
        for lane in lanes:
            cohorts.setdefault(kind_of(lane), []).append(lane)
        measured: dict[int, EpochMetrics] = {}
        for cohort in cohorts.values():
            with memory_explained(cohort[0].config, self._device), one_thread():
                found = run_epoch(cohort, self._scratch)
            measured |= {id(lane): one for lane, one in zip(cohort, found, strict=True)}
        return [measured[id(lane)] for lane in lanes]

    def _warm_up(self, lane: Lane) -> None:
        """Train a small network for a step: the first in a process takes half a second longer.

        That would count as the time of whichever training comes first.
        """
        self._is_warm = True
        small = lane.config.replace(hidden=(8,) * len(lane.config.hidden))
        with memory_explained(small, self._device), one_thread():
            spare = open_lane(small, lane.data, seed=0, device=self._device)
            next(train_steps(open_cohort([spare], self._scratch)))

    def _to_train(self) -> list[Lane]:
        """Return the trainings that a lane still waits for, each once, in the order of lanes."""
        lanes = {id(m.lane): m.lane for m in self._live.values() if not m.is_finished}
        return list(lanes.values())

    def _tell(self, number: int, member: _Member) -> list[LaneEpoch]:
        """Return the epochs of a lane that were not told yet; read its result after the last."""
        epochs = member.lane.progress.epochs
        told = range(member.n_told, len(epochs))
        member.n_told = len(epochs)
        if member.is_finished:
            with memory_explained(member.lane.config, self._device), one_thread():
                self._results[number] = read_result(member.lane, self._scratch)
            del self._live[number]
            self._forget_idle()
        return [LaneEpoch(number, index + 1, epochs[index]) for index in told]

    def _forget_idle(self) -> None:
        """Forget trainings without a lane, the oldest first, as far as they take much memory."""
        live = {id(member.lane) for member in self._live.values()}
        idle = [root for root, lane in self._roots.items() if id(lane) not in live]
        n_bytes = sum(self._roots[root].n_bytes for root in idle)
        for root in idle:
            if n_bytes <= _MOST_IDLE:
                break
            n_bytes -= self._roots.pop(root).n_bytes


def run_epoch(lanes: Sequence[Lane], scratch: Scratch) -> list[EpochMetrics]:
    """Train lanes of one kind for an epoch and read their validation images.

    The time is shared out evenly among the lanes.
    """
    start = time.perf_counter()
    metrics = []
    for lane, trained in zip(lanes, train_epoch(lanes, scratch), strict=True):
        validation = read_losses(lane, lane.data.validation, scratch)
        metrics.append(measure(lane, trained, validation, scratch))
    for lane in lanes:
        lane.progress.seconds += (time.perf_counter() - start) / len(lanes)
    return metrics
