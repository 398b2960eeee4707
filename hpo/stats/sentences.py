"""A comparison in one sentence."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from hpo.stats.records import ScoreKind
from hpo.stats.repeats import needed_repeats, smallest_difference

HALF_A_POINT: Final = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was found for one pair; NaN where there is nothing. `n_alone`: without a partner."""

    difference: float
    low: float
    high: float
    p_value: float
    deviation: float
    is_real: bool
    is_same: bool
    n_pairs: int
    n_alone: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgment:
    """How the pairs of a sweep were judged: corrected for `n_tests` of them."""

    level: float
    overlap: float
    kind: ScoreKind
    n_images: int | None
    n_tests: int = 0


def sentence(a: Hashable, b: Hashable, finding: Finding, judgment: Judgment) -> str:
    """Say what is known of the difference between two values, the winner first."""
    first, second = label(a), label(b)
    if finding.n_pairs < 2:
        text = _no_verdict(first, second, finding.n_pairs)
    elif finding.is_same:
        text = (
            f"no difference between {first} and {second}: "
            f"the same score in each of {finding.n_pairs} repeats"
        )
    elif finding.is_real:
        text = _beats(first, second, finding, judgment.kind)
    else:
        bounds = _possible((finding.low, finding.high), judgment.kind)
        low, high = _amounts(bounds, judgment.kind, least=max(map(abs, bounds)), sign="+")
        text = f"no difference between {first} and {second} can be told ({low} to {high})"
        text += _outlook(finding, judgment)
    if finding.n_alone:
        text += f"; {_count(finding.n_alone)} without a partner left out"
    return text


def label(value: Hashable) -> str:
    """Write a value of a sweep: `32`, `0.001`, `true`, `64-64-64`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "-".join(label(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _no_verdict(first: str, second: str, n_pairs: int) -> str:
    have = f"only {_count(n_pairs)} of both" if n_pairs else "no repeat of both"
    return f"no verdict on {first} and {second}: {have}, and it takes two (--repeats 5)"


def _beats(first: str, second: str, finding: Finding, kind: ScoreKind) -> str:
    is_second = (finding.difference > 0) == (kind.direction == "maximize")
    winner, loser = (second, first) if is_second else (first, second)
    bounds = sorted(map(abs, _possible((finding.low, finding.high), kind)))
    # enough decimals that a bound above zero does not look like zero
    size, low, high = _amounts((abs(finding.difference), *bounds), kind, least=bounds[0])
    return f"{winner} beats {loser} by {size}{_unit(kind)} ({low} to {high})"


def _possible(bounds: tuple[float, float], kind: ScoreKind) -> tuple[float, float]:
    """Return the part of an interval that a difference can be in: of shares at most 1 apart."""
    most = 1.0 if kind.is_share else math.inf
    low, high = bounds
    return max(low, -most), min(high, most)


def _outlook(finding: Finding, judgment: Judgment) -> str:
    """Say with how many repeats a difference worth telling would be told."""
    size = _worth_telling(finding, judgment.kind)
    if size > (finding.high - finding.low) / 2:
        return ""
    n = needed_repeats(
        size,
        deviation=finding.deviation,
        overlap=judgment.overlap,
        level=judgment.level,
        n_pairs=judgment.n_tests,
    )
    (amount,) = _amounts((size,), judgment.kind, least=size)
    told = f"would tell one of {amount}{_unit(judgment.kind)}"
    if n is not None:
        return f"; about {_about(n):,} repeats {told}"
    images = "these images" if judgment.n_images is None else f"these {judgment.n_images:,} images"
    least = smallest_difference(
        deviation=finding.deviation,
        overlap=judgment.overlap,
        level=judgment.level,
        n_pairs=judgment.n_tests,
    )
    (amount,) = _amounts((least,), judgment.kind, least=least)
    return f"; no number of repeats on {images} {told}, only one above {amount}"


def _worth_telling(finding: Finding, kind: ScoreKind) -> float:
    """Return the difference that was seen, but at least half a point.

    A score without points has no such measure: there it is a round number below what can be told
    now.
    """
    seen = abs(finding.difference)
    if kind.is_share:
        return max(seen, HALF_A_POINT)
    return max(seen, _round_below((finding.high - finding.low) / 3))


def _round_below(size: float) -> float:
    """Return the largest of 1, 2, 5, 10, 20, … (and their tenths) that is not above `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    return max(step * power for step in (1, 2, 5) if step * power <= size or step == 1)


def _about(n: int) -> int:
    """Round up: to fives from 20, to two digits from 100."""
    if n < 20:
        return n
    step = 5 if n < 100 else 10 ** (len(str(n)) - 2)
    return math.ceil(n / step) * step


def _amounts(
    sizes: tuple[float, ...], kind: ScoreKind, *, least: float, sign: str = ""
) -> list[str]:
    """Write sizes in points or as they are, with a decimal at which `least` is not zero."""
    factor, decimals = (100, 1) if kind.is_share else (1, 3)
    if least > 0:
        decimals = max(decimals, math.ceil(-math.log10(factor * least)))
    return [f"{factor * size:{sign}.{decimals}f}" for size in sizes]


def _unit(kind: ScoreKind) -> str:
    return " points" if kind.is_share else ""


def _count(n: int) -> str:
    return "1 repeat" if n == 1 else f"{n} repeats"
