"""A readable reference: the loop of the reports with autograd, `torch.optim`, one lane, float64.

The engine must give the same numbers. Only randomness (first weights, order, dropout,
augmentation) and the handling of metrics after an epoch are taken from the engine.
"""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn, optim

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.augmentation import augment, draw_changes
from hpo.training.device import Device, one_thread
from hpo.training.engine import Epoch, Metrics, OtherWeights, Run, TrainingResult
from hpo.training.images import Images, LaneData
from hpo.training.lane import metrics_of
from hpo.training.losses import mean_loss, probabilities
from hpo.training.model import NORMALIZE, plain_model
from hpo.training.optimizers import AVERAGE_EVERY, AVERAGE_POWER
from hpo.training.progress import Progress, note_epoch
from hpo.training.randomness import (
    DROPOUT,
    ORDER,
    WEIGHTS,
    fill_uniform,
    keep_mask,
    order,
    seeds_of,
)

EXACT: Final = Device("cpu", "fp64")

# Those of torch, one parameter at a time, with the defaults of all unset options.
OPTIMIZERS: Final[dict[str, Callable[[Iterable[Tensor], TrainingConfig], optim.Optimizer]]] = {
    "adam": lambda p, c: optim.Adam(p, weight_decay=c.weight_decay, foreach=False),
    "adamw": lambda p, c: optim.AdamW(p, weight_decay=c.weight_decay, foreach=False),
    "sgd": lambda p, c: optim.SGD(
        p, momentum=c.momentum, weight_decay=c.weight_decay, foreach=False
    ),
    "rmsprop": lambda p, c: optim.RMSprop(
        p, momentum=c.momentum, weight_decay=c.weight_decay, foreach=False
    ),
}


@dataclass
class _Lane:
    config: TrainingConfig
    images: LaneData
    seeds: Tensor
    model: nn.Sequential
    average: nn.Sequential
    optimizer: optim.Optimizer
    n_steps: int = 0
    n_averaged: int = 0

    @property
    def scored_and_other(self) -> tuple[nn.Sequential, nn.Sequential]:
        both = (self.model, self.average)
        return both if self.config.weights == "last" else both[::-1]


