"""From what was read off the device to metrics and results: the same for every engine."""

import time
from dataclasses import dataclass

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
from hpo.training.metrics import measure
from hpo.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What the kept weights give: loss, then probabilities `(1 + n,)`; of the test images `(n,)`.

    No label of a test image is known, so there is no loss.
    """

    train: Tensor
    validation: Tensor
    test: Tensor


def measure_epoch(
    trained: Tensor, validation: Tensor, *, data: LaneData, learning_rate: float
) -> EpochMetrics:
    """Return the metrics of an epoch.

    `trained` `(3,)` holds sums over its images: loss, right answers, images; `validation`
    `(1 + n,)` the loss, then the probabilities.
    """
    # The one reading of the device in an epoch: everything that was measured, in one copy.
    readings = torch.cat([trained, validation.to(trained.dtype)]).cpu().numpy()
    loss, n_right, n_trained = (float(reading) for reading in readings[:3])
    return EpochMetrics(
        learning_rate=learning_rate,
        train=TrainMetrics(loss=loss / n_trained, accuracy=n_right / n_trained),
        validation=_measure(readings[3:], data, data.fold.validation),
    )


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
    )


def _measure(
    readings: np.ndarray[tuple[int, ...], np.dtype[np.floating]], data: LaneData, images: Indices
) -> ValidationMetrics:
    labels = data.known_labels[images]
    return measure(_single(readings[1:]), labels, loss=float(readings[0]))


def _single(p: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Probabilities:
    return p.astype(np.float32, copy=False)
