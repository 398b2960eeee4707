"""How large the parts of a training are, and what to say when a device has no more to give."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

import torch

from hpo.config import TrainingConfig
from hpo.errors import DeviceError, OutOfMemoryError, lacks_memory
from hpo.training.device import Device

# Pixels that are evaluated at once: 64 images of 256 x 256.
EVALUATION_PIXELS: Final = 1 << 22


def use_huge_pages() -> None:
    """Let torch ask Linux for large pages, if it is called before the first tensor.

    A step of Adam on 33 million weights went through pages of 4 kB three times as long.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def n_weights(config: TrainingConfig) -> int:
    """Return the number of weights and biases of the Linear layers."""
    widths = (config.image_size**2, *config.hidden, config.n_outputs)
    return sum((n + 1) * m for n, m in pairwise(widths))


@contextmanager
def memory_explained(config: TrainingConfig, device: Device) -> Iterator[None]:
    """Turn a failed allocation into a message with sizes and the way out.

    Raises:
        OutOfMemoryError: there is not enough memory on the device.
        DeviceError: the device is gone.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if device.type == "cuda" and _is_lost(error):
            raise DeviceError(
                f"{device.name} stopped working: {str(error).splitlines()[0]}. What is finished "
                "is kept: see that the GPU is there again, or set CUDA_VISIBLE_DEVICES to another "
                "one, then run the same command again."
            ) from error
        if not _is_out_of_memory(error):
            raise
        weights = n_weights(config) * 4 / 1e6
        raise OutOfMemoryError(
            f"There is not enough memory on {device.name} for hidden = {list(config.hidden)}, "
            f"image_size = {config.image_size}, batch_size = {config.batch_size}: the weights "
            f"take {weights:,.0f} MB, and four to six times that in training. Use a smaller "
            "network, smaller images, or a device with more free memory."
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or lacks_memory(error)


def _is_lost(error: Exception) -> bool:
    # After such an error nothing on the device can be used any more; torch tells it by the text.
    return not _is_out_of_memory(error) and "CUDA error" in str(error)
