"""Data and devices of the engine's tests."""

from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device
from hpo.training.engine import TrainingResult
from tests.training.together import Job, make_data, train_alone

Train: TypeAlias = Callable[[TrainingConfig], TrainingResult]


@pytest.fixture(scope="session")
def data() -> TrainingData:
    """80 training, 20 validation and 20 test images."""
    return make_data(100, 80)


@pytest.fixture(scope="session")
def uneven() -> TrainingData:
    """Folds of 81, 80, 77, 84 and 83 images: batches of 16 leave 1, none, 13, 4 and 3."""
    return make_data(103, 81, 80, 77, 84, 83)


@pytest.fixture(scope="session")
def cpu() -> Device:
    return Device("cpu", "fp32")


@pytest.fixture
def cuda() -> Device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: torch.cuda.is_available() is False")
    return Device("cuda:0", "bf16")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def place(request: pytest.FixtureRequest) -> Device:
    """A CPU, and a GPU: for what does not depend on the precision."""
    found: Device = request.getfixturevalue(request.param)
    return found


@pytest.fixture(
    params=[
        ("cpu", "bf16"),
        ("cpu", "fp32"),
        pytest.param(("cuda:0", "bf16"), marks=pytest.mark.gpu),
        pytest.param(("cuda:0", "fp32"), marks=pytest.mark.gpu),
    ],
    ids=" ".join,
)
def device(request: pytest.FixtureRequest) -> Device:
    """Every device with either precision."""
    if request.param[0] != "cpu":
        request.getfixturevalue("cuda")
    return Device(*request.param)


@pytest.fixture(scope="session")
def train(data: TrainingData, cpu: Device) -> Train:
    """Train a configuration alone on the CPU, with seed 3 on fold 1."""
    return lambda config: train_alone(data, Job(config), cpu)
