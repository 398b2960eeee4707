"""A cohort: lanes with the same shapes and operations, trained together for one epoch.

The lanes of a cohort may differ in every number: learning rate, decay, dropout, smoothing,
augmentation, seed, fold, epoch. Products with the first weights and optimizer steps are done lane
by lane; they are nearly all the work, and batching would not speed them up. Between them many
small operations process a few thousand numbers, and take as long for eight lanes as for one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.training.augmentation import augment, draw_changes
from hpo.training.lane import AnyLane, gather, load_values
from hpo.training.layers import Parameters, Rows, backward, fill_up, forward, layout_of
from hpo.training.losses import train_losses
from hpo.training.model import Values
from hpo.training.optimizers import average_share, update
from hpo.training.progress import Lane
from hpo.training.randomness import DROPOUT, ORDER, keep_mask, order


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The lanes of an epoch, stacked: those with more training images first.

    `orders` are the positions of the images `(n_train,)` of each lane, and `changes` their
    augmentations; `keep` is the dropout of each hidden layer, bool `(lanes, images, units)`, and
    `keep_scale` `(lanes, layers)` the factor of kept units; `class_weights` are `(lanes,
    classes)`, label `smoothing` and the focal loss's `gamma` `(lanes, 1)`. `measured` `(2, lanes,
    images)` receives the loss of every image, and 1 for a correct answer.
    """

    lanes: Sequence[Lane[Parameters]]
    rows: Rows
    labels: Tensor
    orders: Sequence[Tensor]
    changes: Sequence[Tensor | None]
    keep: Sequence[Tensor | None]
    keep_scale: Tensor
    class_weights: Tensor
    smoothing: Tensor
    gamma: Tensor
    measured: Tensor


def kind_of(lane: AnyLane) -> tuple[object, ...]:
    """Return the common properties of the lanes of a cohort; a custom model trains alone."""
    c = lane.config
    if c.model:
        return (id(lane),)
    sizes = c.image_size, c.batch_size, c.hidden, c.n_outputs
    return (*sizes, c.batch_norm, c.activation, c.loss)


def train_epoch(lanes: Sequence[Lane[Parameters]]) -> list[Tensor]:
    """Train lanes of one kind, those with more training images first, for their next epoch.

    Returns for each lane the sums over its images `(3,)`: loss, correct answers, images. The last
    batch may be smaller. A batch of one image is skipped, because BatchNorm cannot train on it.
    """
    cohort = open_cohort(lanes)
    for _ in train_steps(cohort):
        pass
    sums = []
    for index, lane in enumerate(lanes):
        own, n = slice(index, index + 1), len(cohort.orders[index])
        row, statistics = cohort.rows.parameters[own], cohort.rows.statistics[own]
        lane.weights = lane.weights._replace(row=row, statistics=statistics)
        n -= n % lane.config.batch_size == 1
        measured = cohort.measured[:, index, :n].to(torch.float64).sum(1)
        sums.append(torch.cat([measured, torch.full_like(measured[:1], n)]))
    return sums


