"""One training of a stack between its epochs: opening it, reading images, exporting weights."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.training.device import Device
from hpo.training.engine import EpochMetrics, TrainingResult, Weights
from hpo.training.lane_data import LaneData
from hpo.training.layers import Rows, evaluate
from hpo.training.layout import Layout, Scratch, Slot, empty_rows, layout_of, statistics_name
from hpo.training.losses import mean_loss, probabilities
from hpo.training.memory import EVALUATION_PIXELS
from hpo.training.model import bound_of, exact_values
from hpo.training.optimizers import Moments, open_moments
from hpo.training.progress import (
    Progress,
    Readings,
    begin,
    measure_epoch,
    note_stress,
    result_of,
)
from hpo.training.randomness import WEIGHTS, fill_uniform, seeds_of


@dataclass(frozen=True)
class Parameters:
    """All that a lane learns: first weights `(width, pixels)`, and the rest in rows of one.

    `row` is `(1, size)`, `statistics` `(1, 2, units)`.
    """

    first: Tensor
    row: Tensor
    statistics: Tensor

    def copy(self) -> "Parameters":
        """Return a copy that later steps do not change."""
        return Parameters(self.first.clone(), self.row.clone(), self.statistics.clone())


@dataclass(kw_only=True)
class Lane:
    """The state of one training; `kept` are the weights of early stopping, as far as any."""

    device: Device
    data: LaneData
    seeds: Tensor
    layout: Layout
    parameters: Parameters
    moments: Moments
    progress: Progress
    kept: Parameters | None = None

    @property
    def config(self) -> TrainingConfig:
        """What is trained; a training that goes on for more epochs gets another one."""
        return self.progress.config

    @property
    def n_bytes(self) -> int:
        """What the state takes: weights, moments, and the weights that are kept."""
        copies = [self.parameters, self.kept] if self.kept else [self.parameters]
        tensors = [tensor for copy in copies for tensor in (copy.first, copy.row)]
        tensors += self.moments.first + self.moments.second
        return sum(tensor.nbytes for tensor in tensors)


def open_lane(config: TrainingConfig, data: LaneData, *, seed: int, device: Device) -> Lane:
    """Return a training before its first epoch."""
    seeds, layout = seeds_of(seed, device=device.torch), layout_of(config)
    parameters = _first_parameters(config, layout, seeds, device.dtype)
    return Lane(
        device=device,
        data=data,
        seeds=seeds,
        layout=layout,
        parameters=parameters,
        moments=open_moments(config, [parameters.first, parameters.row[0]]),
        progress=begin(config),
    )


def rows_of(lane: Lane) -> Rows:
    """Return the small parameters of a lane as a stack of one, without room for gradients."""
    return Rows(
        layout=lane.layout,
        activation=lane.config.activation,
        parameters=lane.parameters.row,
        gradients=lane.parameters.row[:, :0],
        statistics=lane.parameters.statistics,
    )


@torch.no_grad()
def read_logits(lane: Lane, positions: Tensor, scratch: Scratch) -> Tensor:
    """Return the logits `(positions, outputs)` of images in evaluation mode.

    In the precision of the weights whatever that of training: what is measured is what the
    exported weights give anywhere else.
    """
    # The size of the pieces depends on the image size alone, so rounding does not vary.
    size = max(1, EVALUATION_PIXELS // lane.data.pixels.shape[1])
    pieces = [_read_piece(lane, some, scratch) for some in torch.split(positions, size)]
    return torch.cat(pieces)


def read_losses(lane: Lane, positions: Tensor, scratch: Scratch) -> Tensor:
    """Return the loss over some images of the pool, then the probability of each, `(1 + n,)`.

    The loss is the same function as in training, label smoothing included.
    """
    logits = read_logits(lane, positions, scratch)
    loss = mean_loss(lane.config, logits, lane.data.labels[positions])
    return torch.cat([loss[None], probabilities(lane.config, logits)])


def measure(lane: Lane, trained: Tensor, validation: Tensor, scratch: Scratch) -> EpochMetrics:
    """Return the metrics of the epoch that is under way.

    `trained` `(3,)` holds sums over its images, `validation` `(1 + n,)` what `read_losses` found.
    """
    progress = lane.progress
    if progress.is_stress_due:
        _note_stress(lane, progress.epoch + 1, scratch)
    return measure_epoch(trained, validation, data=lane.data, progress=progress)


def read_result(lane: Lane, scratch: Scratch) -> TrainingResult:
    """Return what a training leaves behind: that of its kept weights."""
    start, data = time.perf_counter(), lane.data
    # A copy of the record: the training may go on from its last weights, not from the kept ones.
    lane = replace(lane, parameters=lane.kept or lane.parameters)
    _note_stress(lane, lane.progress.last_kept, scratch)
    readings = Readings(
        train=read_losses(lane, data.train, scratch),
        validation=read_losses(lane, data.validation, scratch),
        test=probabilities(lane.config, read_logits(lane, data.test, scratch)),
    )
    return result_of(lane.progress, readings, data=data, weights=export_weights(lane), since=start)


def load_values(
    pixels: Tensor, name: str, dtype: torch.dtype, config: TrainingConfig, scratch: Scratch
) -> tuple[Tensor, Tensor | float]:
    """Return pixels as whole numbers of a type, in scratch of this name, and their scale."""
    values, scale = exact_values(pixels, config.normalize)
    return scratch.take(name, tuple(values.shape), dtype).copy_(values), scale


def fill_columns(x: Tensor, n: int) -> Tensor:
    """Return a matrix with columns of zeros added up to n."""
    return x if x.shape[1] == n else F.pad(x, (0, n - x.shape[1]))


def export_weights(lane: Lane) -> Weights:
    """Return a copy of the weights as arrays, in the layout of `model.plain_model`."""
    parameters, layout = lane.parameters, lane.layout
    row, found = parameters.row[0], {"1.weight": parameters.first}
    found |= {slot.name: slot.used(row) for slot in layout.slots()}
    for index, layer in enumerate(layout.hidden):
        if layer.gain:
            first = layout.units(index).start
            inside = slice(first, first + layer.gain.shape[0])
            for kind, values in zip(
                ("running_mean", "running_var"), parameters.statistics[0], strict=True
            ):
                found[statistics_name(layer.bias, kind)] = values[inside]
    weights = {name: value.to("cpu", copy=True).numpy() for name, value in found.items()}
    if lane.config.batch_norm:
        _add_idle(lane, weights)
    return weights


def _add_idle(lane: Lane, weights: Weights) -> None:
    """Add what nn.Sequential has and training has no use for: idle biases, counts of batches."""
    n_steps = int(lane.moments.steps[0]) // lane.progress.epoch * lane.progress.last_kept
    for layer in lane.layout.hidden:
        assert layer.gain
        after = int(layer.gain.name.partition(".")[0])
        weights[f"{after - 1}.bias"] = np.zeros_like(weights[layer.gain.name])
        weights[f"{after}.num_batches_tracked"] = np.array(n_steps, np.int64)


def _read_piece(lane: Lane, positions: Tensor, scratch: Scratch) -> Tensor:
    first, pixels = lane.parameters.first, lane.data.pixels
    shape = (len(positions), pixels.shape[1])
    gathered = scratch.take("read", shape, pixels.dtype)
    torch.index_select(pixels, 0, positions, out=gathered)
    values, scale = load_values(gathered, "read", first.dtype, lane.config, scratch)
    product = F.linear(values, first) * scale
    return evaluate(rows_of(lane), fill_columns(product, lane.layout.filled[0])[None])[0]


def _first_parameters(
    config: TrainingConfig, layout: Layout, seeds: Tensor, dtype: torch.dtype
) -> Parameters:
    first = torch.empty(config.hidden[0], config.image_size**2, dtype=dtype, device=seeds.device)
    bound = bound_of(first.shape[1])
    fill_uniform(first.view(1, -1), seeds, WEIGHTS, 0, 0, bound=bound)
    row = empty_rows(1, layout, first)
    for index, layer in enumerate(layout.layers):
        if layer.weight:
            bound = bound_of(layer.weight.shape[1])
            _draw(layer.weight, row[0], seeds, tags=(WEIGHTS, index, 0), bound=bound)
        if layer.gain:
            layer.gain.used(row[0]).fill_(1)
        else:
            _draw(layer.bias, row[0], seeds, tags=(WEIGHTS, index, 1), bound=bound)
    statistics = torch.zeros(1, 2, layout.n_units, dtype=dtype, device=seeds.device)
    statistics[:, 1] = 1
    return Parameters(first, row, statistics)


def _draw(
    slot: Slot, row: Tensor, seeds: Tensor, *, tags: tuple[int, int, int], bound: float
) -> None:
    drawn = row.new_empty(slot.shape)
    fill_uniform(drawn.view(1, -1), seeds, *tags, bound=bound)
    slot.used(row).copy_(drawn)


def _note_stress(lane: Lane, epoch: int, scratch: Scratch) -> None:
    def read(data: LaneData) -> Tensor:
        return read_losses(replace(lane, data=data), data.validation, scratch)

    note_stress(lane.progress, read, data=lane.data, epoch=epoch)
