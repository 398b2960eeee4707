"""Competent torch code: baselines for the benchmark of the stack.

Two ways to train the reports' network on images that stay on the device, in bf16, with a fused
optimizer and one read from the device per epoch: a loop over one training, and an ensemble of
trainings by `torch.func.vmap`. An epoch is all training steps and one pass over the validation
images, whose accuracy is returned.

Under vmap, BatchNorm does not accept the mixture of bf16 and float32 that autocast creates. So
only the first layer of the ensemble, nearly all of the work, is in bf16.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device
from hpo.training.model import plain_model

_Named: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Images:
    """All images on the device, bf16 within 0 to 1 or uint8 `(images, pixels)`, and their labels.

    `train` and `validation` are the positions of each training's fold `(trainings, n)`.
    """

    pixels: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor

    def take(self, positions: Tensor) -> Tensor:
        """Return images as inputs of the network `(*positions, pixels)`."""
        some = self.pixels[positions]
        return some if some.is_floating_point() else some.to(torch.bfloat16).mul_(1 / 255)


@dataclass(frozen=True)
class CompetentLoop:
    """One training."""

    model: nn.Sequential
    optimizer: torch.optim.Optimizer
    images: Images
    batch_size: int
    autocast: AbstractContextManager[object]


@dataclass(frozen=True)
class Ensemble:
    """Trainings with the same optimizer, learning rate and dropout.

    `parameters` and `buffers` are stacked along their first dimension; `base` has none.
    """

    base: nn.Sequential
    parameters: _Named
    buffers: _Named
    optimizer: torch.optim.Optimizer
    images: Images
    batch_size: int


class HalfLinear(nn.Linear):
    """A layer that multiplies in the precision of its input and returns float32."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype)).float()


def place_images(
    data: TrainingData,
    image_size: int,
    *,
    device: Device,
    dtype: torch.dtype,
    n_trainings: int = 1,
) -> Images:
    """Return images of a type for this many trainings, each on its own fold."""
    place = device.torch
    pixels = torch.tensor(data.pixels_at(image_size)[: data.n_pool], device=place).flatten(1)
    folds = [data.fold(index) for index in range(n_trainings)]
    return Images(
        pixels=pixels if dtype == torch.uint8 else (pixels / 255).to(dtype),
        labels=torch.from_numpy(data.labels).float().to(place),
        train=torch.stack([torch.from_numpy(fold.train) for fold in folds]).to(place),
        validation=torch.stack([torch.from_numpy(fold.validation) for fold in folds]).to(place),
    )


def open_competent_loop(
    images: Images, config: TrainingConfig, *, device: Device
) -> CompetentLoop:
    """Return a training before its first epoch, on the first of the folds."""
    model = _new_model(config, seed=0).to(device.torch)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    return CompetentLoop(model, optimizer, images, config.batch_size, _autocast(device))


def run_competent_epoch(loop: CompetentLoop) -> float:
    """Train one epoch and evaluate the validation images; return the validation accuracy."""
    train = loop.images.train[0]
    total_loss = torch.zeros((), device=train.device)
    loop.model.train()
    for batch in train[torch.randperm(len(train), device=train.device)].split(loop.batch_size):
        _competent_step(loop, batch, total_loss)
    return _validate(loop, total_loss)


def _competent_step(loop: CompetentLoop, batch: Tensor, total_loss: Tensor) -> None:
    loop.optimizer.zero_grad(set_to_none=True)
    with loop.autocast:
        logits = loop.model(loop.images.take(batch))[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits.float(), loop.images.labels[batch])
    loss.backward()
    loop.optimizer.step()
    total_loss += loss.detach()


def _validate(loop: CompetentLoop, total_loss: Tensor) -> float:
    images, validation = loop.images, loop.images.validation[0]
    loop.model.eval()
    with torch.no_grad(), loop.autocast:
        logits = loop.model(images.take(validation))[:, 0].float()
        total_loss += F.binary_cross_entropy_with_logits(logits, images.labels[validation])
        accuracy = ((logits > 0) == images.labels[validation].bool()).float().mean()
    return float(torch.stack([accuracy, total_loss])[0])


@dataclass(frozen=True)
class CapturedLoop:
    """One training whose step is a CUDA graph: it reads `batch`, and adds to `loss`."""

    loop: CompetentLoop
    graph: torch.cuda.CUDAGraph
    batch: Tensor
    loss: Tensor


