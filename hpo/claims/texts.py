"""Claims in words: sentences, and the cells of a table."""

import math
from collections.abc import Iterable
from typing import Final

from hpo.claims.kinds import Kind, Unit
from hpo.claims.records import Claim, Measured
from hpo.stats import PairComparison
from hpo.stats.sentences import label

_FORMATS: Final[dict[Unit, tuple[float, int, str]]] = {
    "epochs": (1, 1, " epochs"),
    "points": (100, 1, " points"),
    "loss": (1, 3, ""),
}


def sentence(kind: Kind, pair: PairComparison, a: Measured, b: Measured) -> str:
    """Say what is known of a claim for two configurations, the winner first."""
    names = f"{label(pair.a)} and {label(pair.b)}"
    if pair.difference is None or pair.low is None or pair.high is None:
        return f"no verdict on {names}: it takes two repeats of both"
    if kind.event and all(m.n_never == m.interval.n for m in (a, b)):
        return f"no verdict on {names}: neither {kind.event} in any repeat"
    if pair.is_real:
        text = _beats(kind, pair)
    elif pair.low == pair.high:
        text = f"no difference between {names}: the same in every repeat"
    else:
        low, high = (amount(bound, kind.unit, sign="+") for bound in (pair.low, pair.high))
        unit = _FORMATS[kind.unit][2]
        text = f"no difference between {names} can be told ({low} to {high}{unit})"
    return "; ".join([text, *(_never(kind, m) for m in (a, b) if m.n_never)])


def outcome(claims: Iterable[Claim]) -> tuple[list[str], str]:
    """Return the differences that are real, and a line on the others; nothing where untested."""
    tested = [pair for claim in claims for pair in claim.pairs if pair.low is not None]
    real = [pair.sentence for pair in tested if pair.is_real]
    n_others = len(tested) - len(real)
    which = "the other" if real else "any of"
    others = f"no difference can be told in {which} {n_others} comparisons"
    return real, others if n_others else ""


def cell(kind: Kind, measured: Measured) -> tuple[str, ...]:
    """Return the lines of a table's cell: the mean, its interval, repeats without the event."""
    interval = measured.interval
    if interval.mean is None:
        return ("-",)
    if measured.n_never == interval.n:
        return ("never",)
    lines = [amount(interval.mean, kind.unit) + (" or more" if measured.n_never else "")]
    if interval.low is not None and interval.high is not None:
        lines.append(f"{amount(interval.low, kind.unit)} to {amount(interval.high, kind.unit)}")
    if measured.n_never:
        lines.append(f"{measured.n_never} of {interval.n} never")
    return tuple(lines)


def heading(kind: Kind) -> str:
    """Return the heading of a column, with the unit where it needs one."""
    return f"{kind.title}, points" if kind.unit == "points" else kind.title


def amount(size: float, unit: Unit, *, least: float = math.inf, sign: str = "") -> str:
    """Write a size in its unit, with enough decimals that `least` does not look like zero."""
    factor, decimals, _ = _FORMATS[unit]
    if 0 < least < math.inf:
        decimals = max(decimals, math.ceil(-math.log10(factor * least)))
    return f"{factor * size:{sign}.{decimals}f}"


def _beats(kind: Kind, pair: PairComparison) -> str:
    assert pair.difference is not None
    assert pair.low is not None
    assert pair.high is not None
    low, high = sorted((abs(pair.low), abs(pair.high)))
    size, *bounds = (amount(x, kind.unit, least=low) for x in (abs(pair.difference), low, high))
    is_first = (pair.difference > 0) != kind.is_better_high
    winner, loser = (pair.a, pair.b) if is_first else (pair.b, pair.a)
    return kind.beats.format(
        winner=label(winner),
        loser=label(loser),
        size=f"{size}{_FORMATS[kind.unit][2]} ({' to '.join(bounds)})",
    )


def _never(kind: Kind, measured: Measured) -> str:
    n, n_never = measured.interval.n, measured.n_never
    return f"{label(measured.value)} never {kind.event} in {n_never} of {n} repeats"
