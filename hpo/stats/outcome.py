"""What to say of many pairs: every one, or those that differ and a line on the others."""

from typing import Final

from hpo.stats.records import PairComparison, SweepComparison

_MOST_PAIRS: Final = 10


def outcome(found: SweepComparison) -> list[PairComparison | str]:
    """Return what to say: every pair, or of many those that differ, and a line on the others."""
    pairs = found.pairs
    if len(pairs) <= _MOST_PAIRS:
        return list(pairs)
    real = [pair for pair in pairs if pair.is_real]
    n_untested = sum(pair.low is None for pair in pairs)
    n_others = len(pairs) - len(real) - n_untested
    which = "the other" if real else "any of"
    others = f"no difference can be told in {which} {n_others} pairs"
    untested = f"no verdict on {n_untested} pairs: fewer than two repeats of both"
    return [*real, *([others] if n_others else []), *([untested] if n_untested else [])]
