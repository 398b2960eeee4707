"""Claims of reports as data, and what becomes of each: seen here, not seen here, can't be told.

A claim has one part or several: a difference between two values (`Better`), none that matters
(`Alike`), or an amount (`Above`). Each part is checked against measured intervals:

- Better: seen where the difference is real (p < 0.05, Holm) and in the claimed direction. Not
  seen where it is real the other way, or where the interval leaves no room for a difference that
  matters in the claimed direction: its upper end is below the margin of the measure.
- Alike: seen where the whole interval lies within the margin. Not seen where a difference is real
  and reaches beyond it.
- Above: seen where the interval lies above the amount, not seen where it lies below.

Everything else can't be told. A claim is seen where all its parts are, not seen where one is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hpo.config import Scalar
from hpo.stats import Interval, PairComparison
from hpo.stats.sentences import label

Outcome = Literal["seen here", "not seen here", "can't be told"]

SEEN: Final = "seen here"
NOT_SEEN: Final = "not seen here"
OPEN: Final = "can't be told"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What is compared. `margin` is the smallest difference that matters, in its own unit."""

    name: str
    margin: float
    unit: Literal["points", "nats", "epochs"]
    is_better_high: bool = False

    def amount(self, size: float) -> str:
        """Write a size without its unit."""
        return {
            "points": f"{100 * size:.1f}",
            "nats": f"{size:.3f}",
            "epochs": f"{size:.1f}",
        }[self.unit]


TEST: Final = Measure(name="test accuracy", margin=0.01, unit="points", is_better_high=True)
VALIDATION: Final = Measure(
    name="validation accuracy", margin=0.01, unit="points", is_better_high=True
)
VALIDATION_LOSS: Final = Measure(name="validation log loss", margin=0.02, unit="nats")
TRAINING_LOSS: Final = Measure(name="training log loss", margin=0.02, unit="nats")
CONVERGENCE: Final = Measure(name="epochs to converge", margin=1, unit="epochs")
FLUCTUATION: Final = Measure(name="fluctuation", margin=0.005, unit="points")
GAP: Final = Measure(name="training minus validation accuracy", margin=0.01, unit="points")

MEASURES: Final = (
    TEST,
    VALIDATION,
    VALIDATION_LOSS,
    TRAINING_LOSS,
    CONVERGENCE,
    FLUCTUATION,
    GAP,
)


@dataclass(frozen=True)
class Better:
    """One value does better than another."""

    measure: Measure
    better: Scalar
    worse: Scalar


@dataclass(frozen=True)
class Alike:
    """Two values do not differ by what matters."""

    measure: Measure
    a: Scalar
    b: Scalar


@dataclass(frozen=True)
class Above:
    """One value has more than an amount."""

    measure: Measure
    value: Scalar
    amount: float


Part: TypeAlias = Better | Alike | Above


@dataclass(frozen=True)
class Claim:
    """What a report says, in words that stand alone, and what must hold for it."""

    text: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Per measure what is known: its name as in `MEASURES`; one that is missing is not known."""

    pairs: Mapping[str, Sequence[PairComparison]]
    values: Mapping[str, Mapping[Scalar, Interval]]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim; `grounds` holds a sentence per part."""

    claim: Claim
    outcome: Outcome
    grounds: tuple[str, ...]


def better(measure: Measure, winner: Scalar, *others: Scalar) -> tuple[Better, ...]:
    """Claim that a value does better than each of the others."""
    return tuple(Better(measure, winner, other) for other in others)


def above(measure: Measure, amount: float, *values: Scalar) -> tuple[Above, ...]:
    """Claim that each of the values has more than an amount."""
    return tuple(Above(measure, value, amount) for value in values)


def check(claim: Claim, evidence: Evidence) -> Verdict:
    """Return what becomes of a claim by the evidence."""
    checked = [_check(part, evidence) for part in claim.parts]
    outcomes = [outcome for outcome, _ in checked]
    outcome: Outcome = OPEN
    if NOT_SEEN in outcomes:
        outcome = NOT_SEEN
    elif all(found == SEEN for found in outcomes):
        outcome = SEEN
    return Verdict(claim, outcome, tuple(sentence for _, sentence in checked))


def _check(part: Part, evidence: Evidence) -> tuple[Outcome, str]:
    if isinstance(part, Above):
        return _check_above(part, evidence)
    if isinstance(part, Better):
        pair = _pair(part.measure, part.better, part.worse, evidence)
        names = f"{label(part.better)} and {label(part.worse)}"
    else:
        pair = _pair(part.measure, part.a, part.b, evidence)
        names = f"{label(part.a)} and {label(part.b)}"
    if pair is None:
        return OPEN, f"{part.measure.name}: nothing is known of {names}"
    grounds = f"{part.measure.name}: {pair.sentence}"
    interval = _interval(pair)
    if interval is None:
        return OPEN, grounds
    if isinstance(part, Alike):
        return _alike(interval, part.measure.margin, is_real=pair.is_real), grounds
    sign = 1 if (part.better == pair.b) == part.measure.is_better_high else -1
    low, high = sorted(sign * bound for bound in interval)
    return _better(low, high, part.measure.margin, is_real=pair.is_real), grounds


def _better(low: float, high: float, margin: float, *, is_real: bool) -> Outcome:
    """Judge the interval of the gain that is claimed."""
    if is_real and low > 0:
        return SEEN
    if is_real or high < margin:
        return NOT_SEEN
    return OPEN


def _alike(interval: tuple[float, float], margin: float, *, is_real: bool) -> Outcome:
    if max(map(abs, interval)) < margin:
        return SEEN
    return NOT_SEEN if is_real else OPEN


def _check_above(part: Above, evidence: Evidence) -> tuple[Outcome, str]:
    measure, name = part.measure, f"{part.measure.name} of {label(part.value)}"
    interval = evidence.values.get(measure.name, {}).get(part.value)
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


def _pair(measure: Measure, a: Scalar, b: Scalar, evidence: Evidence) -> PairComparison | None:
    found = (p for p in evidence.pairs.get(measure.name, ()) if {p.a, p.b} == {a, b})
    return next(found, None)


def _interval(pair: PairComparison) -> tuple[float, float] | None:
    """Return the interval; models that give the same answers everywhere have none, but 0."""
    if pair.low is not None and pair.high is not None:
        return pair.low, pair.high
    return (0.0, 0.0) if pair.difference == 0 and pair.p_value == 1 else None
