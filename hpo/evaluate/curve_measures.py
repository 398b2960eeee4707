"""The six measures that are read off a learning curve. Epochs count from 1."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

# From the unit of a measure to factor, decimals and name.
_UNITS: Final = {"epochs": (1, 1, " epochs"), "points": (100, 1, " points"), "loss": (1, 3, "")}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One finished training: validation accuracy and loss by epoch, both splits at the kept epoch.

    Where the run file is gone `losses` is empty, and so is `accuracies` unless accuracy is the
    study's score: a trial holds the scores of its epochs only.
    """

    accuracy: float | None
    accuracies: Sequence[float]
    losses: Sequence[float]
    accuracy_gap: float | None
    loss_gap: float | None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number read off a curve, given the target accuracy.

    `better` is a sentence with the places winner, loser, size. Where there is an `event`, the
    number is its epoch, infinite where it does not happen. No number is below `lowest`.
    """

    name: str
    title: str
    about: str
    unit: Literal["epochs", "points", "loss"]
    of: Callable[[Curve, float], float | None]
    better: str
    is_better_high: bool = False
    event: str = ""
    lowest: float = -math.inf

    @property
    def heading(self) -> str:
        """The heading of a row of a table, with the unit where it needs one."""
        return f"{self.title}, points" if self.unit == "points" else self.title

    @property
    def unit_text(self) -> str:
        """The unit as it follows a number, with a space before; nothing for a loss."""
        return _UNITS[self.unit][2]

    def amount(self, size: float, *, least: float = math.inf, sign: str = "") -> str:
        """Write a size in its unit, with enough decimals that `least` does not look like zero."""
        factor, decimals, _ = _UNITS[self.unit]
        if 0 < least < math.inf:
            decimals = max(decimals, math.ceil(-math.log10(factor * least)))
        return f"{factor * size:{sign}.{decimals}f}"


def epochs_to(accuracies: Sequence[float], target: float) -> float | None:
    """Return the first epoch at or above the target, infinity where none is, None without any."""
    reached = (n for n, value in enumerate(accuracies, start=1) if value >= target)
    return next(reached, math.inf) if accuracies else None


def fluctuation(accuracies: Sequence[float]) -> float | None:
    """Return the standard deviation around the linear trend of the last half of the epochs.

    Two degrees of freedom go to the trend. None where the last half has fewer than three epochs.
    """
    half = np.asarray(accuracies[len(accuracies) // 2 :], dtype=np.float64)
    if len(half) < 3:
        return None
    epochs = np.arange(len(half)) - (len(half) - 1) / 2
    slope = (epochs @ half) / (epochs @ epochs)
    residuals = half - half.mean() - slope * epochs
    return math.sqrt((residuals @ residuals) / (len(half) - 2))


def turning_epoch(losses: Sequence[float]) -> float | None:
    """Return the epoch of the lowest loss (the last of several), infinity where it still falls."""
    if not losses:
        return None
    lowest = len(losses) - int(np.argmin(losses[::-1]))
    return lowest if lowest < len(losses) else math.inf


MEASURES: Final = (
    Measure(
        name="epochs_to_target",
        title="epochs to {target}",
        about="the first epoch with a validation accuracy of {target} or more",
        unit="epochs",
        of=lambda curve, target: epochs_to(curve.accuracies, target),
        better="{winner} reaches {target} accuracy earlier than {loser}, by {size}.",
        event="reach it",
        lowest=1,
    ),
    Measure(
        name="fluctuation",
        title="fluctuation",
        about="standard deviation of the validation accuracy around its linear trend over the "
        "last half of the epochs",
        unit="points",
        of=lambda curve, _: fluctuation(curve.accuracies),
        better="{winner} is steadier than {loser}, by {size}.",
        lowest=0,
    ),
    Measure(
        name="accuracy_gap",
        title="gap in accuracy",
        about="training minus validation accuracy of the kept weights, both in evaluation mode",
        unit="points",
        of=lambda curve, _: curve.accuracy_gap,
        better="{winner} overfits less than {loser}: its gap in accuracy is smaller by {size}.",
    ),
    Measure(
        name="loss_gap",
        title="gap in loss",
        about="validation minus training loss of the kept weights, both in evaluation mode",
        unit="loss",
        of=lambda curve, _: curve.loss_gap,
        better="{winner} overfits less than {loser}: its gap in loss is smaller by {size}.",
    ),
    Measure(
        name="loss_turn",
        title="loss turns at epoch",
        about="the epoch of the lowest validation loss",
        unit="epochs",
        of=lambda curve, _: turning_epoch(curve.losses),
        better="The validation loss of {winner} turns later than that of {loser}, by {size}.",
        is_better_high=True,
        event="turn",
        lowest=1,
    ),
    Measure(
        name="loss_rise",
        title="loss rises by",
        about="validation loss of the last epoch minus the lowest",
        unit="loss",
        of=lambda curve, _: curve.losses[-1] - min(curve.losses) if curve.losses else None,
        better="The validation loss of {winner} rises less than that of {loser}, by {size}.",
        lowest=0,
    ),
)