def open_cohort(lanes: Sequence[Lane[Parameters]]) -> Cohort:
    """Stack the lanes, and draw the order and the dropout of their next epoch."""
    first, configs = lanes[0], [lane.config for lane in lanes]
    parameters = torch.cat([lane.weights.row for lane in lanes])
    trains = [lane.data.train for lane in lanes]
    orders = [
        train[order(lane.seeds, len(train), ORDER, lane.progress.epoch)[0]]
        for lane, train in zip(lanes, trains, strict=True)
    ]

    def stacked(values: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(values, dtype=parameters.dtype, device=parameters.device)

    return Cohort(
        lanes=lanes,
        rows=Rows(
            layout=layout_of(first.config),
            activation=first.config.activation,
            parameters=parameters,
            # Padding has no gradient; it must be zero, not unset.
            gradients=torch.zeros_like(parameters),
            statistics=torch.cat([lane.weights.statistics for lane in lanes]),
        ),
        labels=first.data.labels,
        orders=orders,
        changes=[
            draw_changes(
                lane.config, seeds=lane.seeds, epoch=lane.progress.epoch, positions=positions
            )
            for lane, positions in zip(lanes, orders, strict=True)
        ],
        keep=[_keep(lanes, layer) for layer in range(len(first.config.hidden))],
        keep_scale=stacked([[1 / (1 - p) for p in c.dropout_per_layer] for c in configs]),
        class_weights=torch.stack([lane.data.class_weights for lane in lanes]),
        smoothing=stacked([[c.label_smoothing] for c in configs]),
        gamma=stacked([[c.focal_gamma] for c in configs]),
        measured=parameters.new_zeros(2, len(lanes), len(trains[0])),
    )


def _keep(lanes: Sequence[Lane[Parameters]], layer: int) -> Tensor | None:
    """Draw the dropout of a layer for the whole epoch, including padding units.

    None if there is no padding and no lane drops any units.
    """
    n, width = len(lanes[0].data.train), lanes[0].config.hidden[layer]
    n_filling = fill_up(width) - width
    seeds = torch.cat([lane.seeds for lane in lanes])
    dropped = [lane.config.dropout_per_layer[layer] for lane in lanes]
    if any(dropped):  # Read from the configurations, to avoid waiting for a GPU.
        drop = torch.tensor(dropped, device=seeds.device)
        epochs = torch.tensor([lane.progress.epoch for lane in lanes], device=seeds.device)
        keep = keep_mask(seeds, n * width, drop, DROPOUT, epochs, layer)
    elif n_filling:
        keep = torch.ones(len(lanes), n * width, dtype=torch.bool, device=seeds.device)
    else:
        return None
    return F.pad(keep.view(len(lanes), n, width), (0, n_filling))


def train_steps(cohort: Cohort) -> Iterator[None]:
    """Train batch by batch, every lane on its own images.

    Folds may differ in size; then only some of the lanes take the last steps.
    """
    size, sizes = cohort.lanes[0].config.batch_size, [len(order) for order in cohort.orders]
    for start in range(0, sizes[0], size):
        first = 0
        for length, lanes in groupby(min(size, n - start) for n in sizes):
            own = slice(first, first + len(list(lanes)))
            first = own.stop
            if length > 1:
                part = cohort if own == slice(0, len(sizes)) else _part(cohort, own)
                place = slice(start, start + length)
                cohort.measured[:, own, place] = _train_step(part, place)
                yield


def _part(cohort: Cohort, own: slice) -> Cohort:
    """Return some lanes as a cohort whose tensors are views."""
    rows = cohort.rows
    return replace(
        cohort,
        lanes=cohort.lanes[own],
        rows=replace(
            rows,
            parameters=rows.parameters[own],
            gradients=rows.gradients[own],
            statistics=rows.statistics[own],
        ),
        orders=cohort.orders[own],
        changes=cohort.changes[own],
        keep=[None if keep is None else keep[own] for keep in cohort.keep],
        keep_scale=cohort.keep_scale[own],
        class_weights=cohort.class_weights[own],
        smoothing=cohort.smoothing[own],
        gamma=cohort.gamma[own],
    )


@torch.no_grad()
def _train_step(cohort: Cohort, place: slice) -> Tensor:
    """Train every lane on a batch; return `(2, lanes, batch)`: losses, and 1 if correct."""
    images = [order[place] for order in cohort.orders]
    inputs = [_load(cohort, index, place) for index in range(len(cohort.lanes))]
    masks = [
        None if keep is None else keep[:, place] * scale[:, None, None]
        for keep, scale in zip(cohort.keep, cohort.keep_scale.unbind(1), strict=True)
    ]
    logits, traces, last = forward(cohort.rows, _multiply(cohort, inputs), masks)
    loss, labels = cohort.lanes[0].config.loss, cohort.labels[torch.stack(images)]
    weights, smoothing, gamma = cohort.class_weights, cohort.smoothing, cohort.gamma
    measured, gradient = train_losses(loss, logits, labels, weights, smoothing, gamma)
    delta = backward(cohort.rows, gradient, traces, masks, last)
    for index, lane_inputs in enumerate(inputs):
        _update(cohort, index, delta[index], lane_inputs)
        n_left = len(cohort.orders[index]) - place.stop
        _average(cohort, index, is_last=n_left <= 1)
    return measured


def _load(cohort: Cohort, index: int, place: slice) -> Values:
    """Return the augmented images of a batch of one lane, in scratch."""
    lane, drawn = cohort.lanes[index], cohort.changes[index]
    images = gather(lane, cohort.orders[index][place])
    changed = augment(images, lane.config, drawn if drawn is None else drawn[place])
    return load_values(lane, changed, f"inputs {index}", lane.device.factor_dtype)


def _multiply(cohort: Cohort, inputs: Sequence[Values]) -> Tensor:
    """Return the products of inputs and first weights `(lanes, batch, units)`."""
    dtype, [units] = cohort.rows.parameters.dtype, cohort.rows.layout.hidden[0].bias.filled
    product = cohort.rows.parameters.new_zeros(len(inputs), len(inputs[0][0]), units)
    for index, (values, scale) in enumerate(inputs):
        lane = cohort.lanes[index]
        weight = lane.weights.first
        if values.dtype != dtype:
            converted = lane.scratch.take("factor", tuple(weight.shape), values.dtype)
            weight = converted.copy_(weight)
        product[index, :, : len(weight)] = F.linear(values, weight).to(dtype) * scale
    return product


def _update(cohort: Cohort, index: int, delta: Tensor, inputs: Values) -> None:
    """Take an optimizer step of one lane; `delta` is the gradient of its first product."""
    lane, rows = cohort.lanes[index], cohort.rows
    (values, scale), first = inputs, lane.weights.first
    delta = (delta[:, : len(first)] * scale).to(values.dtype)
    shape = tuple(first.shape)
    gradient = lane.scratch.take("gradient", shape, values.dtype)
    torch.mm(delta.t(), values, out=gradient)
    if gradient.dtype != first.dtype:
        gradient = lane.scratch.take("gradient", shape, first.dtype).copy_(gradient)
    weights, gradients = [first, rows.parameters[index]], [gradient, rows.gradients[index]]
    update(lane.config, lane.moments, weights, gradients, lane.progress.rate, lane.scratch)


def _average(cohort: Cohort, index: int, *, is_last: bool) -> None:
    """Move a lane's average towards its weights if it is due (`average_share`)."""
    lane, rows = cohort.lanes[index], cohort.rows
    lane.n_steps += 1
    share = average_share(lane.n_steps, lane.n_averaged, is_last=is_last)
    if share is None:
        return
    average = lane.average
    means = [average.first, average.row[0], average.statistics[0]]
    values = [lane.weights.first, rows.parameters[index], rows.statistics[index]]
    torch._foreach_lerp_(means, values, share)
    lane.n_averaged = lane.n_steps
