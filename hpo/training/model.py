"""The network of the reports, how it reads pixels, and the layout of its weights.

Flatten -> [Linear -> BatchNorm1d -> activation -> Dropout] x n -> Linear(1 or 2), in one
`nn.Sequential`. Layers are numbered from 0 = Flatten; without `batch_norm` there is no BatchNorm1d
and the numbers close up; Dropout exists even with probability 0. So hidden = [64, 64, 64] has the
keys

    1.weight 1.bias  2.weight 2.bias 2.running_mean 2.running_var 2.num_batches_tracked
    5.weight 5.bias  6…              9.weight 9.bias  10…           13.weight 13.bias

A Linear before BatchNorm trains without a bias: BatchNorm removes any constant, so the true
gradient is zero and Adam would turn its rounding noise into steps. Exported weights have a bias of
zeros in its place.
"""

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpo.choices import Activation, Normalize
from hpo.config import TrainingConfig

ACTIVATIONS: Final[dict[Activation, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

Values: TypeAlias = tuple[Tensor, Tensor | float]
"""Integers `(batch, pixels)`, and the factor to network inputs."""


def plain_model(config: TrainingConfig, *, device: str = "cpu") -> nn.Sequential:
    """Return the network as written in the reports, with unset weights.

    It loads exported weights strictly and takes float images `(batch, height, width)` as returned
    by `scale_pixels`. On the device "meta" weights take no memory; they are assigned.
    """
    n_inputs = config.image_size**2
    modules: list[nn.Module] = [nn.Flatten()]
    # Created without memory first, so that torch's own generator draws no weights.
    with torch.device("meta"):
        for width, dropout in zip(config.hidden, config.dropout_per_layer, strict=True):
            modules.append(nn.Linear(n_inputs, width))
            if config.batch_norm:
                modules.append(nn.BatchNorm1d(width))
            modules += [ACTIVATIONS[config.activation](), nn.Dropout(dropout)]
            n_inputs = width
        modules.append(nn.Linear(n_inputs, config.n_outputs))
    return nn.Sequential(*modules).to_empty(device=device)


def compute_logits(network: nn.Sequential, pixels: Tensor, config: TrainingConfig) -> Tensor:
    """Return the logits `(batch, outputs)` of uint8 pixels `(batch, height * width)`.

    In the precision of the weights; `network` is a plain model in evaluation mode.
    """
    values, scale = NORMALIZE[config.normalize](pixels)
    first = network[1]
    assert isinstance(first, nn.Linear)
    product = F.linear(values.to(first.weight.dtype), first.weight) * scale
    logits: Tensor = network[2:](product + first.bias)
    return logits


def scale_pixels(pixels: Tensor, normalize: Normalize) -> Tensor:
    """Return uint8 pixels `(batch, pixels)` as the float32 inputs of the network."""
    values, scale = NORMALIZE[normalize](pixels)
    return values.to(torch.float32) * scale


def _image(pixels: Tensor) -> Values:
    """Center each image on its mean, rounded to a gray level, and divide by its deviation.

    An image of one gray level has the deviation 1.
    """
    values = pixels.to(torch.float32)
    # Sums along a row of at most 256 pixels are integers below 2**24, which float32 holds exactly:
    # the same on every device, and five times as fast as integer sums.
    rows = values.view(len(pixels), -1, math.isqrt(pixels.shape[1]))
    mean = rows.sum(2).to(torch.float64).mean(1, keepdim=True) / rows.shape[2]
    square = rows.square().sum(2).to(torch.float64).mean(1, keepdim=True) / rows.shape[2]
    deviation = (square - mean**2).clamp_(min=0).sqrt().to(torch.float32)
    centered = values.sub_((mean + 0.5).floor_().to(torch.float32))
    return centered, torch.where(deviation > 0, 1 / deviation, 1.0)


NORMALIZE: Final[dict[Normalize, Callable[[Tensor], Values]]] = {
    "unit": lambda pixels: (pixels, 1 / 255),
    "none": lambda pixels: (pixels, 1.0),
    "image": _image,
}
"""From uint8 pixels to integers within -255..255, and the factor to network inputs.

bf16 holds these integers exactly, but not pixels / 255: multiply first, then scale.
"""
