"""One training between its epochs, and what is done with it: a training epoch, a reading."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, TrainingData
from hpo.errors import TrainingError
from hpo.training.augmentation import augment, is_augmented
from hpo.training.device import Device
from hpo.training.engine import EpochMetrics
from hpo.training.first_layer import FirstLayer, collect_gradient, multiply, open_first_layer
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
from hpo.training.randomness import DROPOUT, ORDER, keep_mask, order, seeds_of
from hpo.training.schedules import Plateau, learning_rates


@dataclass(frozen=True, kw_only=True)
class LaneData:
    """The images of one lane, on its device: all pixels, and which of them are for what.

    `pixels` `(images, height * width)` holds pool and test images, `labels` `(pool,)` no test
    label; `train`, `validation` and `test` are positions among the pixels. `fold` and
    `known_labels` say the same to numpy.
    """

    pixels: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor
    fold: Fold
    known_labels: NDArray[np.uint8]


@dataclass(kw_only=True)
class Lane:
    """The state of one training.

    `rates` holds the learning rate of every epoch, as far as it is known. `kept_epoch` is 0 until
    early stopping has kept an epoch's weights.
    """

    config: TrainingConfig
    device: Device
    data: LaneData
    seeds: Tensor
    network: nn.Sequential
    first_layer: FirstLayer
    optimizer: optim.Optimizer
    rates: list[float]
    plateau: Plateau = field(default_factory=Plateau)
    epochs: list[EpochMetrics] = field(default_factory=list)
    lowest_loss: float = math.inf
    kept_epoch: int = 0
    kept_weights: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


def check_fits(data: TrainingData, config: TrainingConfig, fold: int) -> None:
    """Check that the configuration can be trained on this fold.

    Raises:
        TrainingError: a batch is larger than the training images.
    """
    n_train = len(data.fold(fold).train)
    if config.batch_size > n_train:
        raise TrainingError(
            f"batch_size = {config.batch_size} is more than the {n_train} training images of "
            f"fold {fold}: use at most {n_train}, for example --set batch_size={n_train}."
        )


def open_lane(config: TrainingConfig, data: LaneData, *, seed: int, device: Device) -> Lane:
    """Return a training before its first epoch."""
    seeds = seeds_of(seed, device=device.torch)
    network = build_network(config, seed=seeds)
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    return Lane(
        config=config,
        device=device,
        data=data,
        seeds=seeds,
        network=network,
        first_layer=open_first_layer(first_linear(network), dtype),
        optimizer=build_optimizer(config, network.parameters()),
        rates=list(learning_rates(config)),
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
    values, scale = exact_values(_batch_pixels(lane, epoch, images), config.normalize)
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


def _batch_pixels(lane: Lane, epoch: int, images: Tensor) -> Tensor:
    pixels = lane.data.pixels[images]
    if not is_augmented(lane.config):
        return pixels
    side = lane.config.image_size
    squares = pixels.view(-1, side, side)
    changed = augment(squares, lane.config, seeds=lane.seeds, epoch=epoch, positions=images)
    return changed.reshape(-1, side * side)


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
