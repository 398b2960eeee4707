"""A check that the engine on a device agrees with plain torch on the CPU."""

import math
from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import DeviceError
from hpo.training.device import Device, choose, one_thread
from hpo.training.engine import Weights
from hpo.training.model import plain_model, scale_pixels
from hpo.training.stack import StackedStack

_N: Final = 64
# One step over all images, so their order does not matter.
_CONFIG: Final = TrainingConfig(
    image_size=32,
    hidden=(24, 16),
    dropout=0.0,
    optimizer="sgd",
    momentum=0.0,
    learning_rate=0.1,
    batch_size=_N,
    epochs=1,
)
# Shares of a weight's step. On a CPU rounding gives 5e-8, 5e-5 and 0.09; errors give 1.
_TOLERANCES: Final = {"fp64": 1e-6, "fp32": 1e-2, "bf16": 0.3}


def choose_checked(name: str, precision: str) -> Device:
    """Resolve names like `hpo.training.device.choose`, and check a GPU once per process.

    Raises:
        DeviceError: it is not available, or its results differ from a CPU's.
    """
    device = choose(name, precision)
    if device.type != "cpu":
        check_device(device)
    return device


@cache
def check_device(device: Device) -> None:
    """Take one step of the engine and one of plain torch in float64, and compare all weights.

    Raises:
        DeviceError: they differ by more than rounding.
    """
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (_N + 2, _CONFIG.image_size, _CONFIG.image_size), np.uint8)
    labels, images = (np.arange(_N) % 3 == 0).astype(np.uint8), np.arange(_N)
    data = TrainingData(
        fingerprint="",
        labels=labels,
        n_test=2,
        pixels_at=lambda _: pixels,
        fold=lambda _: Fold(train=images, validation=images),
    )
    stack = StackedStack(data, device)
    # The first lane does not change, so it provides the initial weights.
    frozen = _CONFIG.replace(learning_rate=1e-30)
    lanes = [stack.add(config, seed=0, fold=0) for config in (frozen, _CONFIG)]
    stack.step()
    first, trained = (stack.result(lane) for lane in lanes)
    before, after, answers = _step(first.weights, pixels[:_N], labels)
    errors = {
        name: float((torch.from_numpy(trained.weights[name]) - after[name]).norm())
        / max(1e-6, float((after[name] - before[name]).norm()))
        for name in before
    }
    probabilities = np.array(trained.run.validation_probabilities)
    errors["probabilities"] = float(np.abs(probabilities - answers.numpy()).max())
    worst = max(errors, key=lambda name: math.inf if math.isnan(errors[name]) else errors[name])
    if not errors[worst] <= _TOLERANCES[device.precision]:
        raise DeviceError(
            f"{device.name} does not agree with plain torch on the CPU: in one step "
            f"({device.precision}) {worst} differs by {100 * errors[worst]:.3g} %. Nothing was "
            "trained on it. Use --device cpu, or another build of torch or of the driver."
        )


@one_thread()
def _step(
    first: Weights, pixels: Pixels, labels: NDArray[np.uint8]
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Return weights before and after a step by autograd and torch.optim, and their outputs."""
    model = plain_model(_CONFIG).double()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in first.items()})
    for module in model:
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
    before = _floats(model)
    inputs = scale_pixels(torch.from_numpy(pixels).flatten(1), _CONFIG.normalize).double()
    targets = torch.from_numpy(labels)[:, None].double()
    loss = nn.functional.binary_cross_entropy_with_logits(model.train()(inputs), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(model.parameters(), lr=_CONFIG.learning_rate).step()
    with torch.no_grad():
        return before, _floats(model), model.eval()(inputs)[:, 0].sigmoid()


def _floats(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict().items()
    return {name: value.clone() for name, value in state if value.is_floating_point()}
