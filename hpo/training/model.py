"""The network of the reports, how it reads pixels, and the layout of its weights.

Flatten -> [Linear -> BatchNorm1d -> activation -> Dropout] x n -> Linear(1 or 2), in one
`nn.Sequential`. The layers are numbered from 0 = Flatten; without `batch_norm` there is no
BatchNorm1d and the numbers close up; Dropout is there even where its probability is 0. So
hidden = [64, 64, 64] has the keys

    1.weight 1.bias  2.weight 2.bias 2.running_mean 2.running_var 2.num_batches_tracked
    5.weight 5.bias  6…              9.weight 9.bias  10…           13.weight 13.bias

A Linear in front of BatchNorm trains without a bias: BatchNorm takes any constant out again, so
the true gradient is zero and Adam would turn its rounding noise into steps. Exported weights have
a bias of zeros in its place.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpo.config import Activation, Normalize, TrainingConfig
from hpo.training.engine import Weights
from hpo.training.randomness import WEIGHTS, fill_uniform

ACTIVATIONS: Final[dict[Activation, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

_Values: TypeAlias = tuple[Tensor, Tensor | float]


def plain_model(config: TrainingConfig) -> nn.Sequential:
    """Return the network as the reports write it, with unset weights, on the CPU.

    It loads exported weights strictly and takes float images `(batch, height, width)` as
    `scale_pixels` returns them.
    """
    return unallocated_model(config).to_empty(device="cpu")


def unallocated_model(config: TrainingConfig) -> nn.Sequential:
    """Return the plain model without memory for its weights, however large: they are assigned."""
    return _build(config, has_idle_bias=True)


def build_network(
    config: TrainingConfig, *, seed: Tensor, dtype: torch.dtype = torch.float32
) -> nn.Sequential:
    """Return the network to train, on the device of `seed` `(1,)`, with its first weights.

    Weights and biases are those of nn.Linear: uniform within 1 / sqrt(inputs) around 0.
    """
    network = _build(config, has_idle_bias=False).to_empty(device=seed.device).to(dtype)
    for module in network.children():
        if isinstance(module, nn.BatchNorm1d):
            module.reset_parameters()
    linears = [module for module in network.children() if isinstance(module, nn.Linear)]
    for layer, linear in enumerate(linears):
        bound = bound_of(linear.in_features)
        for kind, parameter in enumerate((linear.weight, linear.bias)):
            if parameter is not None:
                flat = parameter.detach().view(1, -1)
                fill_uniform(flat, seed, WEIGHTS, layer, kind, bound=bound)
    return network


def bound_of(n_inputs: int) -> float:
    """Return the largest first weight of an nn.Linear with so many inputs."""
    return 1 / math.sqrt(n_inputs)


def compute_logits(network: nn.Sequential, pixels: Tensor, config: TrainingConfig) -> Tensor:
    """Return the logits `(batch, outputs)` of uint8 pixels `(batch, height * width)`.

    In the precision of the weights.
    """
    values, scale = exact_values(pixels, config.normalize)
    weight = first_linear(network).weight
    product = F.linear(values.to(weight.dtype), weight)
    return finish_logits(network, product * scale)


def finish_logits(
    network: nn.Sequential, product: Tensor, *, keep: Sequence[Tensor] = ()
) -> Tensor:
    """Return the logits from the product of network inputs and first weights `(batch, width)`.

    `keep` is one bool mask `(batch, width)` per hidden layer that drops units, in order; without
    masks dropout is left out, as in evaluation.
    """
    bias = first_linear(network).bias
    x = product if bias is None else product + bias
    masks = iter(keep)
    for module in list(network.children())[2:]:
        if not isinstance(module, nn.Dropout):
            x = module(x)
        elif keep and module.p > 0:
            x = x * next(masks) * (1 / (1 - module.p))
    return x


def first_linear(network: nn.Sequential) -> nn.Linear:
    """Return the layer that sees the pixels."""
    layer = network[1]
    assert isinstance(layer, nn.Linear)
    return layer


def exact_values(pixels: Tensor, normalize: Normalize) -> tuple[Tensor, Tensor | float]:
    """Return pixels as whole numbers within -255..255, and the factor to network inputs.

    bf16 holds these numbers exactly, and pixels / 255 it does not: multiply first, then scale.
    """
    return _NORMALIZE[normalize](pixels)


def scale_pixels(pixels: Tensor, normalize: Normalize) -> Tensor:
    """Return uint8 pixels `(batch, pixels)` as the float32 values that the network sees."""
    values, scale = exact_values(pixels, normalize)
    return values.to(torch.float32) * scale


def export_weights(network: nn.Sequential) -> Weights:
    """Return a copy of the weights as arrays, in the layout of `plain_model`."""
    weights: Weights = {}
    for index, module in enumerate(network.children()):
        for name, value in module.state_dict().items():
            weights[f"{index}.{name}"] = value.detach().to("cpu", copy=True).numpy()
        if isinstance(module, nn.Linear) and module.bias is None:
            weights[f"{index}.bias"] = np.zeros_like(weights[f"{index}.weight"][:, 0])
    return weights


def _build(config: TrainingConfig, *, has_idle_bias: bool) -> nn.Sequential:
    n_inputs = config.image_size**2
    modules: list[nn.Module] = [nn.Flatten()]
    # On the meta device nothing is allocated, and no weight drawn from torch's own generator.
    with torch.device("meta"):
        for width, dropout in zip(config.hidden, config.dropout_per_layer, strict=True):
            bias = has_idle_bias or not config.batch_norm
            modules.append(nn.Linear(n_inputs, width, bias=bias))
            if config.batch_norm:
                modules.append(nn.BatchNorm1d(width))
            modules += [ACTIVATIONS[config.activation](), nn.Dropout(dropout)]
            n_inputs = width
        modules.append(nn.Linear(n_inputs, config.n_outputs))
    return nn.Sequential(*modules)


def _unit(pixels: Tensor) -> _Values:
    return pixels, 1 / 255


def _none(pixels: Tensor) -> _Values:
    return pixels, 1.0


def _image(pixels: Tensor) -> _Values:
    """Center each image on its mean, rounded to a gray level, and divide by its deviation.

    An image of one gray level has the deviation 1.
    """
    values = pixels.to(torch.float32)
    # Sums along a row of at most 256 pixels are whole numbers below 2**24, which float32 holds:
    # the same on every device, and five times as fast as integer sums.
    rows = values.view(len(pixels), -1, math.isqrt(pixels.shape[1]))
    mean = rows.sum(2).to(torch.float64).mean(1, keepdim=True) / rows.shape[2]
    square = rows.square().sum(2).to(torch.float64).mean(1, keepdim=True) / rows.shape[2]
    deviation = (square - mean**2).clamp_(min=0).sqrt().to(torch.float32)
    centered = values.sub_((mean + 0.5).floor_().to(torch.float32))
    return centered, torch.where(deviation > 0, 1 / deviation, 1.0)


_NORMALIZE: Final[dict[Normalize, Callable[[Tensor], _Values]]] = {
    "unit": _unit,
    "none": _none,
    "image": _image,
}
