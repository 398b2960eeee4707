"""The stacked engine: many lanes at once, each bitwise what it would be alone.

Every epoch the live lanes are gathered into cohorts that share shapes and operations; what a lane
computes does not depend on which others are there. A stack of one is the same code.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device, one_thread
from hpo.training.engine import EpochMetrics, LaneEpoch, TrainingResult, TrainMetrics
from hpo.training.lane_data import check_fits, place_fold, place_pixels
from hpo.training.losses import probabilities
from hpo.training.memory import memory_explained
from hpo.training.metrics import measure
from hpo.training.progress import note_epoch
from hpo.training.stacked.cohort import Kind, kind_of, train_epoch
from hpo.training.stacked.lane import (
    Lane,
    export_weights,
    open_lane,
    read_logits,
    read_losses,
)
from hpo.training.stacked.scratch import Scratch


def open_stack(data: TrainingData, *, device: Device) -> "StackedStack":
    """Open the engine on this data, without a lane."""
    return StackedStack(data, device)


class StackedStack:
    """Trains its lanes in cohorts; see `hpo.training.engine.Stack`."""

    def __init__(self, data: TrainingData, device: Device) -> None:
        self._data = data
        self._device = device
        self._scratch = Scratch(device.torch)
        self._pixels: dict[int, Tensor] = {}
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
            DeviceError: there is too little memory.
        """
        start = time.perf_counter()
        check_fits(self._data, config, fold)
        with memory_explained(config, self._device), one_thread():
            images = self._pixels_at(config.image_size)
            data = place_fold(self._data, fold, pixels=images)
            lane = open_lane(config, data, seed=seed, device=self._device)
        lane.progress.seconds += time.perf_counter() - start
        self._n_added += 1
        self._live[self._n_added] = lane
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train every live lane for one epoch; a lane that has trained its epochs leaves."""
        cohorts: dict[Kind, list[int]] = {}
        for number, lane in self._live.items():
            cohorts.setdefault(kind_of(lane), []).append(number)
        done: dict[int, EpochMetrics] = {}
        for numbers in cohorts.values():
            lanes = [self._live[number] for number in numbers]
            with memory_explained(lanes[0].config, self._device), one_thread():
                done |= zip(numbers, run_epoch(lanes, self._scratch), strict=True)
        return [self._note(number, done[number]) for number in self.lanes]

    def drop(self, lane: int) -> None:
        """Forget a lane."""
        self._live.pop(lane, None)
        self._finished.pop(lane, None)

    def result(self, lane: int) -> TrainingResult:
        """Return what a finished lane leaves behind, and forget the lane."""
        finished = self._finished.pop(lane)
        with memory_explained(finished.config, self._device), one_thread():
            return _read_result(finished, self._scratch)

    def _note(self, number: int, metrics: EpochMetrics) -> LaneEpoch:
        lane = self._live[number]
        if note_epoch(lane.progress, metrics):
            lane.kept = lane.parameters.copy()
        if lane.progress.is_finished:
            self._finished[number] = self._live.pop(number)
        return LaneEpoch(number, lane.progress.epoch, metrics)

    def _pixels_at(self, image_size: int) -> Tensor:
        if image_size not in self._pixels:
            self._pixels[image_size] = place_pixels(self._data, image_size, device=self._device)
        return self._pixels[image_size]


def run_epoch(lanes: Sequence[Lane], scratch: Scratch) -> list[EpochMetrics]:
    """Train lanes of one kind for an epoch and read their validation images.

    The time is shared out evenly among the lanes.
    """
    start = time.perf_counter()
    trained = train_epoch(lanes, scratch)
    metrics = [_measure(lane, sums, scratch) for lane, sums in zip(lanes, trained, strict=True)]
    for lane in lanes:
        lane.progress.seconds += (time.perf_counter() - start) / len(lanes)
    return metrics


def _measure(lane: Lane, trained: Tensor, scratch: Scratch) -> EpochMetrics:
    losses = read_losses(lane, lane.data.validation, scratch)
    # The one reading of the device in an epoch: everything that was measured, in one copy.
    readings = torch.cat([trained, losses.to(trained.dtype)]).cpu().numpy()
    train_loss, n_right, n_trained, loss = (float(reading) for reading in readings[:4])
    labels = lane.data.known_labels[lane.data.fold.validation]
    return EpochMetrics(
        learning_rate=lane.progress.rate,
        train=TrainMetrics(loss=train_loss / n_trained, accuracy=n_right / n_trained),
        validation=measure(readings[4:].astype(np.float32), labels, loss=loss),
    )


def _read_result(lane: Lane, scratch: Scratch) -> TrainingResult:
    start, data = time.perf_counter(), lane.data
    if lane.kept:
        lane.parameters = lane.kept
    train = read_losses(lane, data.train, scratch).cpu().numpy()
    train_labels = data.known_labels[data.fold.train]
    validation = read_losses(lane, data.validation, scratch).cpu().numpy()
    test = probabilities(lane.config, read_logits(lane, data.test, scratch)).cpu().numpy()
    return TrainingResult(
        epochs=tuple(lane.progress.epochs),
        kept_epoch=lane.progress.last_kept,
        train=measure(train[1:], train_labels, loss=float(train[0])),
        validation_probabilities=validation[1:].astype(np.float32, copy=False),
        test_probabilities=test.astype(np.float32, copy=False),
        weights=export_weights(lane),
        seconds=lane.progress.seconds + time.perf_counter() - start,
    )
