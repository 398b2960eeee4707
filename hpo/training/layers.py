"""The layers behind the first product, for all lanes at once, forward and backward by hand.

Tensors are `(lanes, batch, units)`. Products of matrices go lane by lane: a batched product may
add in another order when there are more lanes. All else works on single numbers, or adds up over
the batch of each unit, and is the same for a lane alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import Activation
from hpo.training.layout import Layer, Layout

# Defaults of torch.nn.BatchNorm1d.
EPSILON: Final = 1e-5
MOMENTUM: Final = 0.1

_Forward: TypeAlias = Callable[[Tensor], Tensor]
# From the gradient of the result, the input and the result to the gradient of the input.
_Backward: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

_aten = torch.ops.aten


class _Function(NamedTuple):
    forward: _Forward
    backward: _Backward


ACTIVATIONS: Final[dict[Activation, _Function]] = {
    "relu": _Function(torch.relu, lambda d, _x, y: _aten.threshold_backward(d, y, 0)),
    "leaky_relu": _Function(
        F.leaky_relu, lambda d, x, _y: _aten.leaky_relu_backward(d, x, 0.01, False)
    ),
    "sigmoid": _Function(torch.sigmoid, lambda d, _x, y: _aten.sigmoid_backward(d, y)),
    "tanh": _Function(torch.tanh, lambda d, _x, y: _aten.tanh_backward(d, y)),
    "gelu": _Function(F.gelu, lambda d, x, _y: _aten.gelu_backward(d, x)),
    "silu": _Function(F.silu, lambda d, x, _y: _aten.silu_backward(d, x)),
}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The small parameters of several lanes, `(lanes, size)`, with a place for their gradients.

    `statistics` `(lanes, 2, units)` are the running means and variances.
    """

    layout: Layout
    activation: Activation
    parameters: Tensor
    gradients: Tensor
    statistics: Tensor


@dataclass(frozen=True, kw_only=True)
class _Trace:
    """What the way back through a hidden layer needs of the way forward.

    `normal` is what BatchNorm made of its input, by `scale`; both None without BatchNorm.
    """

    inputs: Tensor
    normal: Tensor | None
    scale: Tensor | None
    before: Tensor
    after: Tensor
    mask: Tensor | None


def forward(
    rows: Rows, product: Tensor, masks: Sequence[Tensor | None]
) -> tuple[Tensor, list[_Trace], Tensor]:
    """Return logits `(lanes, batch, outputs)`, the traces, and the last hidden layer's result.

    `product` is that of inputs and first weights; `masks` hold a factor for every unit of a
    hidden layer, None where all are 1.
    """
    traces: list[_Trace] = []
    x = product
    for index, layer in enumerate(rows.layout.hidden):
        inputs = x
        if layer.weight:
            x = _multiply(x, layer.weight.of(rows.parameters))
        before, normal, scale = _normalize(rows, index, x)
        after = ACTIVATIONS[rows.activation].forward(before)
        mask = masks[index]
        traces.append(
            _Trace(
                inputs=inputs, normal=normal, scale=scale, before=before, after=after, mask=mask
            )
        )
        x = after if mask is None else after * mask
    return _output(rows, x), traces, x


def backward(rows: Rows, gradient: Tensor, traces: Sequence[_Trace], last: Tensor) -> Tensor:
    """Fill the gradients of the rows; return that of the first product `(lanes, batch, units)`.

    `gradient` is that of the logits.
    """
    output = rows.layout.layers[-1]
    assert output.weight
    for lane, bias in enumerate(output.bias.of(rows.gradients)):
        torch.sum(gradient[lane], 0, out=bias)
    delta = _multiply_back(rows, output, gradient, last)
    for index in reversed(range(len(traces))):
        layer, trace = rows.layout.layers[index], traces[index]
        if trace.mask is not None:
            delta = delta * trace.mask
        delta = ACTIVATIONS[rows.activation].backward(delta, trace.before, trace.after)
        delta = _normalize_back(rows, layer, trace, delta)
        if layer.weight:
            delta = _multiply_back(rows, layer, delta, trace.inputs)
    return delta


def evaluate(rows: Rows, product: Tensor) -> Tensor:
    """Return the logits in evaluation mode: running statistics, no dropout."""
    x = product
    for index, layer in enumerate(rows.layout.hidden):
        if layer.weight:
            x = _multiply(x, layer.weight.of(rows.parameters))
        bias = layer.bias.of(rows.parameters)[:, None]
        if layer.gain:
            units = rows.statistics[:, :, rows.layout.units(index)]
            scale = (units[:, 1:] + EPSILON).rsqrt()
            x = (x - units[:, :1]) * scale * layer.gain.of(rows.parameters)[:, None] + bias
        else:
            x = x + bias
        x = ACTIVATIONS[rows.activation].forward(x)
    return _output(rows, x)


def _output(rows: Rows, x: Tensor) -> Tensor:
    output = rows.layout.layers[-1]
    assert output.weight
    return (
        _multiply(x, output.weight.of(rows.parameters)) + output.bias.of(rows.parameters)[:, None]
    )


def _normalize(rows: Rows, index: int, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Apply BatchNorm, or add the bias; return the result, and `normal` and `scale`."""
    layer = rows.layout.layers[index]
    bias = layer.bias.of(rows.parameters)[:, None]
    if layer.gain is None:
        return x + bias, None, None
    n = x.shape[1]
    mean = x.mean(1, keepdim=True)
    centered = x - mean
    variance = centered.square().mean(1, keepdim=True)
    running = rows.statistics[:, :, rows.layout.units(index)]
    running[:, :1].lerp_(mean, MOMENTUM)
    running[:, 1:].lerp_(variance * (n / (n - 1)), MOMENTUM)
    scale = (variance + EPSILON).rsqrt_()
    normal = centered.mul_(scale)
    return normal * layer.gain.of(rows.parameters)[:, None] + bias, normal, scale


def _normalize_back(rows: Rows, layer: Layer, trace: _Trace, delta: Tensor) -> Tensor:
    """Ioffe and Szegedy 2015, section 3, gathered: with the means m over the batch,

    dx = gain * scale * (dy - m(dy) - normal * m(dy * normal)).
    """
    bias = layer.bias.of(rows.gradients)
    torch.sum(delta, 1, out=bias)
    if layer.gain is None or trace.normal is None or trace.scale is None:
        return delta
    gain = layer.gain.of(rows.gradients)
    torch.sum(delta * trace.normal, 1, out=gain)
    n = delta.shape[1]
    back = delta - (bias / n)[:, None] - trace.normal * (gain / n)[:, None]
    return back.mul_(trace.scale * layer.gain.of(rows.parameters)[:, None])


def _multiply(x: Tensor, weight: Tensor) -> Tensor:
    result = x.new_empty(*x.shape[:2], weight.shape[1])
    for lane in range(len(x)):
        torch.mm(x[lane], weight[lane].t(), out=result[lane])
    return result


def _multiply_back(rows: Rows, layer: Layer, delta: Tensor, inputs: Tensor) -> Tensor:
    """Note the gradient of a layer's weights; return that of its inputs."""
    assert layer.weight
    weight, gradient = layer.weight.of(rows.parameters), layer.weight.of(rows.gradients)
    back = torch.empty_like(inputs)
    for lane in range(len(delta)):
        torch.mm(delta[lane].t(), inputs[lane], out=gradient[lane])
        torch.mm(delta[lane], weight[lane], out=back[lane])
    return back
