"""An engine that trains nothing: its scores follow from the configuration and the seed."""

import math
from dataclasses import dataclass, field

import numpy as np

from hpo.config import TrainingConfig
from hpo.errors import DeviceError, OutOfMemoryError, TrainingError
from hpo.training.engine import Epoch, LaneEpoch, OtherWeights, Run, TrainingResult
from hpo.training.machine import versions


@dataclass
class ClockedStack:
    """A stack whose lanes end after their epochs. A learning rate of 10 diverges in epoch 2.

    Batch sizes above 64 are refused; `stop_at` raises KeyboardInterrupt at that step. Trainings
    with a seed of `diverging_seed` diverge too. More lanes than `room` exhaust the memory as they
    train. The device is gone at step `lost_at`.
    """

    stop_at: int | None = None
    lost_at: int | None = None
    diverging_seed: int | None = None
    n_validation: int = 4
    room: int = 1_000
    live: dict[int, tuple[TrainingConfig, int, list[Epoch]]] = field(default_factory=dict)
    done: dict[int, tuple[TrainingConfig, int, list[Epoch]]] = field(default_factory=dict)
    n_added: int = 0
    n_steps: int = 0

    @property
    def lanes(self) -> tuple[int, ...]:
        return tuple(self.live)

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        if config.batch_size > 64:
            raise TrainingError(f"batch_size {config.batch_size} is larger than 64 images.")
        if seed == self.diverging_seed:
            config = config.replace(learning_rate=10.0)
        self.n_added += 1
        self.live[self.n_added] = (config, seed + fold, [])
        return self.n_added

    def step(self) -> list[LaneEpoch]:
        self.n_steps += 1
        if self.n_steps == self.stop_at:
            raise KeyboardInterrupt
        if self.n_steps == self.lost_at:
            raise DeviceError("cuda:0 stopped working.")
        if len(self.live) > self.room:
            raise OutOfMemoryError("There is not enough memory.")
        reached = []
        for lane, (config, seed, epochs) in list(self.live.items()):
            epochs.append(_metrics(config, seed, epoch=len(epochs) + 1))
            reached.append(LaneEpoch(lane, len(epochs), epochs[-1]))
            if len(epochs) == config.epochs:
                self.done[lane] = self.live.pop(lane)
        return reached

    def drop(self, lane: int) -> None:
        self.live.pop(lane, None)
        self.done.pop(lane, None)

    def close(self) -> None:
        self.live.clear()

    def result(self, lane: int) -> TrainingResult:
        (config, seed, epochs), n = self.done.pop(lane), self.n_validation
        run = Run(
            epochs=tuple(epochs),
            kept_epoch=len(epochs),
            train=epochs[-1].validation,
            validation_probabilities=(score(config, seed, config.epochs),) * n,
            test_probabilities=(0.5, 0.5),
            seconds=0.5,
            versions=versions(),
            validation_images=(0, 1, 2, 3),
            validation_labels=(0, 1, 0, 1),
            validation_patients=(0, 1, 2, 3),
            other=OtherWeights("average", epochs[-1].validation, (0.5,) * n, (0.5, 0.5)),
        )
        return TrainingResult(run, {"1.weight": np.full((2, 2), seed, np.float32)})


def score(config: TrainingConfig, seed: int, epoch: int) -> float:
    """Return the accuracy of an epoch: best at a learning rate of 1e-3, rising with the epochs."""
    distance = abs(math.log10(config.learning_rate) + 3)
    return round(0.9 - 0.1 * distance - 0.1 / epoch + 0.001 * (seed % 7), 6)


def _metrics(config: TrainingConfig, seed: int, *, epoch: int) -> Epoch:
    accuracy = score(config, seed, epoch)
    loss = math.nan if config.learning_rate >= 10 and epoch > 1 else 1 - accuracy
    return Epoch(
        learning_rate=config.learning_rate,
        train={"loss": loss, "accuracy": accuracy},
        validation={
            **{"loss": loss, "accuracy": accuracy, "balanced_accuracy": accuracy},
            **{"auroc": accuracy, "log_loss": loss, "brier": loss},
            **{"sensitivity": round(1.5 - accuracy, 6), "specificity": accuracy},
        },
    )
