"""One training of a stack between its epochs: opening, evaluation, export of weights."""

import copy
import math
import time
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.data.dataset import Indices
from hpo.training import custom
from hpo.training.alignment import TEMPLATE
from hpo.training.device import EVALUATION_PIXELS, Device
from hpo.training.engine import (
    Epoch,
    ImageProbabilities,
    Metrics,
    OtherWeights,
    Probabilities,
    Run,
    TrainingResult,
    mean_metrics,
)
from hpo.training.images import LaneData
from hpo.training.layers import Parameters, Rows, Scratch, evaluate, layout_of
from hpo.training.losses import mean_loss, probabilities
from hpo.training.machine import versions
from hpo.training.model import NORMALIZE, Values
from hpo.training.optimizers import open_moments
from hpo.training.progress import STRESS_EVERY, Lane, Progress, measure
from hpo.training.randomness import WEIGHTS, fill_uniform, seeds_of

AnyLane: TypeAlias = Lane[Any]
_Read: TypeAlias = Parameters | nn.Module
"""The weights to evaluate: of the built-in network, or a custom network."""


def open_lane(
    config: TrainingConfig, data: LaneData, *, seed: int, device: Device, scratch: Scratch
) -> AnyLane:
    """Return a training before its first epoch.

    Raises:
        TrainingError: a custom model cannot be created, or returns no logits.
    """
    seeds = seeds_of(seed, device=device.torch)
    weights: _Read
    if config.model:
        weights = custom.open_network(config, data.source.code, seed=seed, device=device)
        learned = custom.learned_by(weights)
    else:
        weights = _first_parameters(config, seeds, device.dtype)
        learned = [weights.first, weights.row[0]]
    return AnyLane(
        device=device,
        scratch=scratch,
        data=data,
        seeds=seeds,
        weights=weights,
        # An estimator has no weights to average.
        average=weights if isinstance(weights, custom.Fitted) else copy.deepcopy(weights),
        moments=open_moments(config, learned),
        progress=Progress(config),
    )


def _first_parameters(config: TrainingConfig, seeds: Tensor, dtype: torch.dtype) -> Parameters:
    """Draw weights and biases like nn.Linear, within one over the root of its inputs."""
    layout = layout_of(config)
    first = torch.empty(config.hidden[0], config.image_size**2, dtype=dtype, device=seeds.device)
    row = first.new_zeros(layout.size)
    bound = 1 / math.sqrt(first.shape[1])
    fill_uniform(first.view(1, -1), seeds, WEIGHTS, 0, 0, bound=bound)
    for index, layer in enumerate((*layout.hidden, layout.output)):
        if layer.weight:
            bound = 1 / math.sqrt(layer.weight.shape[1])
        for kind, slot in enumerate((layer.weight, None if layer.gain else layer.bias)):
            if slot:
                values = row.new_empty(slot.shape)
                fill_uniform(values.view(1, -1), seeds, WEIGHTS, index, kind, bound=bound)
                slot.used(row).copy_(values)
        if layer.gain:
            layer.gain.used(row).fill_(1)
    statistics = first.new_zeros(1, 2, layout.n_units)
    statistics[:, 1] = 1
    return Parameters(first, row[None], statistics)


def gather(lane: AnyLane, positions: Tensor) -> Tensor:
    """Return the pixels of some images, uint8 `(positions, height * width)`, in scratch."""
    pixels = lane.data.pixels
    out = lane.scratch.take("pixels", (len(positions), pixels.shape[1]), pixels.dtype)
    return torch.index_select(pixels, 0, positions, out=out)


def load_values(lane: AnyLane, pixels: Tensor, name: str, dtype: torch.dtype) -> Values:
    """Return pixels as integers of a type, in scratch of this name, and their scale."""
    values, scale = NORMALIZE[lane.config.normalize](pixels)
    return lane.scratch.take(name, tuple(values.shape), dtype).copy_(values), scale


