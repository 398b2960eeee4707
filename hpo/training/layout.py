"""How the parameters behind the first product lie in one row of numbers per lane.

Rows of lanes with the same network are stacked into `(lanes, size)`, and every operation on single
numbers runs over all lanes at once. A CPU computes such an operation in packets of up to 32
numbers, and what is left over with other instructions, which may round otherwise. So widths are
filled up to multiples of 32: no lane ever has numbers left over, and none depends on its place.
What fills up is zero, and stays zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Final

import torch
from torch import Tensor

from hpo.config import TrainingConfig

PACKET: Final = 32


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One parameter: its name in the reports' network, its place, its shape, and as filled up."""

    name: str
    start: int
    shape: tuple[int, ...]
    filled: tuple[int, ...]

    @property
    def place(self) -> slice:
        """Where the parameter lies in a row."""
        return slice(self.start, self.start + prod(self.filled))

    def of(self, rows: Tensor) -> Tensor:
        """Return the parameter `(lanes, *filled)`, a view of the rows."""
        return rows[:, self.place].view(len(rows), *self.filled)

    def used(self, row: Tensor) -> Tensor:
        """Return the parameter of one lane without what fills it up, a view of its row."""
        inside = tuple(slice(n) for n in self.shape)
        return row[self.place].view(self.filled)[inside]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A Linear and what follows it.

    `weight` is None in the first, whose weights are not in the row. With BatchNorm there is
    `gain`, and `bias` belongs to the BatchNorm.
    """

    weight: Slot | None
    gain: Slot | None
    bias: Slot


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The rows of one kind of network. The last of `layers` is the output.

    `size` is the length of a row of parameters; a row of `(2, n_units)` holds the running means
    and variances of all hidden layers, one after another.
    """

    layers: tuple[Layer, ...]
    size: int
    widths: tuple[int, ...]
    filled: tuple[int, ...]

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """The hidden layers."""
        return self.layers[:-1]

    @property
    def n_units(self) -> int:
        """The number of hidden units, filled up."""
        return sum(self.filled)

    def slots(self) -> Iterator[Slot]:
        """Yield every parameter in a row."""
        for layer in self.layers:
            yield from (slot for slot in (layer.weight, layer.gain, layer.bias) if slot)

    def units(self, layer: int) -> slice:
        """Return where a hidden layer lies among the units."""
        start = sum(self.filled[:layer])
        return slice(start, start + self.filled[layer])


def fill_up(n: int) -> int:
    """Return the next multiple of a packet."""
    return -(-n // PACKET) * PACKET


def layout_of(config: TrainingConfig) -> Layout:
    """Return the layout of a configuration's network."""
    filled = tuple(fill_up(width) for width in config.hidden)
    n_modules = 4 if config.batch_norm else 3
    layers: list[Layer] = []
    start = 0

    def slot(name: str, shape: tuple[int, ...], filled_shape: tuple[int, ...]) -> Slot:
        nonlocal start
        made = Slot(name=name, start=start, shape=shape, filled=filled_shape)
        start += fill_up(prod(filled_shape))
        return made

    for index, (width, full) in enumerate(zip(config.hidden, filled, strict=True)):
        linear = 1 + n_modules * index
        inputs = (config.hidden[index - 1], filled[index - 1])
        after = linear + 1 if config.batch_norm else linear
        layers.append(
            Layer(
                weight=slot(f"{linear}.weight", (width, inputs[0]), (full, inputs[1]))
                if index
                else None,
                gain=slot(f"{after}.weight", (width,), (full,)) if config.batch_norm else None,
                bias=slot(f"{after}.bias", (width,), (full,)),
            )
        )
    linear, n = 1 + n_modules * len(filled), config.n_outputs
    weight = slot(f"{linear}.weight", (n, config.hidden[-1]), (n, filled[-1]))
    layers.append(Layer(weight=weight, gain=None, bias=slot(f"{linear}.bias", (n,), (n,))))
    return Layout(layers=tuple(layers), size=start, widths=config.hidden, filled=filled)


def statistics_name(slot: Slot, kind: str) -> str:
    """Return the name of a running statistic beside that of the BatchNorm's bias."""
    return slot.name.removesuffix("bias") + kind


def empty_rows(n: int, layout: Layout, like: Tensor) -> Tensor:
    """Return zeros `(n, size)` on the device and in the precision of a tensor."""
    return torch.zeros(n, layout.size, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Scratch:
    """Named buffers that grow to the largest size asked for, and are used again and again.

    Memory that is asked for anew, the system fills with zeros page by page: that made steps twice
    as long.
    """

    device: torch.device
    _held: dict[tuple[str, torch.dtype], Tensor] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return a tensor with arbitrary numbers, good until the same name is taken again."""
        n, key = prod(shape), (name, dtype)
        if key not in self._held or len(self._held[key]) < n:
            self._held.pop(key, None)
            self._held[key] = torch.empty(n, dtype=dtype, device=self.device)
        return self._held[key][:n].view(shape)

    def clear(self) -> None:
        """Give the memory back."""
        self._held.clear()
