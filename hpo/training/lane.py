"""One training between its epochs, and what is done with it: a training epoch, a reading."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn, optim

from hpo.config import TrainingConfig
from hpo.training.device import Device
from hpo.training.first_layer import FirstLayer, collect_gradient, multiply, open_first_layer
from hpo.training.lane_data import LaneData, batch_pixels
from hpo.training.losses import mean_loss, probabilities
from hpo.training.memory import EVALUATION_PIXELS
from hpo.training.model import (
    build_network,
    compute_logits,
    exact_values,
    finish_logits,
    first_linear,
)
from hpo.training.optimizers import build_optimizer
from hpo.training.progress import Progress, begin
from hpo.training.randomness import DROPOUT, ORDER, keep_mask, order, seeds_of


@dataclass(kw_only=True)
class Lane:
    """The state of one training; `kept_weights` are those of early stopping, as far as any."""

    config: TrainingConfig
    device: Device
    data: LaneData
    seeds: Tensor
    network: nn.Sequential
    first_layer: FirstLayer
    optimizer: optim.Optimizer
    progress: Progress
    kept_weights: dict[str, Tensor] = field(default_factory=dict)


def open_lane(config: TrainingConfig, data: LaneData, *, seed: int, device: Device) -> Lane:
    """Return a training before its first epoch."""
    seeds = seeds_of(seed, device=device.torch)
    network = build_network(config, seed=seeds, dtype=device.dtype)
    return Lane(
        config=config,
        device=device,
        data=data,
        seeds=seeds,
        network=network,
        first_layer=open_first_layer(first_linear(network), device.factor_dtype),
        optimizer=build_optimizer(config, network.parameters()),
        progress=begin(config),
    )


def train_epoch(lane: Lane, epoch: int) -> Tensor:
    """Train one epoch; return sums over its images `(3,)`: loss, right answers, images."""
    return torch.stack(list(train_steps(lane, epoch))).sum(0)


def train_steps(lane: Lane, epoch: int) -> Iterator[Tensor]:
    """Train batch by batch; yield the sums of each, as `train_epoch` does.

    The last batch may be smaller. One of a single image is not trained on: BatchNorm cannot.
    """
    config, n_train = lane.config, len(lane.data.train)
    images = lane.data.train[order(lane.seeds, n_train, ORDER, epoch)[0]]
    masks = _keep_masks(lane, epoch, n_train)
    lane.network.train()
    for start in range(0, n_train, config.batch_size):
        batch = slice(start, min(start + config.batch_size, n_train))
        if batch.stop - batch.start > 1:
            yield _train_step(lane, epoch, images[batch], [mask[batch] for mask in masks])


@torch.no_grad()
def read_logits(lane: Lane, positions: Tensor) -> Tensor:
    """Return the logits `(positions, outputs)` of images in evaluation mode.

    In float32 whatever the precision of training: what is measured is what the exported weights
    give anywhere else.
    """
    lane.network.eval()
    # The size of the pieces depends on the image size alone, so rounding does not vary.
    size = max(1, EVALUATION_PIXELS // lane.data.pixels.shape[1])
    pieces = [
        compute_logits(lane.network, lane.data.pixels[some], lane.config)
        for some in torch.split(positions, size)
    ]
    return torch.cat(pieces)


def read_losses(lane: Lane, positions: Tensor) -> Tensor:
    """Return the loss over some images of the pool, then the probability of each, `(1 + n,)`.

    The loss is the same function as in training, label smoothing included.
    """
    logits = read_logits(lane, positions)
    loss = mean_loss(lane.config, logits, lane.data.labels[positions])
    return torch.cat([loss[None], probabilities(lane.config, logits)])


def _train_step(lane: Lane, epoch: int, images: Tensor, keep: Sequence[Tensor]) -> Tensor:
    config, labels = lane.config, lane.data.labels[images]
    pixels = batch_pixels(lane.data, config, seeds=lane.seeds, epoch=epoch, images=images)
    values, scale = exact_values(pixels, config.normalize)
    values = values.to(lane.first_layer.factor.dtype)
    product = multiply(lane.first_layer, values)
    logits = finish_logits(lane.network, product * scale, keep=keep)
    loss = mean_loss(config, logits, labels)
    lane.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    collect_gradient(lane.first_layer, values, product)
    lane.optimizer.step()
    with torch.no_grad():
        n_right = ((probabilities(config, logits) > 0.5) == labels).sum()
        return torch.stack([loss * len(images), n_right, torch.full_like(loss, len(images))])


def _keep_masks(lane: Lane, epoch: int, n_images: int) -> list[Tensor]:
    """Draw the dropout of a whole epoch: bool `(images, width)` for each layer that drops."""
    layers = zip(lane.config.hidden, lane.config.dropout_per_layer, strict=True)
    masks = []
    for layer, (width, dropout) in enumerate(layers):
        if dropout > 0:
            drop = torch.full((1,), dropout, device=lane.device.torch)
            keep = keep_mask(lane.seeds, n_images * width, drop, DROPOUT, epoch, layer)
            masks.append(keep.view(n_images, width))
    return masks
