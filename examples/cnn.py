"""A small convolutional network: `hpo grid --model examples/cnn.py:cnn --param channels`."""

from typing import Annotated, Literal

from torch import nn

from hpo.models import Range


def cnn(
    *,
    n_outputs: int,
    channels: Literal[16, 32, 64] = 32,
    depth: Annotated[int, Range(1, 4)] = 3,
    dropout: Annotated[float, Range(0.0, 0.7)] = 0.2,
) -> nn.Module:
    """Return a network from images (batch, 1, side, side) to logits (batch, n_outputs).

    Each block halves the side of the images, and from the second on doubles the channels.
    """
    layers: list[nn.Module] = []
    n_inputs = 1
    for block in range(depth):
        n = channels * 2**block
        layers += [
            nn.Conv2d(n_inputs, n, 3, padding=1, bias=False),
            nn.BatchNorm2d(n),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        n_inputs = n
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, *head, nn.Linear(n_inputs, n_outputs))