class _GivenDropout(nn.Module):
    """Dropout with a mask that is set for every step."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.mask = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask / (1 - self.p) if self.training else x


@one_thread()
def train(config: TrainingConfig, data: TrainingData, *, seed: int, fold: int) -> TrainingResult:
    """Train a configuration; return the same result as the engine."""
    progress, seeds = Progress(config), seeds_of(seed)
    model = open_model(config, seeds)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = OPTIMIZERS[config.optimizer](learned, config)
    images = Images(data, EXACT).place(config, fold)
    lane = _Lane(config, images, seeds, model, copy.deepcopy(model), optimizer)
    scored, other = kept = lane.scored_and_other

    while not progress.is_stopped and progress.epoch < config.epochs:
        for group in optimizer.param_groups:
            group["lr"] = progress.rate
        loss, n_right, n = torch.stack(list(_train_steps(lane, progress.epoch))).sum(0).tolist()
        metrics = Epoch(
            learning_rate=progress.rate,
            train={"loss": loss / n, "accuracy": n_right / n},
            validation=_read(lane, scored)[0],
        )
        if note_epoch(progress, metrics) or not progress.kept_epoch:
            kept = copy.deepcopy((scored, other))
    scored, other = kept
    train = _read_losses(lane, scored, images.train)
    _, on_validation, on_test = _read(lane, scored)
    run = Run(
        epochs=tuple(progress.epochs),
        kept_epoch=progress.last_kept,
        train=metrics_of(train, images, images.fold.train),
        validation_probabilities=on_validation,
        test_probabilities=on_test,
        seconds=0.0,
        versions={},
        other=OtherWeights("average", *_read(lane, other)),
    )
    weights = {name: value.numpy() for name, value in scored.state_dict().items()}
    return TrainingResult(run, weights)


def _read(lane: _Lane, model: nn.Sequential) -> tuple[Metrics, tuple, tuple]:
    """Return metrics and predictions of a kept model on validation, and predictions on test."""
    images = lane.images
    validation = _read_losses(lane, model, images.validation)
    test = probabilities(lane.config, _read_logits(lane, model, images.test))
    on_validation = validation[1:].view(len(images.validation), *test.shape[1:])
    return (
        metrics_of(validation, images, images.fold.validation),
        tuple(on_validation.float().tolist()),
        tuple(test.float().tolist()),
    )


@torch.no_grad()
def _read_logits(lane: _Lane, model: nn.Sequential, positions: Tensor) -> Tensor:
    return model.eval()(_inputs(lane.images.pixels[positions], lane.config))


def _read_losses(lane: _Lane, model: nn.Sequential, positions: Tensor) -> Tensor:
    """Return the loss over some images, then their probabilities, one by one."""
    logits = _read_logits(lane, model, positions)
    loss = mean_loss(lane.config, logits, lane.images.labels[positions], lane.images.class_weights)
    return torch.cat([loss[None], probabilities(lane.config, logits).flatten()])


def open_model(config: TrainingConfig, seeds: Tensor) -> nn.Sequential:
    """Return the reports' network with the engine's first weights; idle biases stay zero."""
    model = plain_model(config).to(EXACT.dtype)
    for module in model:
        if isinstance(module, nn.BatchNorm1d):
            module.reset_parameters()
    linears = [module for module in model if isinstance(module, nn.Linear)]
    for layer, linear in enumerate(linears):
        is_idle = config.batch_norm and linear is not linears[-1]
        parts = (linear.weight,) if is_idle else (linear.weight, linear.bias)
        for kind, part in enumerate(parts):
            bound = 1 / math.sqrt(linear.in_features)
            fill_uniform(part.detach().view(1, -1), seeds, WEIGHTS, layer, kind, bound=bound)
        if is_idle:
            linear.bias.detach().zero_()
            linear.bias.requires_grad_(False)
    modules = (_GivenDropout(m.p) if isinstance(m, nn.Dropout) else m for m in model)
    return nn.Sequential(*modules)


def _train_steps(lane: _Lane, epoch: int) -> Iterable[Tensor]:
    """Train an epoch; yield loss, correct answers and images of each batch, summed, `(3,)`."""
    config, n = lane.config, len(lane.images.train)
    shuffled = lane.images.train[order(lane.seeds, n, ORDER, epoch)[0]]
    dropouts = [module for module in lane.model if isinstance(module, _GivenDropout)]
    masks = [
        keep_mask(lane.seeds, n * width, torch.tensor([m.p]), DROPOUT, epoch, layer).view(n, width)
        for layer, (width, m) in enumerate(zip(config.hidden, dropouts, strict=True))
    ]
    lane.model.train()
    for start in range(0, n, config.batch_size):
        batch = shuffled[start : start + config.batch_size]
        if len(batch) == 1:  # BatchNorm cannot train on it.
            continue
        for dropout, mask in zip(dropouts, masks, strict=True):
            dropout.mask = mask[start : start + config.batch_size]
        drawn = draw_changes(config, seeds=lane.seeds, epoch=epoch, positions=batch)
        pixels = augment(lane.images.pixels[batch], config, drawn)
        labels, logits = lane.images.labels[batch], lane.model(_inputs(pixels, config))
        loss = mean_loss(config, logits, labels, lane.images.class_weights)
        lane.optimizer.zero_grad()
        loss.backward()
        lane.optimizer.step()
        _average(lane, is_last=start + config.batch_size >= n - 1)
        p = probabilities(config, logits)
        n_right = ((p > 0.5 if p.dim() == 1 else p.argmax(1)) == labels).sum()
        yield torch.stack([loss.detach() * len(batch), n_right, torch.tensor(len(batch))])


@torch.no_grad()
def _average(lane: _Lane, *, is_last: bool) -> None:
    """Update the average: step t has the weight t^p - (t - 1)^p, constant between updates."""
    lane.n_steps += 1
    if lane.n_steps % AVERAGE_EVERY == 0 or is_last:
        old = lane.n_averaged**AVERAGE_POWER / lane.n_steps**AVERAGE_POWER
        values = lane.model.state_dict()
        for name, mean in lane.average.state_dict().items():
            if mean.is_floating_point():
                mean.copy_(old * mean + (1 - old) * values[name])
            else:
                mean.copy_(values[name])
        lane.n_averaged = lane.n_steps


def _inputs(pixels: Tensor, config: TrainingConfig) -> Tensor:
    values, scale = NORMALIZE[config.normalize](pixels)
    return values.to(EXACT.dtype) * scale
