"""The network that layers make, and what their numbers tell of the modules between them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from hpo.config import FIELDS, Activation
from hpo.errors import WeightsError, fault_list
from hpo.weights.files import StateDict
from hpo.weights.layers import Layer, Linear, number_of, read_layers, shape_of, shorten

Step: TypeAlias = Layer | Activation

_SIDE: Final = FIELDS["image_size"]


@dataclass(frozen=True, kw_only=True)
class _Block:
    """A Linear, the BatchNorm behind it, and how many modules without tensors follow each."""

    layers: tuple[Layer, ...]
    gaps: tuple[int, ...]

    @property
    def activated(self) -> Layer | None:
        """The layer that an activation follows: the first with a module behind it."""
        if not isinstance(self.layers[0], Linear):
            return None
        behind = (layer for layer, gap in zip(self.layers, self.gaps, strict=True) if gap)
        return next(behind, None)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network as it is computed: `steps` after flattening square images of `side` pixels.

    `assumed` holds a sentence for each thing that weights do not tell.
    """

    steps: tuple[Step, ...]
    side: int
    n_outputs: int
    assumed: tuple[str, ...]

    @property
    def text(self) -> str:
        """The steps in words, as torch writes modules."""
        return " -> ".join(["Flatten", *map(_step_text, self.steps)])


def find_architecture(state: StateDict, activation: Activation) -> Architecture:
    """Find the network of a state dict from the shapes and the numbers of its tensors.

    An activation stands in each gap between two Linear layers, the first one where there are two.

    Raises:
        WeightsError: everything that does not fit, with keys and shapes.
    """
    found = read_layers(state)
    layers = found.layers
    if faults := list(_faults(layers)):
        raise WeightsError(
            fault_list(
                f"{state.path} holds tensors that make no network for X-rays:", shorten(faults)
            )
        )
    blocks = _blocks(layers)
    return Architecture(
        steps=tuple(step for block in blocks for step in _steps(block, activation)),
        side=math.isqrt(layers[0].n_inputs),
        n_outputs=layers[-1].n_outputs,
        assumed=tuple(_assumed(blocks, activation, found.prefix)),
    )


def _faults(layers: Sequence[Layer]) -> Iterator[str]:
    first, last = layers[0], layers[-1]
    if fault := _side_fault(first.n_inputs):
        yield f"{_name(first)} takes {first.n_inputs:,} values: {fault}"
    for one, other in pairwise(layers):
        if one.n_outputs != other.n_inputs:
            yield (
                f"{_name(other)} takes {other.n_inputs:,} values, but {_name(one)} before it "
                f"gives {one.n_outputs:,}"
            )
    if not isinstance(last, Linear):
        yield f"{_name(last)} is the last: a Linear with 1 or 2 outputs is missing after it"
    elif last.n_outputs not in (1, 2):
        yield (
            f"{_name(last)} gives {last.n_outputs:,} values: 1 output or 2 (normal, pneumonia) "
            "are read"
        )


def _side_fault(n_inputs: int) -> str | None:
    side = math.isqrt(n_inputs)
    if side**2 != n_inputs:
        color = math.isqrt(n_inputs // 3)
        is_color = 3 * color**2 == n_inputs
        hint = f" (3 x {color} x {color} would be color images; X-rays are gray)"
        return f"no square image has so many pixels{hint * is_color}"
    if not _SIDE.low <= side <= _SIDE.high:
        return f"{side} x {side} pixels; sides from {_SIDE.low} to {_SIDE.high} are read"
    return None


def _blocks(layers: Sequence[Layer]) -> list[_Block]:
    """Part the layers before each Linear. Nothing is known of what follows the last layer."""
    starts = [i for i, layer in enumerate(layers) if i == 0 or isinstance(layer, Linear)]
    gaps = [number_of(after) - number_of(before) - 1 for before, after in pairwise(layers)] + [0]
    return [
        _Block(layers=tuple(layers[start:stop]), gaps=tuple(gaps[start:stop]))
        for start, stop in pairwise([*starts, len(layers)])
    ]


def _steps(block: _Block, activation: Activation) -> Iterator[Step]:
    for layer in block.layers:
        yield layer
        if layer is block.activated:
            yield activation


def _assumed(blocks: Sequence[_Block], activation: Activation, prefix: str) -> Iterator[str]:
    if prefix:
        yield f"Every key begins with {prefix}, which is left out."
    if first := number_of(blocks[0].layers[0]):
        yield f"Before module {first}: {_before(first)}."
    hidden = [block for block in blocks[:-1] if isinstance(block.layers[0], Linear)]
    if places := _listed(block.activated for block in hidden):
        yield f"Activation: {activation}, behind {places}. Weights do not tell which."
    if bare := _listed(block.layers[-1] for block in hidden if not block.activated):
        yield f"No activation behind {bare}: the numbers leave no place for one."
    if either := _listed(b.layers[0] for b in hidden if sum(gap > 0 for gap in b.gaps) > 1):
        yield f"Behind {either} the activation may stand on either side of BatchNorm: before it."
    if long := _listed(block.layers[0] for block in hidden if sum(block.gaps) > 2):
        yield f"Behind {long} are more than two modules without weights: one activation, Dropout."


def _before(n_modules: int) -> str:
    if n_modules == 1:
        return "a module without weights, taken as Flatten"
    return f"{n_modules} modules without weights, taken as Flatten and Dropout"


def _listed(layers: Iterable[Layer | None]) -> str:
    """Name some layers by their numbers: `modules 2, 6 and 10`; empty where there is none."""
    numbers = [str(number_of(layer)) for layer in layers if layer]
    if len(numbers) < 2:
        return "".join(f"module {number}" for number in numbers)
    return f"modules {', '.join(numbers[:-1])} and {numbers[-1]}"


def _name(layer: Layer) -> str:
    """Name a layer by its key: `1.weight (64, 4096)`, `2.running_mean (64,)`."""
    if isinstance(layer, Linear):
        return f"{layer.key}.weight {shape_of(layer.weight)}"
    return f"{layer.key}.running_mean {shape_of(layer.running_mean)}"


def _step_text(step: Step) -> str:
    if isinstance(step, str):
        return step
    if isinstance(step, Linear):
        return f"Linear({step.n_inputs}, {step.n_outputs})"
    return f"BatchNorm1d({step.n_inputs})"
