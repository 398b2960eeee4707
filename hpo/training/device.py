"""The device and precision of matrix products, and the messages when a device fails."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, cast

import torch

from hpo.config import TrainingConfig
from hpo.errors import DeviceError, OutOfMemoryError, lacks_memory
from hpo.training.machine import check_names, n_weights

# fp64 is for checking the formulas; no command accepts it.
Precision = Literal["bf16", "fp32", "fp64"]

# Pixels evaluated at once: 64 images of 256 x 256.
EVALUATION_PIXELS: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a training: `name` as in torch (`cpu`, `cuda:1`), and the precision.

    bf16 applies to the factors in the product of pixels and first weights; all else is float32.
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
        """The device for torch."""
        return torch.device(self.name)


def choose(name: str = "auto", precision: str = "auto") -> Device:
    """Resolve `auto|cpu|cuda|cuda:N` and `auto|bf16|fp32` on this machine.

    Raises:
        UsageError: a name that does not exist.
        DeviceError: this machine lacks the GPU, or the GPU lacks bf16.
    """
    check_names(name, precision)
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    if name != "cpu":
        index, n = int(name.partition(":")[2] or 0), n_gpus()
        name = f"cuda:{index}"
        if n == 0:
            raise DeviceError(
                "No GPU can be used here: torch.cuda.is_available() is False. Use --device cpu, "
                "or install the CUDA build of torch that pytorch.org names."
            )
        if index >= n:
            raise DeviceError(f"There is no {name}. This machine has {n}, starting with cuda:0.")
    has_bf16 = _has_bf16(name)
    if precision == "auto":
        precision = "bf16" if has_bf16 else "fp32"
    if precision == "bf16" and not has_bf16 and name != "cpu":
        raise DeviceError(f"{name} does not support bf16. Use --precision fp32.")
    return Device(name, cast(Precision, precision))


def n_gpus() -> int:
    """Return the number of usable GPUs."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def visible_gpus() -> list[str]:
    """Return the names of visible GPUs, for CUDA_VISIBLE_DEVICES of another process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(n_gpus())]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread on the CPU, like every lane, and restore the number afterwards."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def use_huge_pages() -> None:
    """Let torch request large pages from Linux; call this before the first tensor.

    A step of Adam on 33 million weights took three times as long through pages of 4 kB.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@contextmanager
def computing(config: TrainingConfig, device: Device) -> Iterator[None]:
    """Compute with one thread; give advice if memory runs out or a device fails."""
    try:
        with one_thread():
            yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or lacks_memory(error):
            if config.model:
                raise OutOfMemoryError(
                    f"There is not enough memory on {device.name} for {config.model.entry} with "
                    f"image_size = {config.image_size}, batch_size = {config.batch_size}. Use "
                    "smaller values, or a device with more free memory."
                ) from error
            weights = n_weights(config) * 4 / 1e6
            raise OutOfMemoryError(
                f"There is not enough memory on {device.name} for hidden = {list(config.hidden)}, "
                f"image_size = {config.image_size}, batch_size = {config.batch_size}: the weights "
                f"take {weights:,.0f} MB, and four to six times that in training. Use a smaller "
                "network, smaller images, or a device with more free memory."
            ) from error
        # After such an error, known only by its text, nothing on the device can be used.
        if device.type == "cuda" and "CUDA error" in str(error):
            raise DeviceError(
                f"{device.name} stopped working: {str(error).splitlines()[0]}. Finished trainings "
                "are saved. Check that the GPU is available, or set CUDA_VISIBLE_DEVICES to "
                "another one, then run the same command again."
            ) from error
        raise


def _has_bf16(name: str) -> bool:
    """Whether bf16 products are fast here; a CPU without the instructions emulates them."""
    if name == "cpu":
        # torch 2.11 does not report what the CPU supports; float32 is right everywhere.
        capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("bf16"))
    return torch.cuda.get_device_capability(name) >= (8, 0)
