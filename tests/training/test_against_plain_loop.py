"""The engine against the reports' own loop, written with nothing but torch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.engine import Weights
from hpo.training.model import (
    build_network,
    export_weights,
    plain_model,
    scale_pixels,
)
from hpo.training.randomness import DROPOUT, ORDER, keep_mask, order, seeds_of
from tests.training.conftest import Train, as_tensors

# What the fixture `train` uses.
SEED, FOLD = 3, 1


class GivenDropout(nn.Module):
    """Dropout with masks that are handed in, one per step."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.mask = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask / (1 - self.p)


def open_model(config: TrainingConfig) -> nn.Sequential:
    """Return the network with the engine's first weights, in float64."""
    model = plain_model(config)
    first = export_weights(build_network(config, seed=seeds_of(SEED)))
    model.load_state_dict(as_tensors(first))
    if config.batch_norm:
        for linear in [m for m in model if isinstance(m, nn.Linear)][:-1]:
            linear.bias.requires_grad_(False)
    modules = (GivenDropout(m.p) if isinstance(m, nn.Dropout) else m for m in model)
    return nn.Sequential(*modules).double()


def run_plain_loop(config: TrainingConfig, data: TrainingData) -> Weights:
    """Train with the engine's first weights, order and dropout, in float64 and by the book."""
    seeds, train = seeds_of(SEED), torch.from_numpy(data.fold(FOLD).train)
    model = open_model(config)
    dropouts = [m for m in model if isinstance(m, GivenDropout)]
    pixels = torch.from_numpy(data.pixels_at(config.image_size)).flatten(1)
    images = scale_pixels(pixels, config.normalize).double()
    labels = torch.from_numpy(data.labels).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=config.learning_rate, momentum=0.9)
    for epoch in range(config.epochs):
        shuffled = train[order(seeds, len(train), ORDER, epoch)[0]]
        masks = [
            keep_mask(seeds, len(train) * width, torch.tensor([m.p]), DROPOUT, epoch, layer)
            for layer, (width, m) in enumerate(zip(config.hidden, dropouts, strict=True))
        ]
        for i, batch in enumerate(shuffled.split(config.batch_size)):
            for dropout, mask in zip(dropouts, masks, strict=True):
                dropout.mask = mask.view(len(train), -1).split(config.batch_size)[i]
            logits = model(images[batch])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "fields",
    [{}, {"batch_norm": False}, {"normalize": "image"}, {"dropout": [0.0, 0.6]}],
    ids=["base", "no batch norm", "image", "dropout of one layer"],
)
def test_the_engine_trains_as_the_reports_own_loop(
    train: Train, data: TrainingData, fields: dict[str, Any]
) -> None:
    base = TrainingConfig(
        image_size=16, hidden=(12, 8), dropout=0.3, batch_size=32, epochs=2, optimizer="sgd"
    )
    config = base.replace(learning_rate=0.01, **fields)
    found, expected = train(config).weights, run_plain_loop(config, data)
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        np.testing.assert_allclose(weight, expected[name], rtol=1e-3, atol=1e-4, err_msg=name)
