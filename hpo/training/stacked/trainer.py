"""How the lanes of a stack train: what a device can do differently, and how a CPU does it."""

import time
from collections.abc import Sequence
from typing import Protocol

from hpo.training.device import Device, one_thread
from hpo.training.engine import EpochMetrics, TrainingResult
from hpo.training.graphed import can_train
from hpo.training.memory import memory_explained
from hpo.training.stacked.cohort import Kind, kind_of, open_cohort, train_epoch, train_steps
from hpo.training.stacked.lane import Lane, open_lane, read_losses
from hpo.training.stacked.measuring import measure, read_result
from hpo.training.stacked.scratch import Scratch


class Trainer(Protocol):
    """Trains lanes. What a lane computes must not depend on which others there are.

    Both ways to compute raise OutOfMemoryError where there is too little memory.
    """

    def train(self, lanes: Sequence[Lane]) -> list[EpochMetrics]:
        """Train lanes for their next epoch and read their validation images; note neither."""
        ...

    def read_result(self, lane: Lane) -> TrainingResult:
        """Return what a training leaves behind."""
        ...

    def clear(self) -> None:
        """Give the memory back."""
        ...


class CohortTrainer:
    """Trains lanes in cohorts, one after another, on any device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._scratch = Scratch(device.torch)
        self._is_warm = False

    def train(self, lanes: Sequence[Lane]) -> list[EpochMetrics]:
        """Train lanes for their next epoch and read their validation images."""
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

    def read_result(self, lane: Lane) -> TrainingResult:
        """Return what a training leaves behind."""
        with memory_explained(lane.config, self._device), one_thread():
            return read_result(lane, self._scratch)

    def clear(self) -> None:
        """Give the memory back."""
        self._scratch.clear()

    def _warm_up(self, lane: Lane) -> None:
        """Train a small network for a step: the first in a process takes half a second longer.

        That would count as the time of whichever training comes first.
        """
        self._is_warm = True
        small = lane.config.replace(hidden=(8,) * len(lane.config.hidden))
        with memory_explained(small, self._device), one_thread():
            spare = open_lane(small, lane.data, seed=0, device=self._device)
            next(train_steps(open_cohort([spare], self._scratch)))


def open_trainer(device: Device) -> Trainer:
    """Return the fastest way to train on a device."""
    if not can_train(device):
        return CohortTrainer(device)
    # Triton takes a second to import, and is not there without a GPU.
    from hpo.training.graphed.trainer import GraphedTrainer

    return GraphedTrainer(device)


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
