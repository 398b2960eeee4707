"""The 16 sweeps of five reports: what each found, in its own figures, and what it claims.

The values and the rest of each training are in the space files `search_spaces/report_*.toml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hpo.config import Scalar
from studies.results.claims import (
    CONVERGENCE,
    FLUCTUATION,
    GAP,
    TEST,
    TRAINING_LOSS,
    VALIDATION,
    VALIDATION_LOSS,
    Claim,
    Measure,
    above,
    alike,
    better,
)

STRONG: Final = 0.01
"""Who swings by more than a point from epoch to epoch oscillates strongly."""


@dataclass(frozen=True)
class Sweep:
    """One sweep of a report.

    `found` is what it says in short; `figures` its percentages by value, on `split`, each a mean
    of `n_runs` trainings.
    """

    report: str
    name: str
    found: str
    split: Measure = TEST
    figures: Mapping[Scalar, float] = field(default_factory=dict)
    n_runs: int = 1
    claims: tuple[Claim, ...] = ()

    @property
    def space(self) -> str:
        """The space file."""
        return f"report_{self.report.lower()}"

    @property
    def key(self) -> str:
        """What `--only` takes: `report_a:loss`."""
        return f"{self.space}:{self.name}"


# One, two and three layers.
_ONE, _TWO, _THREE = "256 (batch_norm=false, dropout=0)", "64-64", "64-64-64"
_GUESSES: Final = "nothing was run: a table of guesses"

# fmt: off
SWEEPS: Final = (
    Sweep("A", "loss",
        "53 of 100 right with bce, 65 with ce; both oscillate strongly; the loss of ce is a "
        "little lower, its accuracy a little higher; overfitting is suspected",
        figures={"bce": 53, "ce": 65},
        claims=(
            Claim("ce beats bce on the test", better(TEST, "ce", "bce")),
            Claim("the accuracy of ce is a little higher", better(VALIDATION, "ce", "bce")),
            Claim("the loss of ce is a little lower", better(VALIDATION_LOSS, "ce", "bce")),
            Claim("both oscillate strongly", above(FLUCTUATION, STRONG, "bce", "ce")),
            Claim("both overfit", above(GAP, GAP.margin, "bce", "ce")),
        )),
    Sweep("A", "epochs",
        "48, 52 and 53 of 100 right after 15, 30 and 100 epochs; more epochs help a little, "
        "or a few more runs would differ",
        figures={15: 48, 30: 52, 100: 53},
        claims=(Claim("100 epochs beat 15", better(TEST, 100, 15)),)),
    Sweep("A", "hidden",
        "55, 50 and 53 of 100 right with one, two and three layers (once 55 for three); "
        "fewer layers oscillate less and are more accurate",
        figures={_ONE: 55, _TWO: 50, _THREE: 53},
        claims=(
            Claim("one layer is more accurate than more", better(TEST, _ONE, _TWO, _THREE)),
            Claim("fewer layers oscillate less",
                  better(FLUCTUATION, _ONE, _TWO, _THREE) + better(FLUCTUATION, _TWO, _THREE)),
        )),
    Sweep("B", "loss",
        "validation 95.0 and loss 0.1410 at the best epoch of bce, 93.5 and 0.1461 at the "
        "last of ce; bce converges faster, ce is steadier",
        split=VALIDATION,
        figures={"bce": 95.0, "ce": 93.5},
        claims=(
            Claim("bce beats ce on validation", better(VALIDATION, "bce", "ce")),
            Claim("the loss of bce is lower", better(VALIDATION_LOSS, "bce", "ce")),
            Claim("bce converges faster", better(CONVERGENCE, "bce", "ce")),
            Claim("ce is steadier", better(FLUCTUATION, "ce", "bce")),
        )),
    Sweep("B", "scheduler",
        "validation about 90 with step, about 94 with cosine and polynomial",
        split=VALIDATION,
        figures={"cosine": 94, "step": 90, "polynomial": 94},
        claims=(
            Claim("step is worse than cosine and polynomial",
                  better(VALIDATION, "cosine", "step") + better(VALIDATION, "polynomial", "step")),
            Claim("cosine and polynomial are alike", alike(VALIDATION, "cosine", "polynomial")),
        )),
    Sweep("B", "activation",
        "leaky_relu is steadier than relu, sigmoid very slow",
        split=VALIDATION,
        claims=(
            Claim("leaky_relu is steadier than relu", better(FLUCTUATION, "leaky_relu", "relu")),
            Claim("sigmoid converges slower than both",
                  better(CONVERGENCE, "relu", "sigmoid")
                  + better(CONVERGENCE, "leaky_relu", "sigmoid")),
        )),
    Sweep("C", "loss",
        "means of five 74.95 with bce, 74.85 with ce (single tests 76.5 and 75.5)",
        figures={"bce": 74.95, "ce": 74.85}, n_runs=5,
        claims=(Claim("bce and ce are alike (0.1 points apart)", alike(TEST, "bce", "ce")),)),
    Sweep("C", "batch_size",
        "means of five 73.75, 72.8 and 76.05 with 32, 64 and 128; a gap of 5 % between "
        "training and validation with 64 and with 128",
        figures={32: 73.75, 64: 72.8, 128: 76.05}, n_runs=5,
        claims=(
            Claim("128 is best", better(TEST, 128, 32, 64)),
            Claim("64 and 128 overfit", above(GAP, GAP.margin, 64, 128)),
        )),
    Sweep("C", "step_size",
        "means of five 74.75 with 5, 72.2 with 20 (10 is the base); single tests 76 and "
        "79.5: the worst mean has the best single run",
        figures={5: 74.75, 20: 72.2}, n_runs=5,
        claims=(Claim("20 is worst", better(TEST, 5, 20) + better(TEST, 10, 20)),)),
    Sweep("D", "learning_rate", _GUESSES),
    Sweep("D", "batch_size", _GUESSES),
    Sweep("D", "loss", _GUESSES),
    Sweep("E", "epochs",
        "test 74.8, 76.1 and 77.6 after 20, 40 and 80 epochs; the validation loss rises "
        "while the training loss falls",
        figures={20: 74.8, 40: 76.1, 80: 77.6},
        claims=(
            Claim("80 epochs are best", better(TEST, 80, 20, 40)),
            Claim("the validation loss rises with the epochs", better(VALIDATION_LOSS, 20, 80)),
            Claim("the training loss falls with them", better(TRAINING_LOSS, 80, 20)),
        )),
    Sweep("E", "batch_size",
        "larger is smoother (the figures are lost)",
        claims=(Claim("128 is steadier than 32", better(FLUCTUATION, 128, 32)),)),
    Sweep("E", "learning_rate",
        "0.1 oscillates and does not converge; test 73.6 with 0.01, 69.8 with 0.001",
        figures={0.01: 73.6, 0.001: 69.8},
        claims=(
            Claim("0.01 beats 0.001 on the test", better(TEST, 0.01, 0.001)),
            Claim("0.1 oscillates more than the others",
                  better(FLUCTUATION, 0.01, 0.1) + better(FLUCTUATION, 0.001, 0.1)),
            Claim("0.1 does not converge as 0.01 does", better(CONVERGENCE, 0.01, 0.1)),
        )),
    Sweep("E", "loss",
        "mse is best; l1 and mse are unsteady; focal is smoother",
        claims=(
            Claim("mse is best", better(TEST, "mse", "ce", "focal", "l1", "smooth_l1")),
            Claim("l1 and mse are less steady than ce",
                  better(FLUCTUATION, "ce", "l1") + better(FLUCTUATION, "ce", "mse")),
            Claim("focal is steadier than ce", better(FLUCTUATION, "focal", "ce")),
        )),
)
# fmt: on
