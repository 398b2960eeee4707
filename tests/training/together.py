"""Small images, trainings together and alone, and their bitwise comparison."""

from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.training import stack
from hpo.training.device import Device
from hpo.training.engine import Epoch, Stack, TrainingResult, Weights

N_TEST = 20


class Job(NamedTuple):
    """What a stack is asked to train."""

    config: TrainingConfig
    seed: int = 3
    fold: int = 1


def make_data(n_pool: int, *n_train: int, n_classes: int = 2) -> TrainingData:
    """Make classes of noisy images; `n_train` are the training images of each fold in turn."""

    def fold(i: int) -> Fold:
        n, positions = n_train[i % len(n_train)], np.roll(np.arange(n_pool), 7 * i)
        return Fold(train=np.sort(positions[:n]), validation=np.sort(positions[n:]))

    labels = (np.arange(n_pool) % 3 == 0).astype(np.uint8)
    if n_classes > 2:
        labels = (np.arange(n_pool) % n_classes).astype(np.uint8)
    return TrainingData(
        fingerprint="small",
        labels=labels,
        n_test=N_TEST,
        pixels_at=lambda size: _draw_pixels(size, labels),
        fold=fold,
    )


def _draw_pixels(size: int, labels: np.ndarray) -> Pixels:
    """Draw the pool and the test images with a disc that is brighter for higher labels."""
    random = np.random.default_rng(size)
    all_labels = np.concatenate([labels, np.arange(N_TEST, dtype=np.uint8) % 2])
    across, along = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    disc = np.hypot(across - 0.3, along + 0.2) < 0.5
    images = random.normal(100, 30, (len(all_labels), size, size))
    images += 40 * disc * all_labels[:, None, None] + random.normal(0, 10, (len(images), 1, 1))
    pixels = images.clip(0, 255).astype(np.uint8)
    pixels.flags.writeable = False  # As the cache maps them.
    return pixels


def add(stack: Stack, job: Job) -> int:
    return stack.add(job.config, seed=job.seed, fold=job.fold)


def train_alone(data: TrainingData, job: Job, device: Device) -> TrainingResult:
    """Train in an otherwise empty stack."""
    with closing(stack.open_stack(data, device=device)) as alone:
        return train_together(alone, [job])[0]


def train_together(stack: Stack, jobs: Iterable[Job]) -> list[TrainingResult]:
    """Train all at once; return the results in the order of the jobs."""
    added = [add(stack, job) for job in jobs]
    while stack.lanes:
        stack.step()
    return [stack.result(lane) for lane in added]


def assert_bitwise_equal(found: TrainingResult, expected: TrainingResult) -> None:
    """Compare all but the seconds; NaN equals NaN."""
    assert found.run.kept_epoch == expected.run.kept_epoch
    assert found.weights.keys() == expected.weights.keys()
    assert found.run.stress.keys() == expected.run.stress.keys()
    pairs = [
        (numbers(found), numbers(expected)),
        *zip(probabilities(found), probabilities(expected), strict=True),
        *((weight, expected.weights[name]) for name, weight in found.weights.items()),
    ]
    for one, other in pairs:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def probabilities(result: TrainingResult) -> list[np.ndarray]:
    """Return the probabilities of the scored and of the other weights."""
    both = (result.run, result.run.other)
    every = ((of.validation_probabilities, of.test_probabilities) for of in both if of)
    return [np.array(found) for of_one in every for found in of_one]


def numbers(result: TrainingResult) -> np.ndarray:
    """Return everything that was measured."""

    def flat(epoch: Epoch) -> list[float]:
        parts = (epoch.train, epoch.validation, epoch.stress)
        return [epoch.learning_rate, *(x for part in parts for x in part.values())]

    assert result.run.other
    last = (result.run.train, result.run.other.validation, *result.run.stress.values())
    every = (*map(flat, result.run.epochs), *(part.values() for part in last))
    return np.array([x for part in every for x in part])


def as_tensors(weights: Weights) -> dict[str, torch.Tensor]:
    """Return exported weights as the state that a plain model loads."""
    return {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
