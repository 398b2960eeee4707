"""The product of the pixels with the first layer's weights, which is nearly all the work.

Gradients are collected by hand, in buffers that live as long as the lane. Autograd would allocate
8 bytes per weight anew for every step; from a width of 128 on they go back to the system, which
fills every page with zeros again: that made a step at a width of 256 three times as long.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class FirstLayer:
    """The weights `(width, pixels)`, and what a training step needs beside them.

    `factor` holds the weights and `factor_gradient` their gradient in the precision of the
    product; where that is the weights' own, these are the weights and their gradient themselves.
    """

    weight: Tensor
    weight_gradient: Tensor
    factor: Tensor
    factor_gradient: Tensor


def open_first_layer(linear: nn.Linear, dtype: torch.dtype) -> FirstLayer:
    """Return the buffers of a layer whose products are computed in this precision."""
    weight = linear.weight
    gradient = torch.empty_like(weight, requires_grad=False)
    is_same = weight.dtype == dtype
    return FirstLayer(
        weight=weight,
        weight_gradient=gradient,
        factor=weight.detach() if is_same else torch.empty_like(weight, dtype=dtype),
        factor_gradient=gradient if is_same else torch.empty_like(weight, dtype=dtype),
    )


@torch.no_grad()
def multiply(layer: FirstLayer, values: Tensor) -> Tensor:
    """Return the product `(batch, width)`, as a leaf that will know its gradient."""
    if layer.factor.dtype != layer.weight.dtype:
        layer.factor.copy_(layer.weight)
    product = F.linear(values, layer.factor).to(layer.weight.dtype)
    return product.requires_grad_()


@torch.no_grad()
def collect_gradient(layer: FirstLayer, values: Tensor, product: Tensor) -> None:
    """Give the weights the gradient that `product.backward` would have led to."""
    assert product.grad is not None
    torch.mm(product.grad.to(values.dtype).t(), values, out=layer.factor_gradient)
    if layer.factor_gradient.dtype != layer.weight.dtype:
        layer.weight_gradient.copy_(layer.factor_gradient)
    layer.weight.grad = layer.weight_gradient
