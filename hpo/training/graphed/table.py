"""The numbers of a lane that change between epochs, where a graph reads them anew."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.training.augmentation import Changes
from hpo.training.graphed.kind import Kind
from hpo.training.stacked.lane import Lane
from hpo.training.stacked.updates import BETAS

_NAMES: Final = (
    "learning_rate",
    "weight_decay",
    "momentum",
    "label_smoothing",
    "focal_gamma",
    "augment_pose",
    "augment_stretch",
    "augment_exposure",
)


@dataclass(frozen=True)
class Table:
    """The numbers in place, and on the host the next ones, before they are copied there.

    float64 `(9 + layers,)`: the index of the epoch, those of `_NAMES`, and the dropout of each
    hidden layer.
    """

    numbers: Tensor
    next: Tensor

    def number(self, name: str) -> Tensor:
        """Return one of the numbers `()`."""
        return self.numbers[1 + _NAMES.index(name)]

    @property
    def epoch(self) -> Tensor:
        """The index of the epoch, int64 `(1,)`."""
        return self.numbers[:1].long()

    @property
    def drops(self) -> Tensor:
        """The dropout of each hidden layer, float32 `(layers,)`."""
        return self.numbers[1 + len(_NAMES) :].float()


def open_table(n_layers: int, device: torch.device) -> Table:
    """Return a table without numbers."""
    n = 1 + len(_NAMES) + n_layers
    # Only from pinned memory does a copy go on beside what the host does.
    following = torch.zeros(n, dtype=torch.float64, pin_memory=device.type == "cuda")
    return Table(following.to(device, copy=True), following)


def write(table: Table, lane: Lane) -> None:
    """Give the next epoch its numbers. The copy of those before must have ended."""
    config, progress = lane.config, lane.progress
    values = [getattr(config, name) for name in _NAMES[1:]]
    row = [progress.epoch, progress.rate, *values, *config.dropout_per_layer]
    table.next.copy_(torch.tensor(row, dtype=torch.float64))
    table.numbers.copy_(table.next, non_blocking=True)


def changes_in(table: Table, kind: Kind) -> Changes:
    """Return how images of this epoch are changed."""
    return Changes(
        is_flipped=kind.is_flipped,
        is_warped=kind.is_warped,
        is_exposed=kind.is_exposed,
        pose=table.number("augment_pose").float(),
        stretch=table.number("augment_stretch").float(),
        exposure=table.number("augment_exposure").float(),
    )


def step_numbers(table: Table, n_before: Tensor, n_steps: int) -> Tensor:
    """Return what an optimizer needs of each step of the epoch, float32 `(steps, 8)`.

    As `kernels.updates.take_step` reads the first five; eight of them are 32 bytes, for which all
    steps are one kernel. `n_before` `()` counts the steps before.
    """
    steps = n_before.to(torch.float64) + torch.arange(1, n_steps + 1, device=n_before.device)
    rate = table.number("learning_rate").expand(n_steps)
    columns = [
        rate / (1 - torch.pow(BETAS[0], steps)),
        (1 - torch.pow(BETAS[1], steps)).rsqrt(),
        rate,
        table.number("weight_decay").expand(n_steps),
        table.number("momentum").expand(n_steps),
    ]
    return F.pad(torch.stack(columns, 1).float(), (0, 8 - len(columns)))
