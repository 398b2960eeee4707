"""A cohort: lanes that share shapes and operations, trained together for one epoch.

Lanes of a cohort differ in every number: learning rate, decay, dropout, smoothing, augmentation,
seed, fold, epoch. The products with the first weights and the optimizer's steps go lane by lane;
they are nearly all the work and gain nothing from being batched. Between them a few thousand
numbers pass through many small operations, which take as long for eight lanes as for one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.training.image_losses import Softness, compare
from hpo.training.lane import Lane, Parameters, load_values
from hpo.training.lane_data import batch_pixels
from hpo.training.layers import Rows, backward, forward
from hpo.training.layout import Layout, Scratch
from hpo.training.optimizers import Step, update
from hpo.training.randomness import DROPOUT, ORDER, keep_mask, order

Kind: TypeAlias = tuple[object, ...]


class _Batch(NamedTuple):
    """Which lanes train on how many images, from which place in their order on."""

    lanes: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The lanes of an epoch, stacked.

    `orders` are the positions of the images `(n_train,)` of each lane; `keep` the dropout of each
    hidden layer, bool `(lanes, images, width)`, and `keep_scale` `(lanes, layers)` the factor of
    what is kept. `measured` `(2, lanes, images)` takes the loss of every image, and 1 where the
    answer was right.
    """

    lanes: tuple[Lane, ...]
    rows: Rows
    labels: Tensor
    orders: tuple[Tensor, ...]
    keep: tuple[Tensor | None, ...]
    keep_scale: Tensor
    softness: Softness
    measured: Tensor
    scratch: Scratch


def kind_of(lane: Lane) -> Kind:
    """Return what the lanes of a cohort have in common."""
    config = lane.config
    return (
        config.image_size,
        config.batch_size,
        config.hidden,
        config.batch_norm,
        config.activation,
        config.loss,
        config.n_outputs,
    )


def train_epoch(lanes: Sequence[Lane], scratch: Scratch) -> list[Tensor]:
    """Train lanes of one kind for their next epoch.

    Returns for each lane the sums over its images `(3,)`: loss, right answers, images. The last
    batch may be smaller. One of a single image is not trained on: BatchNorm cannot.
    """
    cohort = open_cohort(lanes, scratch)
    for _ in train_steps(cohort):
        pass
    return close_cohort(cohort)


def open_cohort(lanes: Sequence[Lane], scratch: Scratch) -> Cohort:
    """Stack the lanes, and draw the order and the dropout of their next epoch."""
    one, device = lanes[0], lanes[0].seeds.device
    parameters = torch.cat([lane.parameters.row for lane in lanes])

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=parameters.dtype, device=device)[:, None]

    rows = Rows(
        layout=one.layout,
        activation=one.config.activation,
        parameters=parameters,
        # What fills the rows up between parameters has no gradient; it must be zero, not rubbish.
        gradients=torch.zeros_like(parameters),
        statistics=torch.cat([lane.parameters.statistics for lane in lanes]),
    )
    return Cohort(
        lanes=tuple(lanes),
        rows=rows,
        labels=one.data.labels.to(parameters.dtype),
        orders=tuple(_order(lane) for lane in lanes),
        keep=tuple(_keep(lanes, layer) for layer in range(len(one.config.hidden))),
        keep_scale=torch.tensor(
            [[1 / (1 - p) for p in lane.config.dropout_per_layer] for lane in lanes],
            dtype=parameters.dtype,
            device=device,
        ),
        softness=Softness(
            smoothing=column([lane.config.label_smoothing for lane in lanes]),
            focal_gamma=column([lane.config.focal_gamma for lane in lanes]),
        ),
        measured=parameters.new_zeros(2, len(lanes), max(len(lane.data.train) for lane in lanes)),
        scratch=scratch,
    )


