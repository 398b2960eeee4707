"""Training of custom models: plain torch and autograd, one lane after another.

Losses, optimizers, schedules and averaged weights are the engine's. The model's own random numbers
(first weights, dropout) come from generators that are seeded for each lane and epoch and restored
afterwards: a lane computes the same as alone.
"""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hpo import models
from hpo.config import TrainingConfig
from hpo.errors import ModelError, TrainingError, lacks_memory
from hpo.training.augmentation import augment, draw_changes
from hpo.training.device import Device
from hpo.training.losses import answers, mean_loss
from hpo.training.model import scale_pixels
from hpo.training.optimizers import average_share, update
from hpo.training.progress import Lane
from hpo.training.randomness import DROPOUT, ORDER, WEIGHTS, bits, order, seeds_of

_CPU: Final = Device("cpu", "fp32")
# Pixels that are evaluated at once, as layers hold many numbers for each.
_PIECE: Final = 1 << 19
# Sums in another order round differently.
_APART: Final = 1e-2


class Fitted(nn.Module):
    """An estimator of scikit-learn as a network: its logits are those of its probabilities."""

    def __init__(self, estimator: Any, config: TrainingConfig) -> None:
        super().__init__()
        if not hasattr(estimator, "predict_proba"):
            raise TrainingError(
                f"{type(estimator).__name__} has no predict_proba, but hpo scores probabilities. "
                "Use another estimator, or wrap it in CalibratedClassifierCV."
            )
        self.estimator, self.config = estimator, config

    def fit(self, images: Tensor, labels: Tensor) -> None:
        """Fit it to images `(n, 1, side, side)`: once, or with one more batch."""
        rows, targets = images.flatten(1).cpu().numpy(), labels.cpu().numpy()
        if self.config.model and self.config.model.kind == "incremental":
            classes = np.arange(max(2, self.config.n_outputs))
            self.estimator.partial_fit(rows, targets, classes=classes)
        else:
            self.estimator.fit(rows, targets)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(n, outputs)`."""
        p = self.estimator.predict_proba(images.flatten(1).cpu().numpy())
        log_p = torch.tensor(p, dtype=torch.float64).clamp(min=1e-7).log()
        z = log_p[:, 1:] - log_p[:, :1] if self.config.n_outputs == 1 else log_p
        return z.to(images.device, images.dtype)


def open_network(
    config: TrainingConfig, code: str | None, *, seed: int = 0, device: Device = _CPU
) -> nn.Module:
    """Return the network of a configuration with its first weights, tested on two images.

    Raises:
        TrainingError: it cannot be created, or does not return logits.
    """
    assert config.model
    is_network = config.model.kind == "network"
    with _seeded(seeds_of(seed), WEIGHTS, device=device):
        model = _run(config, code, models.build, config, code, seed=seed)
        if is_network and not isinstance(model, nn.Module):
            raise _misfit(config, f"returns {type(model).__name__}, not an nn.Module")
        network = model.to(device.torch) if is_network else Fitted(model, config)
        if is_network and not learned_by(network):
            raise _misfit(config, "has no trainable parameters")
        n = 2 if is_network else 16 * max(2, config.n_outputs)
        pixels = torch.randint(256, (n, config.image_size**2), dtype=torch.uint8).to(device.torch)
        if any(map(is_lazy, [*network.parameters(), *network.buffers()])):
            with torch.no_grad():  # The first images determine the shapes of nn.LazyLinear.
                _run(config, code, network.eval(), _images(pixels, config))
        trial = _run(config, code, copy.deepcopy, network)  # BatchNorm changes with its input.
        if not is_network:
            labels = torch.arange(n) % max(2, config.n_outputs)
            _run(config, code, trial.fit, _images(pixels, config), labels)
        with torch.no_grad():
            read(trial.train(), pixels, config, code)
            if is_network:
                _check_alone(trial.eval(), pixels, config, code)
    return network


def _check_alone(
    network: nn.Module, pixels: Tensor, config: TrainingConfig, code: str | None
) -> None:
    """Check that the answer to an image does not depend on the batch; random ones are allowed."""
    inputs = (pixels, pixels, pixels[:1])
    paired, again, alone = (read(network, some, config, code)[:1] for some in inputs)
    is_same = torch.allclose(paired, alone, rtol=_APART, atol=_APART, equal_nan=True)
    if torch.equal(paired, again) and not is_same:  # Noise may be close by chance, but not equal.
        raise _misfit(
            config,
            "answers differently for an image alone and in a batch in evaluation mode, "
            "perhaps by batch statistics that ignore eval()",
        )


def read(
    network: nn.Module, pixels: Tensor, config: TrainingConfig, code: str | None = None
) -> Tensor:
    """Return the logits `(batch, outputs)` of uint8 pixels `(batch, height * width)`."""
    images = _images(pixels, config)
    logits, expected = _run(config, code, network, images), (len(images), config.n_outputs)
    if not isinstance(logits, Tensor) or logits.shape != expected:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise _misfit(
            config, f"returns {shape} for {len(images)} images, not logits of shape {expected}"
        )
    return logits


def _images(pixels: Tensor, config: TrainingConfig) -> Tensor:
    """Return uint8 pixels as inputs of a network: scaled, `(batch, 1, side, side)`."""
    side = config.image_size
    return scale_pixels(pixels, config.normalize).view(-1, 1, side, side)


def train_steps(lane: Lane[nn.Module]) -> Iterator[Tensor]:
    """Train batch by batch; yield loss, correct answers and images of each, summed, `(3,)`.

    As in the engine, a last batch of one image is skipped: BatchNorm cannot train on it.
    """
    config, data, epoch, code = lane.config, lane.data, lane.progress.epoch, lane.data.source.code
    shuffled = data.train[order(lane.seeds, len(data.train), ORDER, epoch)[0]]
    is_one_fit = config.model is not None and config.model.kind == "estimator"
    size = len(shuffled) if is_one_fit else config.batch_size
    batches = [batch for batch in torch.split(shuffled, size) if len(batch) > 1]
    learned = learned_by(lane.weights)
    with _seeded(lane.seeds, DROPOUT, epoch, device=lane.device):
        lane.weights.train()
        for number, batch in enumerate(batches, start=1):
            drawn = draw_changes(config, seeds=lane.seeds, epoch=epoch, positions=batch)
            pixels = augment(data.pixels[batch], config, drawn)
            labels = data.labels[batch]
            if isinstance(lane.weights, Fitted):
                _run(config, code, lane.weights.fit, _images(pixels, config), labels)
            with torch.set_grad_enabled(bool(learned)):
                logits = read(lane.weights, pixels, config, code)
                loss = mean_loss(config, logits, labels, data.class_weights)
            with torch.no_grad():
                if learned:
                    options = {"allow_unused": True, "materialize_grads": True}
                    gradients = _run(config, code, torch.autograd.grad, loss, learned, **options)
                    rate, scratch = lane.progress.rate, lane.scratch
                    update(config, lane.moments, learned, [*gradients], rate, scratch)
                    _average(lane, is_last=number == len(batches))
                n_right = (answers(logits) == labels).sum()
                sums = loss * len(batch), n_right, torch.tensor(len(batch))
                yield torch.stack([value.to(lane.device.torch, torch.float64) for value in sums])


@torch.no_grad()
def read_logits(lane: Lane[nn.Module], network: nn.Module, positions: Tensor) -> Tensor:
    """Return the logits `(positions, outputs)` of images in evaluation mode."""
    with _seeded(lane.seeds, DROPOUT, device=lane.device):
        network.eval()
        data, pieces = lane.data, torch.split(positions, piece_of(lane.config))
        return torch.cat(
            [read(network, data.pixels[p], lane.config, data.source.code) for p in pieces]
        )


def piece_of(config: TrainingConfig) -> int:
    """Return the number of images per evaluation, only by size, so that rounding does not vary."""
    return max(1, _PIECE // config.image_size**2)


def learned_by(network: nn.Module) -> list[Tensor]:
    """Return the trainable parameters."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _average(lane: Lane[nn.Module], *, is_last: bool) -> None:
    """Move the average towards the weights if it is due; integers are copied."""
    lane.n_steps += 1
    share = average_share(lane.n_steps, lane.n_averaged, is_last=is_last)
    if share is None:
        return
    values = lane.weights.state_dict()
    # Layers may share a tensor, which then has several names.
    means = {mean.data_ptr(): (name, mean) for name, mean in lane.average.state_dict().items()}
    for name, mean in means.values():
        if mean.is_floating_point():
            mean.lerp_(values[name], share)
        else:
            mean.copy_(values[name])
    lane.n_averaged = lane.n_steps


def _run(
    config: TrainingConfig,
    code: str | None,
    function: Callable[..., Any],
    *arguments: Any,
    **keywords: Any,
) -> Any:
    """Run user code; `computing` handles device errors, all others are the user's."""
    assert config.model
    try:
        with models.user_code(f"{config.model.entry} failed:", code or ""):
            return function(*arguments, **keywords)
    except ModelError as error:
        cause = error.__cause__
        is_of_device = isinstance(cause, torch.OutOfMemoryError) or "CUDA error" in str(cause)
        if cause and (is_of_device or lacks_memory(cause)):
            raise cause from None
        raise TrainingError(str(error)) from error


def _misfit(config: TrainingConfig, fault: str) -> TrainingError:
    assert config.model
    return TrainingError(
        f"{config.model.entry} {fault}. It must return an nn.Module that takes images (batch, 1, "
        f"{config.image_size}, {config.image_size}) to logits (batch, {config.n_outputs})."
    )


@contextmanager
def _seeded(seeds: Tensor, *tags: int, device: Device) -> Iterator[None]:
    """Seed every generator that a model may use; restore them afterwards."""
    seed = int(bits(seeds.cpu(), torch.zeros(1, dtype=torch.int64), *tags)[0, 0]) & (2**63 - 1)
    states = random.getstate(), np.random.get_state()
    is_gpu = device.type == "cuda"
    exact = torch.backends.cudnn.flags(benchmark=False, deterministic=True)
    with (
        torch.random.fork_rng([device.torch] if is_gpu else []),
        exact if is_gpu else nullcontext(),
    ):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
