import pytest
import torch

from hpo.config import TrainingConfig
from hpo.errors import DeviceError, OutOfMemoryError, UsageError
from hpo.training import cohort
from hpo.training.device import Device, choose, computing
from hpo.training.selfcheck import check_device

CONFIG = TrainingConfig(image_size=16, hidden=(7, 5), dropout=0.0, batch_norm=False, outputs=2)


@pytest.fixture
def _with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _name: (7, 5))


def test_without_a_gpu_auto_is_the_cpu_and_cuda_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("auto", "fp32") == Device("cpu", "fp32")
    with pytest.raises(DeviceError, match="Use --device cpu"):
        choose("cuda")


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32")],
)
def test_auto_precision_follows_the_cpu_and_bf16_can_be_emulated(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose("cpu").precision == precision
    assert choose("cpu", "bf16").precision == "bf16"
    # torch 2.11 has no such function.
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert choose("cpu").precision == "fp32"


@pytest.mark.usefixtures("_with_two_gpus")
def test_names_of_gpus_are_completed_and_missing_devices_refused() -> None:
    assert choose("auto") == choose("cuda") == Device("cuda:0", "fp32")
    assert choose("cuda:1") == Device("cuda:1", "fp32")
    for name, precision, error, says in (
        ("gpu", "auto", UsageError, r"auto, cpu, cuda or cuda:N, but got 'gpu'"),
        ("cpu", "fp16", UsageError, r"auto, bf16 or fp32, but got 'fp16'"),
        ("cuda:2", "auto", DeviceError, r"no cuda:2\. This machine has 2, starting with cuda:0"),
        ("cuda:0", "bf16", DeviceError, r"cuda:0 does not support bf16\. Use --precision fp32"),
    ):
        with pytest.raises(error, match=says):
            choose(name, precision)


def test_only_a_failed_allocation_is_reported_as_out_of_memory(cpu: Device) -> None:
    says = r"(?s)memory on cpu.*\[7, 5\].*image_size = 16.*smaller"
    with pytest.raises(OutOfMemoryError, match=says), computing(CONFIG, cpu):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(OutOfMemoryError, match=says), computing(CONFIG, cpu):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shapes"), computing(CONFIG, cpu):
        raise RuntimeError("shapes differ")


def test_a_lost_gpu_is_not_reported_as_out_of_memory() -> None:
    says = r"^cuda:0 stopped working: CUDA error: 719\. Finished trainings are saved"
    with pytest.raises(DeviceError, match=says), computing(CONFIG, Device("cuda:0", "bf16")):
        raise RuntimeError("CUDA error: 719\nx")


def test_only_a_device_that_agrees_with_plain_torch_is_used(
    monkeypatch: pytest.MonkeyPatch, device: Device
) -> None:
    check_device(device)
    monkeypatch.setattr(cohort, "update", lambda *_: None)
    says = f"^{device.name} does not agree with plain torch.* differs by 100 %.*--device cpu"
    with pytest.raises(DeviceError, match=says):
        check_device.__wrapped__(device)
