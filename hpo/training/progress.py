"""What a training has measured so far, what follows from it, and what it leaves behind."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hpo.config import TrainingConfig
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
from hpo.training.schedules import Plateau, learning_rates, plateau_step

ReadUnder: TypeAlias = Callable[[LaneData], Tensor]

# Ten changes cost as much as an epoch. It must not depend on how many epochs there are to be: a
# training may go on for more.
STRESS_EVERY: Final = 10


@dataclass(kw_only=True)
class Progress:
    """The past of one training. `kept_epoch` is 0 until early stopping has kept an epoch.

    `rates` holds the learning rate of every epoch, as far as it is known; `stress` what was
    measured last under the stress battery, after `stress_epoch`.
    """

    config: TrainingConfig
    rates: list[float]
    plateau: Plateau = field(default_factory=Plateau)
    epochs: list[EpochMetrics] = field(default_factory=list)
    lowest_loss: float = math.inf
    kept_epoch: int = 0
    seconds: float = 0.0
    stress: Mapping[str, ValidationMetrics] = field(default_factory=dict)
    stress_epoch: int = 0

    @property
    def epoch(self) -> int:
        """The number of epochs that are done, which is the index of the next one."""
        return len(self.epochs)

    @property
    def rate(self) -> float:
        """The learning rate of the next epoch."""
        return self.rates[self.epoch]

    @property
    def is_stress_due(self) -> bool:
        """Whether the stress battery is to be read after the epoch that is under way."""
        return (self.epoch + 1) % STRESS_EVERY == 0

    @property
    def is_stopped(self) -> bool:
        """Whether early stopping has waited long enough."""
        return 0 < self.config.early_stopping <= self.epoch - self.kept_epoch

    @property
    def last_kept(self) -> int:
        """The epoch whose weights the training leaves behind.

        Without early stopping, or where no validation loss was a number, the last one.
        """
        return self.kept_epoch or self.epoch


def begin(config: TrainingConfig) -> Progress:
    """Return a training before its first epoch."""
    return Progress(config=config, rates=list(learning_rates(config)))


def note_epoch(progress: Progress, metrics: EpochMetrics) -> bool:
    """Take in an epoch that has ended; return whether early stopping keeps its weights."""
    progress.epochs.append(metrics)
    config, epoch, loss = progress.config, progress.epoch, metrics.validation.loss
    if config.scheduler == "plateau" and epoch < config.epochs:
        rate = progress.rates[epoch - 1]
        progress.plateau, progress.rates[epoch] = plateau_step(
            config, progress.plateau, learning_rate=rate, loss=loss
        )
    if not config.early_stopping or not loss < progress.lowest_loss:
        return False
    progress.lowest_loss, progress.kept_epoch = loss, epoch
    return True


def root_of(config: TrainingConfig) -> str | None:
    """Return what trainings that differ only in their epochs have in common.

    The longer of two with the same root begins with all of the shorter. None where the schedule
    stretches to the epochs.
    """
    if config.scheduler not in ("none", "step", "multistep"):
        return None
    return config.replace(epochs=1).identity()


def prolong(progress: Progress, config: TrainingConfig) -> None:
    """Give a training more epochs; `config` is of the same root."""
    progress.config, progress.rates = config, list(learning_rates(config))


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
