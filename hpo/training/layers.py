"""The layers after the first product, for all lanes at once, forward and backward by hand.

Their parameters are one row of numbers per lane. Rows of lanes with the same network are stacked
into `(lanes, size)`, and every elementwise operation runs over all lanes at once. A CPU computes
in packets of up to 32 numbers and the remainder with other instructions, which may round
differently. So widths are padded to multiples of 32 with zeros, which stay zero.

Tensors are `(lanes, batch, units)`. Matrix products run lane by lane, as a batched product may sum
in another order when there are more lanes. All else is elementwise, or sums over the batch of each
unit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.choices import Activation
from hpo.config import TrainingConfig

PACKET: Final = 32

# Defaults of torch.nn.BatchNorm1d.
EPSILON: Final = 1e-5
MOMENTUM: Final = 0.1

_aten = torch.ops.aten

# Forward function, and the gradient of the input from that of the result, input and result.
_Activation: TypeAlias = tuple[
    Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]
]
ACTIVATIONS: Final[dict[Activation, _Activation]] = {
    "relu": (torch.relu, lambda d, _x, y: _aten.threshold_backward(d, y, 0)),
    "leaky_relu": (F.leaky_relu, lambda d, x, _y: _aten.leaky_relu_backward(d, x, 0.01, False)),
    "sigmoid": (torch.sigmoid, lambda d, _x, y: _aten.sigmoid_backward(d, y)),
    "tanh": (torch.tanh, lambda d, _x, y: _aten.tanh_backward(d, y)),
    "gelu": (F.gelu, lambda d, x, _y: _aten.gelu_backward(d, x)),
    "silu": (F.silu, lambda d, x, _y: _aten.silu_backward(d, x)),
}


@dataclass(frozen=True)
class Slot:
    """One parameter: its name in the reports' network, its position, shape, and padded shape."""

    name: str
    place: slice
    shape: tuple[int, ...]
    filled: tuple[int, ...]

    def of(self, rows: Tensor) -> Tensor:
        """Return the parameter `(lanes, *filled)`, a view of the rows."""
        return rows[:, self.place].view(len(rows), *self.filled)

    def used(self, row: Tensor) -> Tensor:
        """Return the parameter of one lane without padding, a view of its row."""
        return row[self.place].view(self.filled)[tuple(slice(n) for n in self.shape)]


@dataclass(frozen=True)
class Layer:
    """A Linear and the operations after it; `units` is its position among all hidden units.

    `weight` is None in the first layer, whose weights are not in the row. With BatchNorm there is
    `gain`, and `bias` belongs to the BatchNorm.
    """

    weight: Slot | None
    gain: Slot | None
    bias: Slot
    units: slice


@dataclass(frozen=True)
class Layout:
    """The layout of the rows for one kind of network.

    `size` is the length of a row of parameters; a row of `(2, n_units)` holds the running means
    and variances of all hidden layers, one after another.
    """

    hidden: tuple[Layer, ...]
    output: Layer
    size: int
    n_units: int

    def slots(self) -> Iterator[Slot]:
        """Yield every parameter in a row."""
        for layer in (*self.hidden, self.output):
            yield from (slot for slot in (layer.weight, layer.gain, layer.bias) if slot)


