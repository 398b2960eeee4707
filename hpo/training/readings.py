"""From what was read off the device to metrics and results: the same for every engine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hpo.data.dataset import Indices
from hpo.training.engine import (
    EpochMetrics,
    Probabilities,
    TrainingResult,
    TrainMetrics,
    ValidationMetrics,
    Weights,
)
from hpo.training.lane_data import LaneData
from hpo.training.metrics import mean_metrics, measure
from hpo.training.progress import Progress

ReadUnder: TypeAlias = Callable[[LaneData], Tensor]


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What the kept weights give: loss, then probabilities `(1 + n,)`; of the test images `(n,)`.

    No label of a test image is known, so there is no loss.
    """

    train: Tensor
    validation: Tensor
    test: Tensor


def measure_epoch(
    trained: Tensor, validation: Tensor, *, data: LaneData, progress: Progress
) -> EpochMetrics:
    """Return the metrics of the epoch that is under way.

    `trained` `(3,)` holds sums over its images: loss, right answers, images; `validation`
    `(1 + n,)` the loss, then the probabilities.
    """
    # The one reading of the device in an epoch: everything that was measured, in one copy.
    readings = torch.cat([trained, validation.to(trained.dtype)]).cpu().numpy()
    is_stressed = progress.stress and progress.stress_epoch == progress.epoch + 1
    loss, n_right, n_trained = (float(reading) for reading in readings[:3])
    return EpochMetrics(
        learning_rate=progress.rate,
        train=TrainMetrics(loss=loss / n_trained, accuracy=n_right / n_trained),
        validation=_measure(readings[3:], data, data.fold.validation),
        stress=mean_metrics(progress.stress.values()) if is_stressed else None,
    )


def note_stress(progress: Progress, read: ReadUnder, *, data: LaneData, epoch: int) -> None:
    """Read the validation images under every change, with the weights of this epoch.

    `read` returns the loss and the probabilities `(1 + n,)` of the validation images of some data.
    """
    if progress.stress_epoch == epoch:
        return
    readings = {name: read(changed) for name, changed in data.under_changes().items()}
    progress.stress_epoch = epoch
    progress.stress = {
        name: _measure(reading.cpu().numpy(), data, data.fold.validation)
        for name, reading in readings.items()
    }


def result_of(
    progress: Progress, readings: Readings, *, data: LaneData, weights: Weights, since: float
) -> TrainingResult:
    """Return what a training leaves behind; `since` is when reading it began."""
    validation = readings.validation.cpu().numpy()
    return TrainingResult(
        epochs=tuple(progress.epochs),
        kept_epoch=progress.last_kept,
        train=_measure(readings.train.cpu().numpy(), data, data.fold.train),
        validation_probabilities=_single(validation[1:]),
        test_probabilities=_single(readings.test.cpu().numpy()),
        weights=weights,
        seconds=progress.seconds + time.perf_counter() - since,
        stress=progress.stress,
    )


def _measure(
    readings: np.ndarray[tuple[int, ...], np.dtype[np.floating]], data: LaneData, images: Indices
) -> ValidationMetrics:
    labels = data.known_labels[images]
    return measure(_single(readings[1:]), labels, loss=float(readings[0]))


def _single(p: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Probabilities:
    return p.astype(np.float32, copy=False)
