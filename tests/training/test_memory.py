import pytest
import torch

from hpo.config import TrainingConfig
from hpo.errors import DeviceError, OutOfMemoryError
from hpo.training.device import Device
from hpo.training.memory import memory_explained, n_weights
from hpo.training.model import plain_model

CONFIG = TrainingConfig(image_size=16, hidden=(7, 5), dropout=0.0, batch_norm=False, outputs=2)


def test_weights_are_counted() -> None:
    expected = sum(parameter.numel() for parameter in plain_model(CONFIG).parameters())
    assert n_weights(CONFIG) == expected


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:129] DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
def test_a_failed_allocation_is_explained(error: Exception, cpu: Device) -> None:
    with (
        pytest.raises(DeviceError, match=r"(?s)memory on cpu.*\[7, 5\].*image_size = 16.*smaller"),
        memory_explained(CONFIG, cpu),
    ):
        raise error


def test_a_real_failed_allocation_is_recognized(cpu: Device) -> None:
    with pytest.raises(DeviceError), memory_explained(CONFIG, cpu):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_pass(cpu: Device) -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_explained(CONFIG, cpu):
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize("text", ["CUDA error: unspecified launch failure", "CUDA error: 719\nx"])
def test_a_gpu_that_is_gone_is_told_from_one_that_is_full(text: str) -> None:
    gpu = Device("cuda:0", "bf16")
    with (
        pytest.raises(DeviceError, match=r"^cuda:0 stopped working: CUDA error: .*kept") as caught,
        memory_explained(CONFIG, gpu),
    ):
        raise RuntimeError(text)
    assert not isinstance(caught.value, OutOfMemoryError)
    assert "\n" not in str(caught.value)
