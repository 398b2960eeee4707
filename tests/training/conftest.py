"""A small stand-in for X-rays: two classes of noisy images that a network can tell apart."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.training.device import Device
from hpo.training.engine import TrainingResult, Weights
from hpo.training.stack import open_stack

N_TEST = 20

Train: TypeAlias = Callable[[TrainingConfig], TrainingResult]


def as_tensors(weights: Weights) -> dict[str, torch.Tensor]:
    """Return exported weights as the state that a plain model loads."""
    return {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}


@pytest.fixture(scope="session")
def make_data() -> Callable[[int, int], TrainingData]:
    """Make a pool with so many images, of which so many are for training."""
    return _make_data


@pytest.fixture(scope="session")
def data() -> TrainingData:
    """80 training, 20 validation and 20 test images."""
    return _make_data(100, 80)


@pytest.fixture(scope="session")
def cpu() -> Device:
    return Device("cpu", "fp32")


@pytest.fixture(params=["bf16", "fp32"])
def device(request: pytest.FixtureRequest) -> Device:
    """The CPU with either precision."""
    return Device("cpu", request.param)


@pytest.fixture
def cuda() -> Device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: torch.cuda.is_available() is False")
    return Device("cuda:0", "bf16")


@pytest.fixture(scope="session")
def train(data: TrainingData, cpu: Device) -> Train:
    """Train a configuration alone on the CPU, with seed 3 on fold 1."""

    def train(config: TrainingConfig) -> TrainingResult:
        stack = open_stack(data, device=cpu)
        lane = stack.add(config, seed=3, fold=1)
        while stack.lanes:
            stack.step()
        return stack.result(lane)

    return train


def _make_data(n_pool: int, n_train: int) -> TrainingData:
    def fold(i: int) -> Fold:
        positions = np.roll(np.arange(n_pool), 7 * i)
        return Fold(train=np.sort(positions[:n_train]), validation=np.sort(positions[n_train:]))

    labels = (np.arange(n_pool) % 3 == 0).astype(np.uint8)
    return TrainingData(
        fingerprint="small",
        labels=labels,
        n_test=N_TEST,
        pixels_at=lambda size: _draw_pixels(size, labels),
        fold=fold,
    )


def _draw_pixels(size: int, labels: np.ndarray) -> Pixels:
    """Draw the pool and the test images: a brighter disc in the images of label 1."""
    random = np.random.default_rng(size)
    all_labels = np.concatenate([labels, np.arange(N_TEST, dtype=np.uint8) % 2])
    across, along = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    disc = np.hypot(across - 0.3, along + 0.2) < 0.5
    images = random.normal(100, 30, (len(all_labels), size, size))
    images += 40 * disc * all_labels[:, None, None] + random.normal(0, 10, (len(images), 1, 1))
    return images.clip(0, 255).astype(np.uint8)