def fill_up(n: int) -> int:
    """Return the next multiple of a packet."""
    return -(-n // PACKET) * PACKET


def layout_of(config: TrainingConfig) -> Layout:
    """Return the layout of a configuration's network."""
    n_modules = 4 if config.batch_norm else 3
    hidden: list[Layer] = []
    size = n_units = 0

    def slot(name: str, shape: tuple[int, ...], filled: tuple[int, ...]) -> Slot:
        nonlocal size
        place = slice(size, size + prod(filled))
        size += fill_up(prod(filled))
        return Slot(name, place, shape, filled)

    for index, (before, width) in enumerate(pairwise((0, *config.hidden))):
        full, linear = fill_up(width), 1 + n_modules * index
        after = linear + 1 if config.batch_norm else linear
        shape, padded = (width, before), (full, fill_up(before))
        weight = slot(f"{linear}.weight", shape, padded) if index else None
        gain = slot(f"{after}.weight", (width,), (full,)) if config.batch_norm else None
        bias = slot(f"{after}.bias", (width,), (full,))
        hidden.append(Layer(weight, gain, bias, slice(n_units, n_units + full)))
        n_units += full
    linear, n, width = 1 + n_modules * len(hidden), config.n_outputs, config.hidden[-1]
    weight = slot(f"{linear}.weight", (n, width), (n, fill_up(width)))
    output = Layer(weight, None, slot(f"{linear}.bias", (n,), (n,)), slice(0, 0))
    return Layout(tuple(hidden), output, size, n_units)


@dataclass(frozen=True)
class Scratch:
    """Named, reusable buffers that grow to the largest requested size.

    Without it, zeroing newly allocated pages doubled the time of a step.
    """

    device: torch.device
    _buffers: dict[tuple[str, torch.dtype], Tensor] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return a tensor with arbitrary numbers, valid until the same name is used again."""
        n, key = prod(shape), (name, dtype)
        if key not in self._buffers or len(self._buffers[key]) < n:
            self._buffers.pop(key, None)
            self._buffers[key] = torch.empty(n, dtype=dtype, device=self.device)
        return self._buffers[key][:n].view(shape)

    def clear(self) -> None:
        """Release the memory."""
        self._buffers.clear()


class Parameters(NamedTuple):
    """All parameters of a lane: first weights `(width, pixels)`, and the rest in one row.

    `row` is `(1, size)`, `statistics` `(1, 2, units)`.
    """

    first: Tensor
    row: Tensor
    statistics: Tensor

    def __deepcopy__(self, _memo: object) -> "Parameters":
        # Rows are views into those of a whole cohort, which is not copied.
        return Parameters(*map(torch.clone, self))


@dataclass(frozen=True)
class Rows:
    """The small parameters of several lanes, `(lanes, size)`, with space for their gradients.

    `statistics` `(lanes, 2, units)` are the running means and variances.
    """

    layout: Layout
    activation: Activation
    parameters: Tensor
    gradients: Tensor
    statistics: Tensor


# For the backward pass through a hidden layer: the input; the normalized input of BatchNorm and
# its scale (None without BatchNorm); the values before and after the activation.
_Trace: TypeAlias = tuple[Tensor, Tensor | None, Tensor | None, Tensor, Tensor]


def forward(
    rows: Rows, product: Tensor, masks: Sequence[Tensor | None]
) -> tuple[Tensor, list[_Trace], Tensor]:
    """Return logits `(lanes, batch, outputs)`, the traces, and the last hidden layer's result.

    `product` is that of inputs and first weights; `masks` hold a factor for every unit of a hidden
    layer, None if all are 1.
    """
    traces: list[_Trace] = []
    x, activation = product, ACTIVATIONS[rows.activation][0]
    for layer, mask in zip(rows.layout.hidden, masks, strict=True):
        inputs = x
        before, normal, scale = _normalize(rows, layer, _multiply(rows, layer, x))
        after = activation(before)
        traces.append((inputs, normal, scale, before, after))
        x = after if mask is None else after * mask
    return _add_bias(rows, rows.layout.output, _multiply(rows, rows.layout.output, x)), traces, x


def backward(
    rows: Rows,
    gradient: Tensor,
    traces: Sequence[_Trace],
    masks: Sequence[Tensor | None],
    last: Tensor,
) -> Tensor:
    """Fill the gradients of the rows; return that of the first product `(lanes, batch, units)`.

    `gradient` is that of the logits.
    """
    output, activation = rows.layout.output, ACTIVATIONS[rows.activation][1]
    for lane, bias in enumerate(output.bias.of(rows.gradients)):
        torch.sum(gradient[lane], 0, out=bias)
    delta = _multiply_back(rows, output, gradient, last)
    for layer, mask, trace in reversed(list(zip(rows.layout.hidden, masks, traces, strict=True))):
        inputs, normal, scale, before, after = trace
        if mask is not None:
            delta = delta * mask
        delta = activation(delta, before, after)
        delta = _normalize_back(rows, layer, normal, scale, delta)
        delta = _multiply_back(rows, layer, delta, inputs)
    return delta


def evaluate(rows: Rows, product: Tensor) -> Tensor:
    """Return the logits in evaluation mode: running statistics, no dropout."""
    x, activation = product, ACTIVATIONS[rows.activation][0]
    for layer in rows.layout.hidden:
        x = _multiply(rows, layer, x)
        if layer.gain:
            units = rows.statistics[:, :, layer.units]
            scale = (units[:, 1:] + EPSILON).rsqrt()
            x = (x - units[:, :1]) * scale * layer.gain.of(rows.parameters)[:, None]
        x = activation(_add_bias(rows, layer, x))
    return _add_bias(rows, rows.layout.output, _multiply(rows, rows.layout.output, x))


def _add_bias(rows: Rows, layer: Layer, x: Tensor) -> Tensor:
    return x + layer.bias.of(rows.parameters)[:, None]


def _normalize(rows: Rows, layer: Layer, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Apply BatchNorm, or add the bias; return the result, and the values for a trace."""
    if layer.gain is None:
        return _add_bias(rows, layer, x), None, None
    n = x.shape[1]
    mean = x.mean(1, keepdim=True)
    centered = x - mean
    variance = centered.square().mean(1, keepdim=True)
    running = rows.statistics[:, :, layer.units]
    running[:, :1].lerp_(mean, MOMENTUM)
    running[:, 1:].lerp_(variance * (n / (n - 1)), MOMENTUM)
    scale = (variance + EPSILON).rsqrt_()
    normal = centered.mul_(scale)
    scaled = normal * layer.gain.of(rows.parameters)[:, None]
    return _add_bias(rows, layer, scaled), normal, scale


def _normalize_back(
    rows: Rows, layer: Layer, normal: Tensor | None, scale: Tensor | None, delta: Tensor
) -> Tensor:
    """Ioffe and Szegedy 2015, section 3, rearranged: with the means m over the batch,

    dx = gain * scale * (dy - m(dy) - normal * m(dy * normal)).
    """
    bias = layer.bias.of(rows.gradients)
    torch.sum(delta, 1, out=bias)
    if layer.gain is None or normal is None or scale is None:
        return delta
    gain = layer.gain.of(rows.gradients)
    torch.sum(delta * normal, 1, out=gain)
    n = delta.shape[1]
    back = delta - (bias / n)[:, None] - normal * (gain / n)[:, None]
    return back.mul_(scale * layer.gain.of(rows.parameters)[:, None])


def _multiply(rows: Rows, layer: Layer, x: Tensor) -> Tensor:
    """Multiply with the weights of a layer; the rows lack those of the first."""
    if layer.weight is None:
        return x
    weight = layer.weight.of(rows.parameters)
    result = x.new_empty(*x.shape[:2], weight.shape[1])
    for lane in range(len(x)):
        torch.mm(x[lane], weight[lane].t(), out=result[lane])
    return result


def _multiply_back(rows: Rows, layer: Layer, delta: Tensor, inputs: Tensor) -> Tensor:
    """Store the gradient of a layer's weights; return that of its inputs."""
    if layer.weight is None:
        return delta
    weight, gradient = layer.weight.of(rows.parameters), layer.weight.of(rows.gradients)
    back = torch.empty_like(inputs)
    for lane in range(len(delta)):
        torch.mm(delta[lane].t(), inputs[lane], out=gradient[lane])
        torch.mm(delta[lane], weight[lane], out=back[lane])
    return back
