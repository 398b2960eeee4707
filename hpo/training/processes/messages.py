"""What a stack and its processes say to each other: pickled records, one after another.

A process answers every Train with a Trained and every Time with a Timed, or either with a Failed;
it answers nothing else.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold
from hpo.errors import HpoError
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, TrainingResult


@dataclass(frozen=True)
class Open:
    """The first message: what every lane has in common. No label of a test image is in it.

    `pixels` is the number of an open file: pool and test images of one size after another.
    """

    fingerprint: str
    labels: NDArray[np.uint8]
    n_test: int
    device: Device
    joins: bool
    is_stressed: bool
    pixels: int


@dataclass(frozen=True)
class Add:
    """Begin a lane. `offset` is where the pixels of the configuration's image size begin."""

    lane: int
    config: TrainingConfig
    seed: int
    fold: int
    images: Fold
    offset: int


@dataclass(frozen=True)
class Drop:
    """Forget a lane."""

    lane: int


@dataclass(frozen=True)
class Train:
    """Train every lane for an epoch."""


@dataclass(frozen=True)
class Time:
    """Time a configuration, as `hpo.training.timing.seconds_per_epoch` does; fields as in Add."""

    config: TrainingConfig
    images: Fold
    offset: int


@dataclass(frozen=True)
class Trained:
    """The epochs that were trained, and what the lanes that are finished leave behind."""

    epochs: list[LaneEpoch]
    results: dict[int, TrainingResult]


@dataclass(frozen=True)
class Timed:
    """The seconds of an epoch."""

    seconds: float


@dataclass(frozen=True)
class Failed:
    """What ended the work of the process: an error that hpo explains, or the trace of another."""

    error: HpoError | None
    trace: str = ""


Request: TypeAlias = Open | Add | Drop | Train | Time
Answer: TypeAlias = Trained | Timed
Reply: TypeAlias = Answer | Failed
