"""Claims of reports as data, and what becomes of each: seen here, not seen here, undecided.

Each part of a claim is checked against measured intervals:

- better: seen where the difference is significant (p < 0.05, Holm) and in the claimed direction.
  Not seen where it is significant the other way, or where the interval leaves no room for a
  difference that matters in the claimed direction: its upper end is below the measure's margin.
- alike: seen where the whole interval lies within the margin. Not seen where a difference is
  significant and reaches beyond it.
- above: seen where the interval lies above the amount, not seen where it lies below.

Everything else is undecided. A claim is seen where all its parts are, not seen where one is not.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hpo.config import Scalar
from hpo.stats import Interval, PairComparison
from hpo.stats.sentences import label

Outcome = Literal["seen here", "not seen here", "undecided"]

SEEN: Final = "seen here"
NOT_SEEN: Final = "not seen here"
OPEN: Final = "undecided"

_FACTORS: Final = {"points": 100, "epochs": 1}


@dataclass(frozen=True)
class Measure:
    """What is compared. `margin` is the smallest difference that matters, in its own unit."""

    name: str
    margin: float
    unit: Literal["points", "nats", "epochs"]
    is_better_high: bool = False

    def amount(self, size: float) -> str:
        """Write a size without its unit."""
        return f"{size:.3f}" if self.unit == "nats" else f"{size * _FACTORS[self.unit]:.1f}"


TEST: Final = Measure("test accuracy", 0.01, "points", is_better_high=True)
VALIDATION: Final = Measure("validation accuracy", 0.01, "points", is_better_high=True)
VALIDATION_LOSS: Final = Measure("validation log loss", 0.02, "nats")
TRAINING_LOSS: Final = Measure("training log loss", 0.02, "nats")
CONVERGENCE: Final = Measure("epochs to converge", 1, "epochs")
FLUCTUATION: Final = Measure("fluctuation", 0.005, "points")
GAP: Final = Measure("training minus validation accuracy", 0.01, "points")
MEASURES: Final = (
    TEST, VALIDATION, VALIDATION_LOSS, TRAINING_LOSS, CONVERGENCE, FLUCTUATION, GAP
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """`a` is better than `b`, differs from it by less than what matters, or is above `amount`."""

    kind: Literal["better", "alike", "above"]
    measure: Measure
    a: Scalar
    b: Scalar = ""
    amount: float = 0.0


@dataclass(frozen=True)
class Claim:
    """What a report says, in words that stand alone, and what must hold for it."""

    text: str
    parts: tuple[Part, ...]


def better(measure: Measure, winner: Scalar, *others: Scalar) -> tuple[Part, ...]:
    """Claim that a value does better than each of the others."""
    return tuple(Part("better", measure, winner, other) for other in others)


def alike(measure: Measure, a: Scalar, b: Scalar) -> tuple[Part, ...]:
    """Claim that two values do not differ by what matters."""
    return (Part("alike", measure, a, b),)


def above(measure: Measure, amount: float, *values: Scalar) -> tuple[Part, ...]:
    """Claim that each of the values has more than an amount."""
    return tuple(Part("above", measure, value, amount=amount) for value in values)


def check(
    claim: Claim,
    pairs: Mapping[str, Sequence[PairComparison]],
    values: Mapping[str, Mapping[Hashable, Interval]],
) -> tuple[Outcome, tuple[str, ...]]:
    """Return what becomes of a claim by comparisons and intervals, by the name of the measure.

    With it comes a sentence per part, the grounds.
    """
    checked = [
        _above(part, values.get(part.measure.name, {}).get(part.a))
        if part.kind == "above"
        else _compared(part, pairs.get(part.measure.name, ()))
        for part in claim.parts
    ]
    outcomes = {outcome for outcome, _ in checked}
    outcome: Outcome = SEEN if outcomes == {SEEN} else OPEN
    if NOT_SEEN in outcomes:
        outcome = NOT_SEEN
    return outcome, tuple(sentence for _, sentence in checked)


def _compared(part: Part, pairs: Sequence[PairComparison]) -> tuple[Outcome, str]:
    name, margin = part.measure.name, part.measure.margin
    pair = next((p for p in pairs if {p.a, p.b} == {part.a, part.b}), None)
    if pair is None:
        return OPEN, f"{name}: nothing is known of {label(part.a)} and {label(part.b)}"
    grounds = f"{name}: {pair.sentence}"
    low, high = pair.low, pair.high
    if low is None or high is None:
        # Models that give the same answers everywhere have no interval, but 0.
        if pair.difference != 0 or pair.p_value != 1:
            return OPEN, grounds
        low = high = 0.0
    if part.kind == "alike":
        is_within = max(abs(low), abs(high)) < margin
        return SEEN if is_within else NOT_SEEN if pair.is_real else OPEN, grounds
    sign = 1 if (part.a == pair.b) == part.measure.is_better_high else -1
    low, high = sorted((sign * low, sign * high))
    if pair.is_real and low > 0:
        return SEEN, grounds
    return NOT_SEEN if pair.is_real or high < margin else OPEN, grounds


def _above(part: Part, interval: Interval | None) -> tuple[Outcome, str]:
    measure, name = part.measure, f"{part.measure.name} of {label(part.a)}"
    if interval is None or interval.mean is None:
        return OPEN, f"{name}: nothing is known"
    mean, asked = measure.amount(interval.mean), measure.amount(part.amount)
    if interval.low is None or interval.high is None:
        return OPEN, f"{name}: {mean}, without an interval; claimed is more than {asked}"
    bounds = f"{measure.amount(interval.low)} to {measure.amount(interval.high)}"
    grounds = f"{name}: {mean} {measure.unit} ({bounds}); claimed is more than {asked}"
    if interval.low > part.amount:
        return SEEN, grounds
    return (NOT_SEEN if interval.high < part.amount else OPEN), grounds
