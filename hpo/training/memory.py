"""How much memory a training takes, and what to say when there is too little."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

import torch

from hpo.config import Optimizer, TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import DeviceError
from hpo.training.device import Device

# Tensors the size of the weights: what each optimizer remembers between steps.
_N_MOMENTS: Final[dict[Optimizer, int]] = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}

# Pixels that are evaluated at once: 128 images of 256 x 256.
EVALUATION_PIXELS: Final = 1 << 23


def memory_bytes(data: TrainingData, config: TrainingConfig, *, device: Device) -> int:
    """Estimate the peak memory of one training: pixels, weights, moments, the largest batch.

    What Python and torch take before any training is not in it.
    """
    n_pixels = config.image_size**2
    images = pixels_bytes(data, config.image_size)
    n_values = 2 if device.precision == "bf16" else 4
    evaluated = min(EVALUATION_PIXELS, (data.n_pool + data.n_test) * n_pixels)
    # A batch is uint8 and, converted, bf16 or float32; augmentation adds float images and a grid.
    is_warped = config.augment_pose > 0 or config.augment_exposure > 0
    trained = config.batch_size * n_pixels * (24 if is_warped else 1 + n_values)
    masks = data.n_pool * sum(config.hidden)
    return images + _weight_bytes(config, device) + masks + max(evaluated * 5, trained)


def pixels_bytes(data: TrainingData, image_size: int) -> int:
    """Return the bytes of all images at one size."""
    return (data.n_pool + data.n_test) * image_size**2


def n_weights(config: TrainingConfig) -> int:
    """Return the number of weights and biases of the Linear layers."""
    widths = (config.image_size**2, *config.hidden, config.n_outputs)
    return sum((n + 1) * m for n, m in pairwise(widths))


@contextmanager
def memory_explained(config: TrainingConfig, device: Device) -> Iterator[None]:
    """Turn a failed allocation into a message with sizes and the way out.

    Raises:
        DeviceError: there is not enough memory on the device.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        weights = n_weights(config) * 4 / 1e6
        raise DeviceError(
            f"There is not enough memory on {device.name} for hidden = {list(config.hidden)}, "
            f"image_size = {config.image_size}, batch_size = {config.batch_size}: the weights "
            f"take {weights:,.0f} MB, and four to six times that in training. Use a smaller "
            "network, smaller images, or a device with more free memory."
        ) from error


def _weight_bytes(config: TrainingConfig, device: Device) -> int:
    n_copies = 2 + _N_MOMENTS[config.optimizer] + (1 if config.early_stopping else 0)
    first_layer = config.image_size**2 * config.hidden[0]
    # bf16 copies of the first layer's weights and gradient live for the length of a step.
    casts = 2 * 2 * first_layer if device.precision == "bf16" else 0
    return 4 * n_weights(config) * n_copies + casts


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a bare RuntimeError, which only its text tells apart.
    is_torch = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    return is_torch or isinstance(error, MemoryError)