@torch.no_grad()
def read_logits(lane: AnyLane, read: _Read, positions: Tensor) -> Tensor:
    """Return the logits `(positions, outputs)` of images in evaluation mode, with these weights.

    The precision is that of the weights, not that of training, so that exported weights give the
    same results elsewhere.
    """
    if isinstance(read, nn.Module):
        return custom.read_logits(lane, read, positions)
    layout, no_gradients = layout_of(lane.config), read.row[:, :0]
    rows = Rows(layout, lane.config.activation, read.row, no_gradients, read.statistics)
    pieces = []
    # The size of the pieces depends only on the image size, so rounding does not vary.
    for some in torch.split(positions, max(1, EVALUATION_PIXELS // lane.data.pixels.shape[1])):
        values, scale = load_values(lane, gather(lane, some), "read", read.first.dtype)
        product = F.linear(values, read.first) * scale
        n_filling = layout.hidden[0].bias.filled[0] - product.shape[1]
        pieces.append(evaluate(rows, F.pad(product, (0, n_filling))[None])[0])
    return torch.cat(pieces)


def read_losses(lane: AnyLane, read: _Read, positions: Tensor) -> Tensor:
    """Return the loss over some images of the pool, then their probabilities, one by one.

    The loss is the same function as in training, label smoothing included.
    """
    logits = read_logits(lane, read, positions)
    loss = mean_loss(lane.config, logits, lane.data.labels[positions], lane.data.class_weights)
    return torch.cat([loss[None], probabilities(lane.config, logits).flatten()])


def measure_epoch(lane: AnyLane, trained: Tensor) -> Epoch:
    """Return the metrics of the epoch that was just trained and is not recorded yet.

    `trained` `(3,)` holds sums over its images: loss, correct answers, images.
    """
    progress, data, epoch = lane.progress, lane.data, lane.progress.epoch + 1
    scored, _ = lane.scored_and_other
    validation = read_losses(lane, scored, data.validation)
    if epoch % STRESS_EVERY == 0:
        _note_stress(lane, scored, epoch)
    is_stressed = progress.stress and progress.stress_epoch == epoch
    # The only read from the device in an epoch: all measurements in one copy.
    readings = torch.cat([trained, validation.to(trained.dtype)]).cpu()
    loss, n_right, n_trained = readings[:3].tolist()
    return Epoch(
        learning_rate=progress.rate,
        train={"loss": loss / n_trained, "accuracy": n_right / n_trained},
        validation=metrics_of(readings[3:], data, data.fold.validation),
        stress=mean_metrics(progress.stress.values()) if is_stressed else {},
    )


def read_result(lane: AnyLane) -> TrainingResult:
    """Return the result of a training, with its kept weights."""
    start, data, progress = time.perf_counter(), lane.data, lane.progress
    (scored, other), images = lane.kept or lane.scored_and_other, data.fold.validation
    patients = data.source.patients
    _note_stress(lane, scored, progress.last_kept)
    train = read_losses(lane, scored, data.train)
    _, on_validation, on_test = _read_kept(lane, scored)
    state = _state_of(lane, scored).items()
    weights = {name: value.detach().to("cpu", copy=True).numpy() for name, value in state}
    if data.template is not None:  # Later images are aligned to it.
        weights[TEMPLATE] = data.template.copy()
    of_other = OtherWeights(
        "last" if lane.config.weights == "average" else "average", *_read_kept(lane, other)
    )
    run = Run(
        epochs=tuple(progress.epochs),
        kept_epoch=progress.last_kept,
        train=metrics_of(train, data, data.fold.train),
        validation_probabilities=on_validation,
        test_probabilities=on_test,
        seconds=progress.seconds + time.perf_counter() - start,
        versions=versions(),
        stress=progress.stress,
        validation_images=tuple(images.tolist()),
        validation_labels=tuple(data.source.labels[images].tolist()),
        validation_patients=tuple((images if patients is None else patients[images]).tolist()),
        other=of_other,
    )
    return TrainingResult(run, weights)


def _read_kept(
    lane: AnyLane, read: _Read
) -> tuple[Metrics, ImageProbabilities, ImageProbabilities]:
    """Return validation metrics, validation and test probabilities of these weights."""
    data = lane.data
    validation = read_losses(lane, read, data.validation)
    test = probabilities(lane.config, read_logits(lane, read, data.test))
    return (
        metrics_of(validation, data, data.fold.validation),
        _plain(_array(validation[1:], len(data.validation))),
        _plain(_array(test, len(data.test))),
    )


def _plain(probabilities: Probabilities) -> ImageProbabilities:
    of_two = probabilities.ndim == 1
    return tuple(probabilities.tolist() if of_two else map(tuple, probabilities.tolist()))


def _note_stress(lane: AnyLane, read: _Read, epoch: int) -> None:
    """Evaluate the validation images under every change, with the weights of this epoch."""
    progress, data = lane.progress, lane.data
    if progress.stress_epoch != epoch:
        progress.stress_epoch = epoch
        readings = {
            name: read_losses(replace(lane, data=changed), read, changed.validation)
            for name, changed in data.under_changes().items()
        }
        images = data.fold.validation
        progress.stress = {n: metrics_of(reading, data, images) for n, reading in readings.items()}


def metrics_of(readings: Tensor, data: LaneData, images: Indices) -> Metrics:
    """Return the metrics of some images; `readings` are as returned by `read_losses`."""
    labels = data.source.labels[images]
    return measure(_array(readings[1:], len(images)), labels, loss=float(readings[0]))


def _array(values: Tensor, n_images: int) -> Probabilities:
    """Return probabilities `(n_images,)`, or `(n_images, classes)` if there are more."""
    array = values.to("cpu", torch.float32).numpy()
    return array if array.size == n_images else array.reshape(n_images, -1)


def _state_of(lane: AnyLane, parameters: _Read) -> dict[str, Tensor]:
    """Return the weights by name, in the layout of `model.plain_model` or a custom network."""
    if isinstance(parameters, nn.Module):
        return parameters.state_dict()
    layout = layout_of(lane.config)
    row, state = parameters.row[0], {"1.weight": parameters.first}
    state |= {slot.name: slot.used(row) for slot in layout.slots()}
    # Entries of nn.Sequential that training does not use: idle biases, batch counts.
    n_steps = lane.n_steps // lane.progress.epoch * lane.progress.last_kept
    for layer in layout.hidden:
        if layer.gain:
            norm = int(layer.gain.name.removesuffix(".weight"))
            used = parameters.statistics[0, :, layer.units][:, : layer.gain.shape[0]]
            state |= {f"{norm}.running_mean": used[0], f"{norm}.running_var": used[1]}
            state[f"{norm}.num_batches_tracked"] = torch.tensor(n_steps)
            state[f"{norm - 1}.bias"] = torch.zeros_like(used[0])
    return state
