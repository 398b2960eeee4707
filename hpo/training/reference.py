"""The readable engine: the reports' own loop over images that stay on the device.

One lane after another, each with one thread on the CPU, torch's optimizers, one reading of the
device per epoch. What a lane computes depends on its configuration, seed, fold, data and device
alone. It is the oracle for faster engines.
"""

import time
from dataclasses import replace

from torch import Tensor

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device, one_thread
from hpo.training.engine import EpochMetrics, LaneEpoch, TrainingResult
from hpo.training.lane import (
    Lane,
    open_lane,
    read_logits,
    read_losses,
    train_epoch,
)
from hpo.training.lane_data import Images, LaneData
from hpo.training.losses import probabilities
from hpo.training.memory import memory_explained
from hpo.training.model import export_weights
from hpo.training.optimizers import set_learning_rate, warm_up
from hpo.training.progress import note_epoch
from hpo.training.readings import Readings, measure_epoch, note_stress, result_of


def open_stack(data: TrainingData, *, device: Device) -> "ReferenceStack":
    """Open the readable engine on this data, without a lane."""
    warm_up()
    return ReferenceStack(data, device)


class ReferenceStack:
    """Trains its lanes one after another; see `engine.Stack`."""

    def __init__(self, data: TrainingData, device: Device) -> None:
        self._device = device
        self._images = Images(data, device)
        self._live: dict[int, Lane] = {}
        self._finished: dict[int, Lane] = {}
        self._n_added = 0

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes that still train, in the order they were added."""
        return tuple(self._live)

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Start a training and return its lane.

        Raises:
            TrainingError: a batch is larger than the training images of the fold.
            OutOfMemoryError: there is too little memory.
        """
        start = time.perf_counter()
        with memory_explained(config, self._device), one_thread():
            data = self._images.place(config, fold)
            lane = open_lane(config, data, seed=seed, device=self._device)
        lane.progress.seconds += time.perf_counter() - start
        self._n_added += 1
        self._live[self._n_added] = lane
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train every live lane for one epoch; a lane that has trained its epochs leaves."""
        done = []
        for number, lane in list(self._live.items()):
            with memory_explained(lane.config, self._device), one_thread():
                metrics = run_epoch(lane)
            done.append(LaneEpoch(number, lane.progress.epoch, metrics))
            if lane.progress.is_finished:
                self._finished[number] = self._live.pop(number)
        return done

    def drop(self, lane: int) -> None:
        """Forget a lane."""
        self._live.pop(lane, None)
        self._finished.pop(lane, None)

    def result(self, lane: int) -> TrainingResult:
        """Return what a finished lane leaves behind, and forget the lane."""
        finished = self._finished.pop(lane)
        with memory_explained(finished.config, self._device), one_thread():
            return _read_result(finished)

    def close(self) -> None:
        """Give back the memory; every lane is forgotten."""
        for held in (self._live, self._finished, self._images):
            held.clear()


def run_epoch(lane: Lane) -> EpochMetrics:
    """Train one epoch, read the validation images, and note both in the lane."""
    start, progress = time.perf_counter(), lane.progress
    set_learning_rate(lane.optimizer, progress.rate)
    trained = train_epoch(lane, progress.epoch)
    validation = read_losses(lane, lane.data.validation)
    if progress.is_stress_due:
        _note_stress(lane, progress.epoch + 1)
    metrics = measure_epoch(trained, validation, data=lane.data, progress=progress)
    if note_epoch(progress, metrics):
        state = lane.network.state_dict()
        lane.kept_weights = {name: value.clone() for name, value in state.items()}
    progress.seconds += time.perf_counter() - start
    return metrics


def _note_stress(lane: Lane, epoch: int) -> None:
    def read(data: LaneData) -> Tensor:
        return read_losses(replace(lane, data=data), data.validation)

    note_stress(lane.progress, read, data=lane.data, epoch=epoch)


def _read_result(lane: Lane) -> TrainingResult:
    start, data = time.perf_counter(), lane.data
    if lane.kept_weights:
        lane.network.load_state_dict(lane.kept_weights)
    _note_stress(lane, lane.progress.last_kept)
    readings = Readings(
        train=read_losses(lane, data.train),
        validation=read_losses(lane, data.validation),
        test=probabilities(lane.config, read_logits(lane, data.test)),
    )
    return result_of(
        lane.progress, readings, data=data, weights=export_weights(lane.network), since=start
    )