def train_steps(cohort: Cohort) -> Iterator[None]:
    """Train batch by batch, every lane on its own images."""
    for batch in _batches(cohort):
        stop = batch.start + batch.size
        if len(batch.lanes) == len(cohort.lanes):
            cohort.measured[:, :, batch.start : stop] = _train_step(cohort, batch)
        else:
            some = torch.tensor(batch.lanes, device=cohort.measured.device)
            part = _pick(cohort, some)
            cohort.measured[:, some, batch.start : stop] = _train_step(part, batch)
            cohort.rows.parameters[some] = part.rows.parameters
            cohort.rows.statistics[some] = part.rows.statistics
        yield


def close_cohort(cohort: Cohort) -> list[Tensor]:
    """Give the lanes their parameters back; return what `train_epoch` does."""
    for index, lane in enumerate(cohort.lanes):
        own = slice(index, index + 1)
        lane.parameters = Parameters(
            lane.parameters.first, cohort.rows.parameters[own], cohort.rows.statistics[own]
        )
    size = cohort.lanes[0].config.batch_size
    return [
        add_up(cohort.measured[:, index], len(order), size)
        for index, order in enumerate(cohort.orders)
    ]


def _order(lane: Lane) -> Tensor:
    """Return the lane's training images in the order of this epoch."""
    train = lane.data.train
    return train[order(lane.seeds, len(train), ORDER, lane.progress.epoch)[0]]


def _keep(lanes: Sequence[Lane], layer: int) -> Tensor | None:
    """Draw the dropout of a layer for the whole epoch; None where no lane drops any."""
    dropped = [lane.config.dropout_per_layer[layer] for lane in lanes]
    if not any(dropped):
        return None
    seeds = torch.cat([lane.seeds for lane in lanes])
    epochs = torch.tensor([lane.progress.epoch for lane in lanes], device=seeds.device)
    n, width = max(len(lane.data.train) for lane in lanes), lanes[0].config.hidden[layer]
    drop = torch.tensor(dropped, device=seeds.device)
    return keep_mask(seeds, n * width, drop, DROPOUT, epochs, layer).view(len(lanes), n, width)


def _batches(cohort: Cohort) -> list[_Batch]:
    """Return the steps of the epoch; folds may differ in size, so the last ones may be apart."""
    size = cohort.lanes[0].config.batch_size
    sizes = [len(order) for order in cohort.orders]
    found = []
    for start in range(0, max(sizes), size):
        lengths = [min(size, n - start) for n in sizes]
        for length in sorted({n for n in lengths if n > 1}, reverse=True):
            some = tuple(index for index, n in enumerate(lengths) if n == length)
            found.append(_Batch(some, start, length))
    return found


def _pick(cohort: Cohort, some: Tensor) -> Cohort:
    """Return a cohort of some of the lanes, with copies of their parameters."""
    rows, chosen = cohort.rows, some.tolist()
    return replace(
        cohort,
        lanes=tuple(cohort.lanes[index] for index in chosen),
        rows=replace(
            rows,
            parameters=rows.parameters[some],
            gradients=rows.gradients[some],
            statistics=rows.statistics[some],
        ),
        orders=tuple(cohort.orders[index] for index in chosen),
        keep=tuple(None if keep is None else keep[some] for keep in cohort.keep),
        keep_scale=cohort.keep_scale[some],
        softness=Softness(*(values[some] for values in cohort.softness)),
    )


@torch.no_grad()
def _train_step(cohort: Cohort, batch: _Batch) -> Tensor:
    """Train every lane on a batch; return `(2, lanes, batch)`: losses, and 1 for right answers."""
    place = slice(batch.start, batch.start + batch.size)
    images = [order[place] for order in cohort.orders]
    inputs = [_load(cohort, index, images[index]) for index in range(len(cohort.lanes))]
    product = _multiply(cohort, inputs)
    masks = fill_masks(cohort.rows.layout, cohort.keep, cohort.keep_scale, place)
    logits, traces, last = forward(cohort.rows, product, masks)
    labels, loss = cohort.labels[torch.stack(images)], cohort.lanes[0].config.loss
    measured, gradient = compare(loss, logits, labels, cohort.softness)
    delta = backward(cohort.rows, gradient, traces, last)
    for index, lane_inputs in enumerate(inputs):
        _update(cohort, index, delta[index], lane_inputs)
    return measured


