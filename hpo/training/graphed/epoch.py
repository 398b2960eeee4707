"""An epoch of one lane: what is launched, in which order. The same eagerly and within a graph."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from hpo.training.augmentation import augment
from hpo.training.graphed.kernels.codes import OPTIMIZERS
from hpo.training.graphed.kernels.first import first_pass
from hpo.training.graphed.kernels.small import small_step
from hpo.training.graphed.kernels.updates import update_row
from hpo.training.graphed.kind import BLOCK
from hpo.training.graphed.memory import PIECE, Memory, scale_of
from hpo.training.graphed.table import changes_in, step_numbers
from hpo.training.randomness import DROPOUT, ORDER, keep_mask, order, stream
from hpo.training.stacked.cohort import add_up, fill_masks
from hpo.training.stacked.layers import Rows, backward, forward
from hpo.training.stacked.losses import Softness, compare

_ROW_BLOCK: Final = 1024
# How the compiler shares out a program among threads and stages. With another stage float32 would
# take more than the shared memory of most GPUs.
FIRST_OPTIONS: Final = {
    True: {"num_warps": 4, "num_stages": 2},
    False: {"num_warps": 4, "num_stages": 1},
}
SMALL_OPTIONS: Final = {"num_warps": 8, "num_stages": 1}


@dataclass(frozen=True, kw_only=True)
class _Batches:
    """The images of an epoch in order.

    `rows` are their places among `pixels`, `offsets`, `scales` and `labels`. `numbers` are those
    of each step; `streams` draw the dropout of small layers, `keep` is that of wide ones.
    """

    pixels: Tensor
    rows: Tensor
    offsets: Tensor
    scales: Tensor
    labels: Tensor
    numbers: Tensor
    settings: Tensor
    streams: Tensor
    keep: tuple[Tensor, ...]
    measured: Tensor


@torch.no_grad()
def train_epoch(memory: Memory) -> Tensor:
    """Train all batches; return sums `(3,)`: loss, right answers, images."""
    batches, sizes = _draw(memory), memory.kind.batches
    derive = _derive_small if memory.kind.is_small else _derive_wide
    _pass(memory, batches, now=None, following=0)
    for index in range(len(sizes)):
        derive(memory, batches, index)
        _update_row(memory, batches, index)
        _pass(memory, batches, now=index, following=index + 1)
    torch._foreach_add_(memory.moments.steps, len(sizes))
    return add_up(batches.measured, memory.kind.n_train, memory.kind.batch_size)


def _draw(memory: Memory) -> _Batches:
    """Draw what is random in the epoch: order, augmentation, dropout."""
    kind, table, seeds = memory.kind, memory.table, memory.seeds
    epoch, layers = table.epoch, range(len(kind.hidden))
    images = memory.train[order(seeds, kind.n_train, ORDER, epoch)[0]]
    pixels, rows = memory.pixels, images
    offsets, scales, labels = memory.offsets, memory.scales, memory.labels
    if kind.is_augmented:
        pixels, rows = _augment(memory, images), torch.arange(kind.n_train, device=images.device)
        offsets, scales = scale_of(pixels, kind)
        labels = labels[images]
    softness = [table.number(name) for name in ("label_smoothing", "focal_gamma")]
    keep: tuple[Tensor, ...] = ()
    if not kind.is_small:
        keep = tuple(_keep(memory, layer) for layer in layers)
    return _Batches(
        pixels=pixels,
        rows=rows,
        offsets=offsets,
        scales=scales,
        labels=labels,
        numbers=step_numbers(table, memory.moments.steps[0], len(kind.batches)),
        settings=torch.cat([torch.stack(softness).float(), table.drops]),
        streams=torch.cat([stream(seeds, DROPOUT, epoch, layer) for layer in layers]),
        keep=keep,
        measured=scales.new_zeros(2, kind.n_train),
    )


def _keep(memory: Memory, layer: int) -> Tensor:
    n, width, epoch = memory.kind.n_train, memory.kind.hidden[layer], memory.table.epoch
    drop = memory.table.drops[layer : layer + 1]
    return keep_mask(memory.seeds, n * width, drop, DROPOUT, epoch, layer).view(1, n, width)


def _augment(memory: Memory, images: Tensor) -> Tensor:
    """Return the images of the epoch as changed, uint8 `(images, pixels)`."""
    side, changes = memory.kind.image_size, changes_in(memory.table, memory.kind)
    pieces = torch.split(images, max(1, PIECE // memory.kind.n_pixels))
    changed = [
        augment(
            memory.pixels[some].view(-1, side, side),
            changes,
            seeds=memory.seeds,
            epoch=memory.table.epoch,
            positions=some,
        )
        for some in pieces
    ]
    return torch.cat(changed).view(len(images), -1)


def _pass(memory: Memory, batches: _Batches, *, now: int | None, following: int) -> None:
    """Train the first weights on a batch, and multiply the next with them."""
    kind, division, sizes = memory.kind, memory.division, memory.kind.batches
    first, second = _moments(memory, 0)
    n_now = 0 if now is None else sizes[now]
    n_next = sizes[following] if following < len(sizes) else 0
    first_pass[(division.n_columns, division.n_splits)](
        batches.pixels,
        batches.offsets,
        batches.rows[(now or 0) * kind.batch_size :],
        batches.rows[min(following, len(sizes) - 1) * kind.batch_size :],
        memory.delta,
        memory.parameters.first,
        first,
        second,
        batches.numbers[now or 0],
        first.numel(),
        second.numel(),
        memory.partial,
        n_now,
        n_next,
        kind.n_pixels,
        kind.hidden[0],
        memory.layout.filled[0],
        HAS_NOW=now is not None,
        OPTIMIZER=OPTIMIZERS[kind.optimizer],
        IS_BF16=kind.is_bf16,
        IMAGES=kind.n_images,
        UNITS=division.units,
        BLOCK=BLOCK,
        **FIRST_OPTIONS[kind.is_bf16],
    )
    if n_next:
        torch.sum(memory.partial, 0, out=memory.product)


def _moments(memory: Memory, index: int) -> tuple[Tensor, Tensor]:
    """Return the moments of first weights or row; of what the optimizer lacks, none."""
    moments, none = memory.moments, memory.product[:0]
    first = moments.first[index] if moments.first else none
    second = moments.second[index] if moments.second else none
    return first, second


def _derive_small(memory: Memory, batches: _Batches, index: int) -> None:
    """Leave the gradients of the layers behind the first product: one program does it."""
    kind, layout = memory.kind, memory.layout
    small_step[(1,)](
        memory.product,
        batches.scales,
        batches.labels,
        batches.rows,
        batches.settings,
        batches.streams,
        memory.places,
        memory.codes,
        memory.parameters.row,
        memory.gradients,
        memory.parameters.statistics,
        memory.trace,
        memory.delta,
        batches.measured,
        index * kind.batch_size,
        kind.batches[index],
        kind.n_train,
        len(kind.hidden),
        layout.n_units,
        IMAGES=kind.n_images,
        UNITS=kind.n_units,
        **SMALL_OPTIONS,
    )


def _derive_wide(memory: Memory, batches: _Batches, index: int) -> None:
    """Do the same with torch's operations."""
    kind, layout, n = memory.kind, memory.layout, memory.kind.batches[index]
    place = slice(index * kind.batch_size, index * kind.batch_size + n)
    rows = Rows(
        layout=layout,
        activation=kind.activation,
        parameters=memory.parameters.row,
        gradients=memory.gradients,
        statistics=memory.parameters.statistics,
    )
    images, settings = batches.rows[place], batches.settings
    scales = batches.scales[images][:, None]
    masks = fill_masks(layout, batches.keep, (1 / (1 - settings[2:]))[None], place)
    logits, traces, last = forward(rows, (memory.product[:n] * scales)[None], masks)
    labels = batches.labels[images].to(logits.dtype)[None]
    softness = Softness(settings[:1, None], settings[1:2, None])
    measured, gradient = compare(kind.loss, logits, labels, softness)
    batches.measured[:, place] = measured[:, 0]
    memory.delta[:n] = backward(rows, gradient, traces, last)[0] * scales


def _update_row(memory: Memory, batches: _Batches, index: int) -> None:
    """Take a step of all parameters but the first weights."""
    first, second = _moments(memory, 1)
    size = memory.layout.size
    update_row[(-(-size // _ROW_BLOCK),)](
        memory.parameters.row,
        first,
        second,
        batches.numbers[index],
        first.numel(),
        second.numel(),
        memory.gradients,
        size,
        OPTIMIZER=OPTIMIZERS[memory.kind.optimizer],
        BLOCK=_ROW_BLOCK,
    )
