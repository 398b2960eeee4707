"""The interface between a study and an engine: lanes are added, stepped, dropped and read.

```python
stack = open_stack(data, device=device)
lane = stack.add(config, seed=3, fold=3)
while stack.lanes:
    for lane, epoch, metrics in stack.step():  # one epoch of every live lane
        ...
result = stack.result(lane)
```
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Annotated, Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, Strict

from hpo.choices import ScoredWeights
from hpo.config import TrainingConfig
from hpo.errors import TrainingError

Probabilities: TypeAlias = NDArray[np.float32]
"""For the second of two classes `(n,)`; for more classes, for each `(n, classes)`."""

Weights: TypeAlias = dict[str, NDArray[np.generic]]

Number: TypeAlias = Annotated[float, Strict()]
Metrics: TypeAlias = dict[str, Number]
"""Metrics of one set of images by name (`hpo.training.progress.measure`)."""

Index: TypeAlias = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
_OfEach: TypeAlias = Annotated[tuple[Number, ...], Field(fail_fast=True)]
ImageProbabilities: TypeAlias = Annotated[
    _OfEach | Annotated[tuple[_OfEach, ...], Field(fail_fast=True)],
    Field(union_mode="left_to_right"),
]
"""For two classes, the second one's probability per image; for more, those of all classes."""

# Raise this when the same configuration, seed and data give different numbers than before:
# finished runs are looked up by it, and results of two generations must not be mixed.
NUMERICS_VERSION: Final = 3

# Raise this when the stress battery changes (docs/stress.md): older scores are then invalid.
BATTERY_VERSION: Final = 2

# Below this image size a shift of a tenth is under two pixels.
SMALLEST_STRESSED: Final = 16


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The measurements of one epoch, as stored in the run store.

    `train` are means over its steps, with dropout on: loss and accuracy. `stress` is the mean over
    the stress battery, empty if not measured.
    """

    learning_rate: Number
    train: Metrics
    validation: Metrics
    stress: Metrics = field(default_factory=dict)


class LaneEpoch(NamedTuple):
    """One epoch of one lane, as returned by `step`. Epochs count from 1."""

    lane: int
    epoch: int
    metrics: Epoch


@dataclass(frozen=True)
class OtherWeights:
    """Results of the weights that a training does not score, which `weights` names."""

    weights: ScoredWeights
    validation: Metrics
    validation_probabilities: ImageProbabilities
    test_probabilities: ImageProbabilities


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training: metrics of every epoch and probabilities per image.

    `train` is measured with the kept weights in evaluation mode. Validation probabilities are in
    the order of the fold, test probabilities in the order of the data set. `stress` holds the
    validation metrics under each change of the stress battery, measured with the kept weights, if
    requested. `validation_images` are the positions of the validation images among those that are
    not test, with labels and patients; empty in runs of version 0.1, which lack `other` weights
    and score the last.
    """

    epochs: tuple[Epoch, ...]
    kept_epoch: Annotated[int, Strict()]
    train: Metrics
    validation_probabilities: ImageProbabilities
    test_probabilities: ImageProbabilities
    seconds: Number
    versions: dict[str, str]
    stress: dict[str, Metrics] = field(default_factory=dict)
    validation_images: tuple[Index, ...] = ()
    validation_labels: tuple[Index, ...] = ()
    validation_patients: tuple[Index, ...] = ()
    other: OtherWeights | None = None

    @property
    def weights(self) -> ScoredWeights:
        """The weights that the training scores."""
        return "average" if self.other and self.other.weights == "last" else "last"

    @property
    def names_images(self) -> bool:
        """Whether the run records which validation images its probabilities belong to."""
        return 0 < len(self.validation_images) == len(self.validation_probabilities)

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights were kept."""
        return self.epochs[self.kept_epoch - 1]


class TrainingResult(NamedTuple):
    """The result of a finished training.

    `weights` are the scored ones of the kept epoch: the state dict of the reports'
    `nn.Sequential`, as arrays (the interface needs no torch).
    """

    run: Run
    weights: Weights


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The workers of a Ray cluster: `n_actors` processes on `n_nodes` machines.

    `n_lanes` trainings keep them busy; `n_lost` were lost with a process and restart. `processors`
    are the kinds that have trained, and `notes` list the nodes that are not used.
    """

    n_actors: int
    n_nodes: int
    n_lanes: int
    processors: tuple[str, ...]
    n_lost: int = 0
    notes: tuple[str, ...] = ()


def predicted(probabilities: NDArray[np.floating], threshold: float = 0.5) -> NDArray[np.int64]:
    """Return the predicted class of each image: the most likely, or by the threshold of two."""
    of_two = probabilities.ndim == 1
    return np.asarray(probabilities > threshold if of_two else probabilities.argmax(1), np.int64)


def of_label(
    probabilities: NDArray[np.floating], labels: NDArray[np.uint8]
) -> NDArray[np.floating]:
    """Return the probability of each image's true class; shapes as in `predicted`."""
    if probabilities.ndim == 1:
        return np.where(labels == 1, probabilities, 1 - probabilities)
    return np.take_along_axis(probabilities, labels[:, None].astype(np.int64), axis=1)[:, 0]


def mean_metrics(measured: Iterable[Mapping[str, float]]) -> Metrics:
    """Return the mean of every metric that all items contain."""
    items = list(measured)
    names = [name for name in items[0] if all(name in item for item in items)] if items else []
    return {name: fmean(item[name] for item in items) for name in names}


def result_of(result: TrainingResult | TrainingError) -> TrainingResult:
    """Return the result of a lane, or raise its error."""
    if isinstance(result, TrainingError):
        raise result
    return result


class Stack(Protocol):
    """Trainings that run together. Each lane computes the same as alone."""

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes in training, in the order in which they were added."""

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Start a training and return its lane: an id that is never used again.

        Raises:
            TrainingError: the configuration cannot be trained on this data.
        """

    def step(self) -> list[LaneEpoch]:
        """Train live lanes for an epoch; remove finished and failed lanes.

        Epochs of a lane come in order, several at once if it joined a training that is further
        ahead. A non-finite training loss is returned unchanged: drop the lane.

        Raises:
            OutOfMemoryError: this stack cannot continue; open another one with fewer lanes.
        """

    def drop(self, lane: int) -> None:
        """Remove a lane without a result."""

    def result(self, lane: int) -> TrainingResult:
        """Return the result of a finished lane, and remove it.

        Raises:
            TrainingError: a custom model failed in this lane.
        """

    def close(self) -> None:
        """Release memory and processes; every lane is lost."""
