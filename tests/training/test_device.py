import pytest
import torch

from hpo.errors import DeviceError, UsageError
from hpo.training.device import Device, choose, one_thread


@pytest.fixture
def _without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def _with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _name: (7, 5))


def set_capabilities(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.usefixtures("_without_gpu")
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert choose("auto", "fp32") == Device("cpu", "fp32")


@pytest.mark.usefixtures("_with_two_gpus")
def test_a_gpu_is_named_in_full() -> None:
    assert choose("auto").name == "cuda:0"
    assert choose("cuda").name == "cuda:0"
    assert choose("cuda:1") == Device("cuda:1", "fp32")
    assert choose("cuda:1").type == "cuda"


@pytest.mark.parametrize("has_it", [True, False])
@pytest.mark.parametrize("name", ["avx512_bf16", "bf16"])
def test_auto_precision_is_what_the_cpu_has(
    monkeypatch: pytest.MonkeyPatch, name: str, has_it: bool
) -> None:
    set_capabilities(monkeypatch, **{name: has_it, "avx2": True})
    assert choose("cpu").precision == ("bf16" if has_it else "fp32")


def test_a_torch_that_cannot_tell_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch 2.11 has no such function.
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose("cpu").precision == "fp32"


def test_bf16_is_emulated_on_a_cpu_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    set_capabilities(monkeypatch)
    assert choose("cpu", "bf16").precision == "bf16"


@pytest.mark.usefixtures("_with_two_gpus")
@pytest.mark.parametrize(
    ("name", "precision", "error", "says"),
    [
        ("gpu", "auto", UsageError, r"auto, cpu, cuda or cuda:N, but got 'gpu'"),
        ("cuda:x", "auto", UsageError, r"got 'cuda:x'"),
        ("cuda:", "auto", UsageError, r"got 'cuda:'"),
        ("cpu", "fp16", UsageError, r"auto, bf16, fp32, but got 'fp16'"),
        ("cuda:2", "auto", DeviceError, r"no cuda:2: this machine has 2, from cuda:0 on"),
        ("cuda:0", "bf16", DeviceError, r"cuda:0 has no bf16: use --precision fp32"),
    ],
)
def test_what_is_not_there_is_refused(
    name: str, precision: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        choose(name, precision)


@pytest.mark.usefixtures("_without_gpu")
def test_cuda_without_a_gpu_names_the_way_out() -> None:
    with pytest.raises(DeviceError, match="Use --device cpu"):
        choose("cuda")


def test_one_thread_is_given_back() -> None:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)
