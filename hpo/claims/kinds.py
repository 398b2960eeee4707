"""The six claims: what each measures, and how it is said."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from hpo.claims.evidence import Evidence
from hpo.claims.measures import epochs_to, fluctuation, rise, turning_epoch
from hpo.stats import ScoreKind

Unit = Literal["epochs", "points", "loss"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One claim.

    `beats` is a sentence with the places winner, loser, size. Where there is an `event`, the
    measure is the epoch of it, infinite for a training without. No measure is below `lowest`.
    """

    name: str
    title: str
    about: str
    unit: Unit
    measure: Callable[[Evidence, float], float | None]
    beats: str
    is_better_high: bool = False
    event: str = ""
    lowest: float = -math.inf

    @property
    def scores(self) -> ScoreKind:
        """The kind of its numbers, as `hpo.stats` takes it."""
        direction: Literal["maximize", "minimize"]
        direction = "maximize" if self.is_better_high else "minimize"
        return ScoreKind(direction, is_share=self.unit == "points")


KINDS: Final = (
    Kind(
        name="epochs_to_target",
        title="epochs to {target}",
        about="the first epoch with a validation accuracy of {target} or more",
        unit="epochs",
        measure=lambda of, target: epochs_to(of.accuracies, target),
        beats="{winner} converges faster than {loser}, by {size}",
        event="reaches it",
        lowest=1,
    ),
    Kind(
        name="fluctuation",
        title="fluctuation",
        about="standard deviation of the validation accuracy around its linear trend over the "
        "last half of the epochs",
        unit="points",
        measure=lambda of, _: fluctuation(of.accuracies),
        beats="{winner} is steadier than {loser}, by {size}",
        lowest=0,
    ),
    Kind(
        name="accuracy_gap",
        title="gap in accuracy",
        about="training minus validation accuracy of the kept weights, both in evaluation mode",
        unit="points",
        measure=lambda of, _: of.accuracy_gap,
        beats="{winner} overfits less than {loser}: its gap in accuracy is smaller by {size}",
    ),
    Kind(
        name="loss_gap",
        title="gap in loss",
        about="validation minus training loss of the kept weights, both in evaluation mode",
        unit="loss",
        measure=lambda of, _: of.loss_gap,
        beats="{winner} overfits less than {loser}: its gap in loss is smaller by {size}",
    ),
    Kind(
        name="loss_turn",
        title="loss turns at epoch",
        about="the epoch of the lowest validation loss",
        unit="epochs",
        measure=lambda of, _: turning_epoch(of.losses),
        beats="the validation loss of {winner} turns later than that of {loser}, by {size}",
        is_better_high=True,
        event="turns",
        lowest=1,
    ),
    Kind(
        name="loss_rise",
        title="loss rises by",
        about="validation loss of the last epoch minus the lowest",
        unit="loss",
        measure=lambda of, _: rise(of.losses),
        beats="the validation loss of {winner} rises less than that of {loser}, by {size}",
        lowest=0,
    ),
)
