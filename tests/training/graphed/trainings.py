"""One training by the kernels and, from the same start, by the cohorts of the stacked engine."""

from typing import NamedTuple

import torch
from torch import Tensor

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device
from hpo.training.graphed import epoch
from hpo.training.graphed.kind import kind_of
from hpo.training.graphed.memory import Memory, open_memory
from hpo.training.graphed.table import write
from hpo.training.lane_data import Images
from hpo.training.stacked.cohort import train_epoch
from hpo.training.stacked.lane import Lane, open_lane
from hpo.training.stacked.scratch import Scratch

SMALL = TrainingConfig(
    image_size=16,
    hidden=(12, 7),
    dropout=(0.3, 0.1),
    batch_size=16,
    epochs=3,
    # Steps are in proportion to gradients: what rounds otherwise goes on to differ as little.
    optimizer="sgd",
    momentum=0.9,
    learning_rate=0.01,
)


class Trained(NamedTuple):
    """A training after an epoch, and the sums of it."""

    lane: Lane
    sums: Tensor


def start(data: TrainingData, config: TrainingConfig, device: Device, *, seed: int = 3) -> Lane:
    """Return a training before its first epoch."""
    images = Images(data, device)
    return open_lane(config, images.place(config, 1), seed=seed, device=device)


def memory_of(lane: Lane) -> Memory:
    return open_memory(lane, kind_of(lane))


def by_kernels(memory: Memory, lane: Lane) -> Trained:
    """Train the next epoch in this memory, which the lane has."""
    write(memory.table, lane)
    return Trained(lane, epoch.train_epoch(memory))


def by_cohorts(lane: Lane) -> Trained:
    """Train the next epoch as it is done anywhere."""
    (sums,) = train_epoch([lane], Scratch(lane.device.torch))
    return Trained(lane, sums)


def both(
    data: TrainingData, config: TrainingConfig, device: Device, *, n_epochs: int = 1
) -> tuple[Trained, Trained]:
    """Train by kernels and by cohorts, without measuring anything."""
    one, other = (start(data, config, device) for _ in range(2))
    memory = memory_of(one)
    for _ in range(n_epochs):
        found, expected = by_kernels(memory, one), by_cohorts(other)
    return found, expected


def state_of(lane: Lane) -> dict[str, Tensor]:
    """Return all that a training learns and remembers."""
    named = {
        "first": lane.parameters.first,
        "row": lane.parameters.row,
        "statistics": lane.parameters.statistics,
    }
    for kind in ("first", "second", "steps"):
        named |= {f"{kind} {i}": m for i, m in enumerate(getattr(lane.moments, kind))}
    return named


def assert_close(found: Trained, expected: Trained, *, tolerance: float = 1e-4) -> None:
    """Compare sums and states; the tolerance is a share of the largest number of each."""
    torch.testing.assert_close(found.sums, expected.sums, rtol=tolerance, atol=0)
    others = state_of(expected.lane)
    for name, tensor in state_of(found.lane).items():
        size = float(others[name].abs().max())
        off = float((tensor - others[name]).abs().max())
        assert off <= tolerance * size, f"{name}: off by {off:.1e} of {size:.1e}"


def assert_same(found: Trained, expected: Trained) -> None:
    """Compare sums and states bit for bit."""
    assert torch.equal(found.sums, expected.sums)
    others = state_of(expected.lane)
    for name, tensor in state_of(found.lane).items():
        assert torch.equal(tensor, others[name]), name
