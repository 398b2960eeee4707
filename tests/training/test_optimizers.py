from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, optim

from hpo.config import TrainingConfig
from hpo.training.optimizers import OPTIMIZERS, build_optimizer, set_learning_rate

Make = Callable[[Iterable[Tensor], float], optim.Optimizer]

# torch's own, one parameter at a time, with every default that a configuration does not set.
TORCH: dict[str, Make] = {
    "adam": lambda p, wd: optim.Adam(p, lr=0.01, weight_decay=wd, foreach=False),
    "adamw": lambda p, wd: optim.AdamW(p, lr=0.01, weight_decay=wd, foreach=False),
    "sgd": lambda p, wd: optim.SGD(p, lr=0.01, momentum=0.7, weight_decay=wd, foreach=False),
    "rmsprop": lambda p, wd: optim.RMSprop(
        p, lr=0.01, momentum=0.7, weight_decay=wd, foreach=False
    ),
}


def take_steps(
    build: Callable[[list[Tensor]], optim.Optimizer], rates: list[float]
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.randn(5, 7, generator=generator).requires_grad_(),
        torch.randn(7, generator=generator).requires_grad_(),
    ]
    optimizer = build(weights)
    for rate in rates:
        set_learning_rate(optimizer, rate)
        for weight in weights:
            weight.grad = weight.detach() * torch.randn(weight.shape, generator=generator)
        optimizer.step()
    return [weight.detach() for weight in weights]


def test_the_table_is_tested_whole() -> None:
    assert TORCH.keys() == OPTIMIZERS.keys()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", TORCH)
def test_steps_are_those_of_torch(name: str, weight_decay: float) -> None:
    fields = {"optimizer": name, "learning_rate": 0.01, "momentum": 0.7}
    config = TrainingConfig.from_mapping(fields | {"weight_decay": weight_decay})
    rates = [0.01] * 5 + [0.002] * 5
    ours = take_steps(lambda weights: build_optimizer(config, weights), rates)
    theirs = take_steps(lambda weights: TORCH[name](weights, weight_decay), rates)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_what_torch_has_fused_is_fused(name: str) -> None:
    config = TrainingConfig.from_mapping({"optimizer": name})
    optimizer = build_optimizer(config, [torch.zeros(1, requires_grad=True)])
    assert optimizer.param_groups[0]["fused"]
