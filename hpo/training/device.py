"""Choosing the device and the precision of the matrix products."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, cast

import torch

from hpo.errors import DeviceError
from hpo.training.device_names import check_names

# fp64 is for checking the formulas: no command takes it.
Precision = Literal["bf16", "fp32", "fp64"]


@dataclass(frozen=True, slots=True)
class Device:
    """Where to train: `name` as torch has it (`cpu`, `cuda:1`), and the precision of training.

    bf16 is that of the factors in the product of the pixels with the first layer's weights; its
    sums, all weights and all other layers are float32, and so is every evaluation.
    """

    name: str
    precision: Precision

    @property
    def type(self) -> str:
        """`cpu` or `cuda`."""
        return self.name.partition(":")[0]

    @property
    def dtype(self) -> torch.dtype:
        """The type of all weights and layers."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    @property
    def factor_dtype(self) -> torch.dtype:
        """The type of the factors in the first product."""
        return torch.bfloat16 if self.precision == "bf16" else self.dtype

    @property
    def torch(self) -> torch.device:
        """The device as torch has it."""
        return torch.device(self.name)


def choose(name: str = "auto", precision: str = "auto") -> Device:
    """Resolve `auto|cpu|cuda|cuda:N` and `auto|bf16|fp32` on this machine.

    Raises:
        UsageError: a name that does not exist.
        DeviceError: a GPU that is not there, or bf16 where the GPU has none.
    """
    check_names(name, precision)
    name = _choose_name(name)
    has_bf16 = _has_bf16(name)
    if precision == "auto":
        precision = "bf16" if has_bf16 else "fp32"
    if precision == "bf16" and not has_bf16 and name != "cpu":
        raise DeviceError(f"{name} has no bf16: use --precision fp32.")
    return Device(name, cast(Precision, precision))


def n_gpus() -> int:
    """Return the number of GPUs that can be used."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process sees, as it would hand them on."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(n_gpus())]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread on the CPU, as every lane does, and restore the number after."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _choose_name(name: str) -> str:
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    index = name.partition(":")[2]
    n_there = n_gpus()
    if n_there == 0:
        raise DeviceError(
            "No GPU can be used here: torch.cuda.is_available() is False. Use --device cpu, or "
            "install a CUDA build of torch (README, Installation)."
        )
    if int(index or 0) >= n_there:
        raise DeviceError(f"There is no {name}: this machine has {n_there}, from cuda:0 on.")
    return f"cuda:{int(index or 0)}"


def _has_bf16(name: str) -> bool:
    """Whether bf16 products are fast here; a CPU without the instructions emulates them."""
    if name == "cpu":
        # torch 2.11 cannot say what the CPU has: float32 is right everywhere.
        capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("bf16"))
    return torch.cuda.get_device_capability(name) >= (8, 0)
