"""Kernels run compiled where there is a GPU, and else in Triton's interpreter, on the CPU."""

import os

import pytest
import torch

from hpo.training.device import Device

if not torch.cuda.is_available():
    # Triton looks at it when a kernel is defined.
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture
def place() -> Device:
    """Where kernels can run. The interpreter cannot multiply bf16."""
    return Device("cuda:0" if torch.cuda.is_available() else "cpu", "fp32")
