import pytest
import torch

from hpo.config import TrainingConfig
from hpo.errors import DeviceError, OutOfMemoryError, UsageError
from hpo.training.device import Device, choose, computing

CONFIG = TrainingConfig(image_size=16, hidden=(7, 5), dropout=0.0, batch_norm=False, outputs=2)


@pytest.fixture
def _without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def _with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _name: (7, 5))


@pytest.mark.usefixtures("_without_gpu")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_says_what_to_do() -> None:
    assert choose("auto", "fp32") == Device("cpu", "fp32")
    with pytest.raises(DeviceError, match="Use --device cpu"):
        choose("cuda")


@pytest.mark.usefixtures("_with_two_gpus")
def test_a_gpu_is_named_in_full() -> None:
    assert choose("auto") == choose("cuda") == Device("cuda:0", "fp32")
    assert choose("cuda:1") == Device("cuda:1", "fp32")
    assert choose("cuda:1").type == "cuda"


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32")],
)
def test_auto_precision_is_what_the_cpu_has_and_bf16_is_emulated(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose("cpu").precision == precision
    assert choose("cpu", "bf16").precision == "bf16"
    # torch 2.11 has no such function.
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert choose("cpu").precision == "fp32"


@pytest.mark.usefixtures("_with_two_gpus")
@pytest.mark.parametrize(
    ("name", "precision", "error", "says"),
    [
        ("gpu", "auto", UsageError, r"auto, cpu, cuda or cuda:N, but got 'gpu'"),
        ("cuda:x", "auto", UsageError, r"got 'cuda:x'"),
        ("cpu", "fp16", UsageError, r"auto, bf16, fp32, but got 'fp16'"),
        ("cuda:2", "auto", DeviceError, r"no cuda:2: this machine has 2, from cuda:0 on"),
        ("cuda:0", "bf16", DeviceError, r"cuda:0 has no bf16: use --precision fp32"),
    ],
)
def test_what_does_not_exist_is_refused(
    name: str, precision: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        choose(name, precision)


def test_a_failed_allocation_is_explained(cpu: Device) -> None:
    says = r"(?s)memory on cpu.*\[7, 5\].*image_size = 16.*smaller"
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")):
        with pytest.raises(OutOfMemoryError, match=says), computing(CONFIG, cpu):
            raise error
    with pytest.raises(OutOfMemoryError, match=says), computing(CONFIG, cpu):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shapes"), computing(CONFIG, cpu):
        raise RuntimeError("shapes differ")


def test_a_gpu_that_is_gone_is_not_one_that_is_full() -> None:
    says = r"^cuda:0 stopped working: CUDA error: .*kept"
    with (
        pytest.raises(DeviceError, match=says) as caught,
        computing(CONFIG, Device("cuda:0", "bf16")),
    ):
        raise RuntimeError("CUDA error: 719\nx")
    assert not isinstance(caught.value, OutOfMemoryError)
    assert "\n" not in str(caught.value)
