"""Comparisons in plain sentences; only this module formulates them."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from hpo.stats.records import MOST_REPEATS, PairComparison, ScoreKind, Span, SweepComparison
from hpo.tables import count

_FEW: Final = 5
_MOST_PAIRS: Final = 10


def pair_sentence(
    pair: PairComparison,
    kind: ScoreKind,
    *,
    level: float,
    is_identical: bool = False,
    n_alone: int = 0,
) -> str:
    """Describe the difference between two values, the better one first.

    `n_alone` repeats of one value have no partner.
    """
    interval_of = f"{100 * level:.3g} % interval"
    unit, factor, decimals = (" points", 100, 1) if kind.is_share else ("", 1, 3)
    first, second = label(pair.a), label(pair.b)
    most = amounts([pair.bound or 0.0], factor, decimals, least=pair.bound or 0.0)[0]
    bound = f"at most {most}{unit} ({100 * level:.3g} % confidence)"
    if pair.low is None or pair.high is None or pair.difference is None:
        have = f"only {count(pair.n_pairs, 'repeat')}" if pair.n_pairs else "no repeat"
        text = f"{first} and {second}: not compared, {have} of both; at least two are needed"
    elif is_identical:
        of_all = "both" if pair.n_pairs == 2 else f"all {pair.n_pairs}"
        text = f"{first} and {second}: identical scores in {of_all} repeats"
    elif pair.is_real:
        is_second = (pair.difference > 0) == (kind.direction == "maximize")
        better, worse = (second, first) if is_second else (first, second)
        bounds = sorted(map(abs, (pair.low, pair.high)))
        # With enough decimals, a bound above zero does not look like zero.
        sizes = (abs(pair.difference), *bounds)
        size, low, high = amounts(sizes, factor, decimals, least=bounds[0])
        interval = f"{interval_of} {low} to {high}"
        text = f"{better} is better than {worse} by {size}{unit} ({interval})"
        if pair.answer == "same":
            text += f". That is too little to matter: {bound}"
    else:
        ends = (pair.low, pair.high)
        low, high = amounts(ends, factor, decimals, least=max(map(abs, ends)), sign="+")
        interval = f"{interval_of} {low} to {high}{unit}"
        if pair.answer == "same":
            text = f"{first} and {second}: no difference that matters, {bound}"
        else:
            text = f"{first} and {second}: undecided"
            text += f" with {pair.n_pairs} repeats" if pair.n_pairs < _FEW else ""
            # An interval that reaches the largest possible difference is not informative.
            is_wide = kind.is_share and (pair.low <= -1 or pair.high >= 1)
            text += ", too few for a useful interval" if is_wide else f" ({interval})"
            if pair.repeats:
                text += f". {repeats_text(pair.repeats)}"
    if n_alone:
        text += f". {count(n_alone, 'repeat')} of only one value left out"
    return text + "."


def headline(comparison: SweepComparison, names: Sequence[str]) -> str | None:
    """Summarize a sweep of parameters in a sentence or two; None if nothing is compared."""
    tested = [pair for pair in comparison.pairs if pair.answer != "untested"]
    if not tested or comparison.n_left_out:
        return None
    compared = {value for pair in tested for value in (pair.a, pair.b)}
    left_out = [value for value in comparison.values if value not in compared]
    text = _headline(comparison, tested, names, [v for v in comparison.values if v in compared])
    return f"{text} {_listed(left_out)} {_verb(left_out)} not compared." if left_out else text


def _headline(
    comparison: SweepComparison,
    tested: list[PairComparison],
    names: Sequence[str],
    values: list[Hashable],
) -> str:
    swept, is_one = _listed(names), len(names) == 1
    undecided = [pair for pair in tested if pair.answer == "undecided"]
    better = [pair for pair in tested if pair.answer == "better"]
    if not better and not undecided:
        below = f"all differences are below {margin_text(comparison.kind)}"
        return f"{swept} {'does' if is_one else 'do'} not matter here: {below}."
    is_higher = comparison.kind.direction == "maximize"
    beaten = {
        pair.a if (pair.difference or 0) * (1 if is_higher else -1) > 0 else pair.b
        for pair in better
    }
    best = [value for value in values if value not in beaten]
    worse = [value for value in values if value in beaten]
    if undecided:
        if len(undecided) == len(tested):
            text = f"It is undecided whether {swept} {'matters' if is_one else 'matter'}."
        else:
            worse_ones = f"{_listed(worse)} {_verb(worse)} worse. " if worse else ""
            verb = "is" if len(undecided) == 1 else "are"
            text = f"{worse_ones}{len(undecided)} of {len(tested)} pairs {verb} undecided."
        spans = [pair.repeats for pair in undecided if pair.repeats]
        return text + (f" {repeats_text(longest(spans))}." if spans else "")
    if len(values) == 2:
        return f"{swept} {better[0].sentence}" if is_one else better[0].sentence
    if len(best) == 1:
        best_one = f"{swept if is_one else 'combination'} is {label(best[0])}"
        other = "value" if is_one else "combination"
        return f"The best {best_one}: it is better than every other {other}."
    return (
        f"For {swept}, {_listed(best)} are best, with no difference between them that matters; "
        f"{_listed(worse)} {_verb(worse)} worse."
    )


def outcome(
    comparison: SweepComparison, *, most: int = _MOST_PAIRS, most_real: int | None = None
) -> list[PairComparison | str]:
    """Return the sentences to show: every pair, or among more than `most` those that differ.

    At most `most_real` of these are shown if it is given; a line counts those left out.
    """
    left_out = [
        f"Only the {len(comparison.values)} values with the best means are compared, corrected "
        f"for all {comparison.n_pairs:,} pairs."
    ] * bool(comparison.n_left_out)
    if len(comparison.pairs) <= most:
        return [*comparison.pairs, *left_out]
    better = [pair for pair in comparison.pairs if pair.answer == "better"]
    shown = better[:most_real]
    n = Counter(pair.answer for pair in comparison.pairs)
    counts = {
        "Further pairs that differ: {}.": len(better) - len(shown),
        "Pairs without a difference that matters: {}.": n["same"],
        "Undecided pairs: {}.": n["undecided"],
        "Pairs with fewer than two repeats of both: {}.": n["untested"],
    }
    lines = (text.format(f"{number:,}") for text, number in counts.items() if number)
    return [*shown, *lines, *left_out]


def longest(spans: Iterable[Span]) -> Span:
    """Return the range of repeats that decides all of several pairs."""
    lows, highs = zip(*spans, strict=True)
    return max(lows), None if None in highs else max(highs)


def repeats_text(span: Span) -> str:
    """Return a range of repeats in words: `About 15 to 30 repeats would decide`."""
    low, high = span
    if high is None:
        if low >= MOST_REPEATS:
            return f"It takes {MOST_REPEATS} repeats or more to decide"
        return f"It takes at least {low} repeats to decide, perhaps more than {MOST_REPEATS}"
    return f"About {low if low == high else f'{low} to {high}'} repeats would decide"


def label(value: Hashable) -> str:
    """Format a value of a sweep: `32`, `0.001`, `true`, `64-64-64`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "-".join(label(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def margin_text(kind: ScoreKind) -> str:
    """Format the margin with its unit: `1 point`, `0.5 points`, `0.02`."""
    if kind.margin is None:
        return "0"
    if not kind.is_share:
        return f"{kind.margin:g}"
    return f"{100 * kind.margin:g} point" + "s" * (not math.isclose(kind.margin, 0.01))


def _listed(values: Sequence[Hashable]) -> str:
    *others, last = map(label, values)
    return f"{', '.join(others)} and {last}" if others else last


def _verb(values: Sequence[Hashable]) -> str:
    return "is" if len(values) == 1 else "are"


def amounts(
    sizes: Iterable[float], factor: float, decimals: int, *, least: float = 0.0, sign: str = ""
) -> list[str]:
    """Format sizes times a factor, with enough decimals that `least` does not look like zero."""
    if 0 < least < math.inf:
        decimals = max(decimals, math.ceil(-math.log10(factor * least)))
    return [f"{factor * size:{sign}z.{decimals}f}" for size in sizes]
