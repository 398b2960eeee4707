"""What to say of many pairs: every one, or those that differ and a line on the others."""

from typing import Final

from hpo.stats.records import PairComparison, SweepComparison

_MOST_PAIRS: Final = 10


def outcome(
    found: SweepComparison, *, most: int = _MOST_PAIRS, most_real: int | None = None
) -> list[PairComparison | str]:
    """Return what to say: every pair, or of more than `most` those that differ.

    Of these too no more than `most_real`, where it is given; a line counts what is left out.
    """
    pairs = found.pairs
    left_out = [_left_out(found)] if found.n_left_out else []
    if len(pairs) <= most:
        return [*pairs, *left_out]
    real = [pair for pair in pairs if pair.is_real]
    n_untested = sum(pair.low is None for pair in pairs)
    n_others = len(pairs) - len(real) - n_untested
    which = "the other" if real else "any of"
    others = f"no difference can be told in {which} {n_others} pairs"
    untested = f"no verdict on {n_untested} pairs: fewer than two repeats of both"
    n_more = 0 if most_real is None else max(0, len(real) - most_real)
    more = f"{n_more:,} more pairs differ, which are not listed here"
    lines = {more: n_more, others: n_others, untested: n_untested}
    return [*real[:most_real], *(line for line, n in lines.items() if n), *left_out]


def _left_out(found: SweepComparison) -> str:
    return (
        f"only the {len(found.values)} with the best means are compared here, corrected for all "
        f"{found.n_pairs:,} pairs"
    )