def open_captured_loop(images: Images, config: TrainingConfig, *, device: Device) -> CapturedLoop:
    """Return the competent loop with its step captured, as in torch's documentation."""
    loop = open_competent_loop(images, config, device=device)
    adam = torch.optim.Adam(
        loop.model.parameters(), lr=config.learning_rate, fused=True, capturable=True
    )
    loop = replace(loop, optimizer=adam)
    batch = images.train[0][: config.batch_size].clone()
    loss = torch.zeros((), device=batch.device)
    beside = torch.cuda.Stream(device.torch)  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream(device.torch))
    with torch.cuda.stream(beside):
        for _ in range(3):
            _competent_step(loop, batch, loss)
    torch.cuda.current_stream(device.torch).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        _competent_step(loop, batch, loss)
    return CapturedLoop(loop, graph, batch, loss)


def run_captured_epoch(captured: CapturedLoop) -> float:
    """Train one epoch and evaluate the validation images; return the validation accuracy."""
    loop, size = captured.loop, captured.loop.batch_size
    train = loop.images.train[0]
    loop.model.train()
    order = train[torch.randperm(len(train), device=train.device)]
    # The last batch may have another size, for which there is no graph.
    for batch in order[: len(order) // size * size].split(size):
        captured.batch.copy_(batch)
        captured.graph.replay()
    return _validate(loop, captured.loss)


def open_ensemble(images: Images, config: TrainingConfig, *, device: Device) -> Ensemble:
    """Return trainings before their first epoch, one on each of the folds."""
    models = [_new_model(config, seed=seed) for seed in range(len(images.train))]
    for model in models:
        model[1] = _halved(model[1])
    parameters, buffers = (
        {name: stacked.to(device.torch).detach() for name, stacked in state.items()}
        for state in stack_module_state(models)  # type: ignore[arg-type]
    )
    optimizer = torch.optim.Adam(parameters.values(), lr=config.learning_rate, fused=True)
    return Ensemble(
        base=models[0].to("meta"),
        parameters=parameters,
        buffers=buffers,
        optimizer=optimizer,
        images=images,
        batch_size=config.batch_size,
    )


def run_ensemble_epoch(ensemble: Ensemble) -> float:
    """Train one epoch of all and evaluate their validation images; return the mean accuracy."""
    images, parameters = ensemble.images, ensemble.parameters
    orders = torch.rand(images.train.shape, device=images.train.device).argsort(1)
    total_loss = torch.zeros(len(orders), device=orders.device)
    step = vmap(grad_and_value(_loss_of(ensemble.base)), randomness="different")
    ensemble.base.train()
    for batch in images.train.gather(1, orders).split(ensemble.batch_size, dim=1):
        pixels, labels = images.take(batch), images.labels[batch]
        gradients, losses = step(parameters, ensemble.buffers, pixels, labels)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        ensemble.optimizer.step()
        total_loss += losses
    ensemble.base.eval()
    validation = images.labels[images.validation]
    with torch.no_grad():
        logits = _logits(ensemble)
        total_loss += F.binary_cross_entropy_with_logits(logits, validation)
        accuracy = ((logits > 0) == validation.bool()).float().mean()
    return float(torch.cat([accuracy[None], total_loss])[0])


def _loss_of(base: nn.Sequential) -> Callable[..., Tensor]:
    def loss(parameters: _Named, buffers: _Named, pixels: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(base, (parameters, buffers), (pixels,))[:, 0]
        return F.binary_cross_entropy_with_logits(logits, labels)

    return loss


def _logits(ensemble: Ensemble) -> Tensor:
    """Return the logits of each training's validation images `(trainings, n)`."""

    def one(parameters: _Named, buffers: _Named, pixels: Tensor) -> Any:
        return functional_call(ensemble.base, (parameters, buffers), (pixels,))[:, 0]

    pixels = ensemble.images.take(ensemble.images.validation)
    return vmap(one)(ensemble.parameters, ensemble.buffers, pixels)


def _new_model(config: TrainingConfig, *, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    model = plain_model(config)
    for module in model:
        if isinstance(module, nn.Linear | nn.BatchNorm1d):
            module.reset_parameters()
    return model


def _halved(linear: nn.Module) -> HalfLinear:
    assert isinstance(linear, nn.Linear)
    half = HalfLinear(linear.in_features, linear.out_features)
    half.load_state_dict(linear.state_dict())
    return half


def _autocast(device: Device) -> AbstractContextManager[object]:
    is_bf16 = device.precision == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bf16)
