"""Trainings side by side, trainings alone, and the comparison of both, bit for bit."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, TrainingData
from hpo.training import stack
from hpo.training.device import Device
from hpo.training.engine import EpochMetrics, Stack, TrainingResult

# In batches of 16: a last batch of 1 image, none, 13, 4 and 3.
FOLD_SIZES = (81, 80, 77, 84, 83)
N_POOL = 103


class Job(NamedTuple):
    """What a stack is asked to train."""

    config: TrainingConfig
    seed: int = 3
    fold: int = 1


def uneven_data(make_data: Callable[[int, int], TrainingData]) -> TrainingData:
    """Return images whose folds differ in size."""

    def fold(i: int) -> Fold:
        n = FOLD_SIZES[i % len(FOLD_SIZES)]
        positions = np.roll(np.arange(N_POOL), 7 * i)
        return Fold(train=np.sort(positions[:n]), validation=np.sort(positions[n:]))

    return dataclasses.replace(make_data(N_POOL, FOLD_SIZES[0]), fold=fold)


def add(stack: Stack, job: Job) -> int:
    return stack.add(job.config, seed=job.seed, fold=job.fold)


def train_alone(data: TrainingData, job: Job, device: Device) -> TrainingResult:
    """Train in a stack that holds nothing else."""
    return train_together(stack.open_stack(data, device=device), [job])[0]


def train_together(stack: Stack, jobs: Iterable[Job]) -> list[TrainingResult]:
    """Train all at once; return the results in the order of the jobs."""
    added = [add(stack, job) for job in jobs]
    while stack.lanes:
        stack.step()
    return [stack.result(lane) for lane in added]


def assert_bitwise_equal(found: TrainingResult, expected: TrainingResult) -> None:
    """Compare all but the seconds; NaN equals NaN."""
    assert found.kept_epoch == expected.kept_epoch
    assert found.weights.keys() == expected.weights.keys()
    pairs = [
        (numbers(found.epochs), numbers(expected.epochs)),
        (
            np.array(dataclasses.astuple(found.train)),
            np.array(dataclasses.astuple(expected.train)),
        ),
        (found.validation_probabilities, expected.validation_probabilities),
        (found.test_probabilities, expected.test_probabilities),
        *((weight, expected.weights[name]) for name, weight in found.weights.items()),
    ]
    for one, other in pairs:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def numbers(epochs: Iterable[EpochMetrics]) -> np.ndarray:
    """Return everything that was measured, `(epochs, numbers)`."""
    return np.array(
        [
            (
                epoch.learning_rate,
                *dataclasses.astuple(epoch.train),
                *dataclasses.astuple(epoch.validation),
            )
            for epoch in epochs
        ]
    )
