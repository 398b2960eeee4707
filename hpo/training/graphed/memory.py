"""What a slot holds: everything that the epochs of its lanes read and write, where it stays."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from hpo.training.graphed.kernels import codes
from hpo.training.graphed.kernels.small import N_TRACES
from hpo.training.graphed.kind import Division, Kind, divide
from hpo.training.graphed.table import Table, open_table
from hpo.training.model import exact_values
from hpo.training.stacked.lane import Lane, Parameters
from hpo.training.stacked.layout import Layout
from hpo.training.stacked.updates import Moments

PIECE: Final = 1 << 24
"""Pixels that are changed or converted at once: what that needs for a time grows with them."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """All that the epochs of one kind read and write, at addresses that stay.

    `pixels` are the images of the pool, which lanes share; `labels` theirs; `train` the positions
    of the fold's. `offsets` and `scales` make network inputs of pixels that are not augmented,
    `(images,)`. `gradients` are those of the row; `product`,
    `partial`, `delta` and `trace` are what else kernels leave to each other;
    `places` and `codes` tell `small_step` what to do.
    """

    kind: Kind
    layout: Layout
    division: Division
    table: Table
    seeds: Tensor
    pixels: Tensor
    labels: Tensor
    train: Tensor
    offsets: Tensor
    scales: Tensor
    parameters: Parameters
    moments: Moments
    places: Tensor
    codes: Tensor
    gradients: Tensor
    product: Tensor
    partial: Tensor
    delta: Tensor
    trace: Tensor


def open_memory(lane: Lane, kind: Kind) -> Memory:
    """Return memory for lanes of a kind, around the tensors of the first of them."""
    layout, division, first = lane.layout, divide(kind, lane.layout), lane.parameters.first
    filled, n_traces = layout.filled[0], (len(kind.hidden) + 1) * N_TRACES.value
    offsets, scales = scale_of(lane.data.pixels, kind)
    return Memory(
        kind=kind,
        layout=layout,
        division=division,
        table=open_table(len(kind.hidden), first.device),
        seeds=lane.seeds,
        pixels=lane.data.pixels,
        labels=lane.data.labels,
        train=lane.data.train,
        offsets=offsets,
        scales=scales,
        parameters=lane.parameters,
        moments=lane.moments,
        places=torch.tensor(places_of(layout), dtype=torch.int32, device=first.device),
        codes=torch.tensor(_codes(kind), dtype=torch.int32, device=first.device),
        # What fills the row up between parameters has no gradient, and nothing ever writes to it.
        gradients=torch.zeros_like(lane.parameters.row),
        product=first.new_zeros(kind.n_images, filled),
        partial=first.new_zeros(division.n_splits, kind.n_images, filled),
        delta=first.new_zeros(kind.n_images, filled),
        trace=first.new_zeros(n_traces * kind.n_images * kind.n_units if kind.is_small else 0),
    )


def enter(memory: Memory, lane: Lane) -> None:
    """Copy a lane of the same kind into the memory; its tensors are from now on those here."""
    data, parameters, moments = lane.data, lane.parameters, lane.moments
    pairs = [
        (memory.seeds, lane.seeds),
        (memory.labels, data.labels),
        (memory.train, data.train),
        (memory.parameters.first, parameters.first),
        (memory.parameters.row, parameters.row),
        (memory.parameters.statistics, parameters.statistics),
        *zip(memory.moments.first, moments.first, strict=True),
        *zip(memory.moments.second, moments.second, strict=True),
        *zip(memory.moments.steps, moments.steps, strict=True),
    ]
    for there, here in pairs:
        there.copy_(here)
    lane.parameters, lane.moments = memory.parameters, memory.moments


def scale_of(pixels: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """Return what to take from every image's pixels, and what to multiply them by then."""
    offsets, scales = [], []
    for some in torch.split(pixels, max(1, PIECE // kind.n_pixels)):
        # One pixel tells what was taken from it; of most images nothing is.
        one = some if kind.normalize == "image" else some[:, :1]
        values, scale = exact_values(one, kind.normalize)
        offsets.append(one[:, 0].float() - values[:, 0].float())
        scales.append(torch.zeros_like(offsets[-1])[:, None] + scale)
    return torch.cat(offsets), torch.cat(scales)[:, 0]


def places_of(layout: Layout) -> list[list[int]]:
    """Return where each layer lies, as `small_step` reads it: a row a layer."""
    found = []
    before = 0
    for index, layer in enumerate(layout.hidden):
        found.append(
            [
                layer.weight.start if layer.weight else -1,
                layer.gain.start if layer.gain else -1,
                layer.bias.start,
                layout.units(index).start,
                layout.filled[index],
                layout.widths[index],
                before,
            ]
        )
        before = layout.filled[index]
    output = layout.layers[-1]
    assert output.weight
    n_outputs = output.weight.shape[0]
    return [*found, [output.weight.start, -1, output.bias.start, 0, n_outputs, n_outputs, before]]


def _codes(kind: Kind) -> list[int]:
    """Return what `small_step` chooses by."""
    return [codes.ACTIVATIONS[kind.activation], codes.LOSSES[kind.loss]]