class _Inputs(NamedTuple):
    """What a lane sees of a batch: whole numbers `(batch, pixels)`, to be multiplied by scale."""

    values: Tensor
    scale: Tensor | float


def _load(cohort: Cohort, index: int, images: Tensor) -> _Inputs:
    lane, scratch = cohort.lanes[index], cohort.scratch
    everything = lane.data.pixels
    shape = (len(images), everything.shape[1])
    pixels = batch_pixels(
        lane.data,
        lane.config,
        seeds=lane.seeds,
        epoch=lane.progress.epoch,
        images=images,
        out=scratch.take("pixels", shape, everything.dtype),
    )
    dtype = lane.device.factor_dtype
    return _Inputs(*load_values(pixels, f"inputs {index}", dtype, lane.config, scratch))


def _multiply(cohort: Cohort, inputs: Sequence[_Inputs]) -> Tensor:
    """Return the products of inputs and first weights `(lanes, batch, units)`."""
    dtype, width = cohort.rows.parameters.dtype, cohort.rows.layout.widths[0]
    batch, units = len(inputs[0].values), cohort.rows.layout.filled[0]
    product = cohort.rows.parameters.new_zeros(len(inputs), batch, units)
    for index, (values, scale) in enumerate(inputs):
        weight = cohort.lanes[index].parameters.first
        if values.dtype != dtype:
            held = cohort.scratch.take("factor", tuple(weight.shape), values.dtype)
            weight = held.copy_(weight)
        product[index, :, :width] = F.linear(values, weight).to(dtype) * scale
    return product


def fill_masks(
    layout: Layout, keep: Sequence[Tensor | None], keep_scale: Tensor, place: slice
) -> list[Tensor | None]:
    """Return the factors of the hidden units in a batch; units that only fill up have 0.

    `keep` and `keep_scale` are as a cohort has them.
    """
    masks: list[Tensor | None] = []
    for layer, kept in enumerate(keep):
        width, units = layout.widths[layer], layout.filled[layer]
        if kept is not None:
            mask = kept[:, place] * keep_scale[:, layer, None, None]
        elif units > width:
            mask = keep_scale.new_ones(1, 1, width)
        else:
            masks.append(None)
            continue
        masks.append(F.pad(mask, (0, units - width)) if units > width else mask)
    return masks


def _update(cohort: Cohort, index: int, delta: Tensor, inputs: _Inputs) -> None:
    """Take an optimizer step of one lane; `delta` is the gradient of its first product."""
    lane, rows, scratch = cohort.lanes[index], cohort.rows, cohort.scratch
    values, first = inputs.values, lane.parameters.first
    delta = (delta[:, : len(first)] * inputs.scale).to(values.dtype)
    shape = tuple(first.shape)
    gradient = scratch.take("gradient", shape, values.dtype)
    torch.mm(delta.t(), values, out=gradient)
    if gradient.dtype != first.dtype:
        gradient = scratch.take("gradient", shape, first.dtype).copy_(gradient)
    step = Step(
        parameters=[first, rows.parameters[index]],
        gradients=[gradient, rows.gradients[index]],
        learning_rate=lane.progress.rate,
        scratch=scratch,
    )
    update(lane.config, lane.moments, step)


def add_up(measured: Tensor, n_images: int, batch_size: int) -> Tensor:
    """Return the sums of a lane `(3,)` as `train_epoch` does; `measured` is `(2, images)`."""
    n = n_images - (n_images % batch_size == 1)
    sums = measured[:, :n].to(torch.float64).sum(1)
    return torch.cat([sums, torch.full_like(sums[:1], n)])
