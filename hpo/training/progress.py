"""The state of a training: its weights, its measurements and their consequences; the metrics."""

import copy
import math
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hpo.config import TrainingConfig
from hpo.errors import TrainingError
from hpo.stats import auroc
from hpo.training.device import Device
from hpo.training.engine import Epoch, Metrics, Probabilities, of_label, predicted
from hpo.training.images import LaneData
from hpo.training.layers import Parameters, Scratch
from hpo.training.optimizers import Moments, learning_rates, plateau_step

W = TypeVar("W", Parameters, nn.Module)

# Ten changes cost as much as an epoch. This must not depend on the total number of epochs, as a
# training may be extended.
STRESS_EVERY: Final = 10

# A probability of 0 or 1 in float32 may be this far off; its log must stay finite.
_SMALLEST: Final = 1e-7


@dataclass
class Progress:
    """The finished epochs of a training, and the learning rate of every epoch as far as known.

    `plateau` is the state of that schedule. `kept_epoch` is 0 until early stopping has kept an
    epoch; `stress` is the last measurement under the stress battery, after `stress_epoch`. `error`
    is the reason why a custom model cannot continue.
    """

    config: TrainingConfig
    rates: list[float] = field(default_factory=list)
    plateau: tuple[float, int] = (math.inf, 0)
    epochs: list[Epoch] = field(default_factory=list)
    lowest_loss: float = math.inf
    kept_epoch: int = 0
    seconds: float = 0.0
    stress: dict[str, Metrics] = field(default_factory=dict)
    stress_epoch: int = 0
    error: TrainingError | None = None

    def __post_init__(self) -> None:
        self.prolong(self.config)

    def prolong(self, config: TrainingConfig) -> None:
        """Extend the training to more epochs; `config` has the same root."""
        self.config, self.rates = config, learning_rates(config)

    @property
    def epoch(self) -> int:
        """The number of finished epochs, which is the index of the next one."""
        return len(self.epochs)

    @property
    def rate(self) -> float:
        """The learning rate of the next epoch."""
        return self.rates[self.epoch]

    @property
    def is_stopped(self) -> bool:
        """Whether early stopping ends the training now."""
        return 0 < self.config.early_stopping <= self.epoch - self.kept_epoch

    @property
    def last_kept(self) -> int:
        """The epoch whose weights the training keeps.

        Without early stopping, or if no validation loss was a number, the last one.
        """
        return self.kept_epoch or self.epoch


@dataclass(kw_only=True)
class Lane(Generic[W]):
    """The state of one training, of the built-in network or of a custom one.

    `average` is that of the weights after the first `n_averaged` of `n_steps` steps. `kept` are
    the scored and the other weights kept by early stopping, if any. Lanes share `scratch`.
    """

    device: Device
    scratch: Scratch
    data: LaneData
    seeds: Tensor
    weights: W
    average: W
    moments: Moments
    progress: Progress
    n_steps: int = 0
    n_averaged: int = 0
    kept: tuple[W, W] | None = None

    @property
    def config(self) -> TrainingConfig:
        """The configuration; a training that is extended to more epochs gets another one."""
        return self.progress.config

    @property
    def scored_and_other(self) -> tuple[W, W]:
        """The weights that the configuration scores, and the others."""
        both = self.weights, self.average
        return both if self.config.weights == "last" else both[::-1]

    def keep(self) -> None:
        """Keep copies of the current weights."""
        try:
            self.kept = copy.deepcopy(self.scored_and_other)
        except RuntimeError:
            # A custom network may store an activation with its gradient; its average does not.
            network: Any = self.weights
            last: Any = copy.deepcopy(self.average)
            last.load_state_dict(network.state_dict())
            both = last, copy.deepcopy(self.average)
            self.kept = both if self.config.weights == "last" else both[::-1]


def note_epoch(progress: Progress, metrics: Epoch) -> bool:
    """Record a finished epoch; return whether early stopping keeps its weights."""
    progress.epochs.append(metrics)
    config, epoch, loss = progress.config, progress.epoch, metrics.validation["loss"]
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
    """Return the common root of trainings that differ only in their epochs.

    The longer of two trainings with the same root starts with the shorter one. None if the
    schedule depends on the number of epochs.
    """
    if config.scheduler not in ("none", "step", "multistep"):
        return None
    return config.replace(epochs=1).identity()


def measure(probabilities: Probabilities, labels: NDArray[np.uint8], *, loss: float) -> Metrics:
    """Return every metric of these images; `loss` is the configuration's own.

    A probability of 0.5 means the first of two classes. Balanced accuracy is the mean over the
    classes that occur; AUROC, sensitivity and specificity of more than two classes are means over
    one class against the rest. Their Brier score is half the squared distance from the label,
    which equals that of two classes.
    """
    p = probabilities.astype(np.float64)
    weights, answers = np.ones((1, len(p))), predicted(p)
    is_right, occurring = answers == labels, np.unique(labels)
    of_class = {label: is_right[labels == label].mean() for label in occurring}
    positive = [1] if p.ndim == 1 else occurring
    specificities = [np.mean(answers[labels != c] != c) for c in positive if (labels != c).any()]
    if p.ndim == 1:
        ranks, brier = [auroc(labels, p)], (p - labels) ** 2
    else:
        is_label = labels[:, None] == np.arange(p.shape[1])
        brier = ((p - is_label) ** 2).sum(1) / 2
        ranks = [auroc(*pair) for pair in zip(is_label.T, p.T, strict=True)]
    rank = fmean(float(of(weights)[0]) for of in ranks) if np.isfinite(p).all() else math.nan
    log_p = np.log(np.clip(of_label(p, labels), _SMALLEST, 1 - _SMALLEST))
    return {
        "loss": loss,
        "accuracy": float(np.mean(is_right)),
        "balanced_accuracy": float(np.mean(list(of_class.values()))),
        "auroc": rank,
        "log_loss": float(-log_p.mean()),
        "brier": float(brier.mean()),
        "sensitivity": float(fmean(of_class.get(c, np.nan) for c in positive)),
        "specificity": float(fmean(specificities or [np.nan])),
    }
