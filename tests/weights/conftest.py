"""Networks like those of the course reports, and their files."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from torch import nn

SIDE = 8

Save: TypeAlias = Callable[..., Path]


def sequential(*modules: nn.Module, seed: int = 0) -> nn.Sequential:
    """Return a network with random weights and random statistics, in evaluation mode."""
    network = nn.Sequential(*modules)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2, generator=random)
            elif value.is_floating_point():
                value.normal_(0, 0.5, generator=random)
    return network.eval()


def reports_network(
    n_outputs: int = 1, *, side: int = SIDE, hidden: tuple[int, int] = (6, 5)
) -> nn.Sequential:
    """Flatten -> [Linear -> BatchNorm -> ReLU -> Dropout] x 2 -> Linear."""
    first, second = hidden
    return sequential(
        nn.Flatten(),
        nn.Linear(side**2, first),
        nn.BatchNorm1d(first),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(first, second),
        nn.BatchNorm1d(second),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(second, n_outputs),
    )


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save an object with torch.save and return the file."""

    def save(content: object, name: str = "weights.pt", *, is_zip: bool = True) -> Path:
        path = tmp_path / name
        torch.save(content, path, _use_new_zipfile_serialization=is_zip)
        return path

    return save
