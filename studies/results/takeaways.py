"""What somebody who trains such a network should take from the sweeps, said by the results."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hpo.stats import PairComparison
from studies.results.claims import NOT_SEEN, OPEN, SEEN
from studies.results.evidence import Result
from studies.results.levels import distinct_cells, gap, level, repeatability
from studies.results.words import bullets, count, points, stopped

_MOST_PAIRS: Final = 3
_POINT: Final = 0.01
_CURVES: Final = {
    "epochs_to_target": "Convergence",
    "fluctuation": "Steadiness",
    "accuracy_gap": "Overfitting",
}


def takeaways(results: Sequence[Result]) -> list[str]:
    """Return the lines of the first section."""
    cells = distinct_cells(results)
    parts = (
        _real(results, "validation", lambda r: r.pairs),
        _real(results, "the test", lambda r: r.test_pairs),
        _hidden(results),
        _curves(results),
        level(cells),
        gap(cells),
        repeatability(results, cells),
        _claims(results),
    )
    return [line for part in parts if part for line in (*part, "")]


def _real(
    results: Sequence[Result],
    where: str,
    pairs_of: Callable[[Result], Sequence[PairComparison]],
) -> list[str]:
    """Say which hyperparameters made a real difference, the largest first."""
    judged = [result for result in results if pairs_of(result)]
    if not judged:
        return []
    found = [(result, _largest_first(pairs_of(result))) for result in judged]
    told = sorted(((r, p) for r, p in found if p), key=lambda item: -_size(item[1][0]))
    n = len(judged)
    head = f"**What made a real difference on {where}: {len(told)} of {n} sweeps.**"
    items = [f"{_place(result)}: {_pairs(pairs)}" for result, pairs in told]
    return [head, "", *bullets(items)] if items else [head]


def _largest_first(pairs: Iterable[PairComparison]) -> list[PairComparison]:
    return sorted((pair for pair in pairs if pair.is_real), key=lambda pair: -_size(pair))


def _pairs(pairs: Sequence[PairComparison]) -> str:
    text = "; ".join(pair.sentence for pair in pairs[:_MOST_PAIRS])
    n_more = len(pairs) - _MOST_PAIRS
    return stopped(text + (f"; and {n_more} more" if n_more > 0 else ""))


def _hidden(results: Sequence[Result]) -> list[str]:
    """Say which sweeps show no difference on validation, and how large one could still be."""
    limits = [(result, _largest_bound(result.pairs)) for result in results]
    open_ones = [
        (result, limit)
        for result, limit in limits
        if limit is not None and not any(pair.is_real for pair in result.pairs)
    ]
    if not open_ones:
        return []
    open_ones.sort(key=lambda item: item[1])
    items = [
        f"{_place(result)}: if there is a difference, it is at most {points(limit)}."
        for result, limit in open_ones
    ]
    n_small = sum(limit < _POINT for _, limit in open_ones)
    n = len(results)
    head = (
        f"**What cannot be told on validation: {len(open_ones)} of {n} sweeps.** "
        f"Where the intervals leave no room for a difference of a point ({n_small} of them), the "
        "choice does not matter; elsewhere, not told is not the same as not there."
    )
    return [head, "", *bullets(items)]


def _largest_bound(pairs: Sequence[PairComparison]) -> float | None:
    bounds = [
        max(abs(p.low), abs(p.high)) for p in pairs if p.low is not None and p.high is not None
    ]
    return max(bounds, default=None)


def _curves(results: Sequence[Result]) -> list[str]:
    """Say which differences of the curves are real: the largest of each sweep, by measure."""
    real: dict[str, list[str]] = {}
    for result in results:
        for one in result.curves.comparisons if result.curves else ():
            if one.measure.name in _CURVES and (pairs := _largest_first(one.pairs)):
                texts = real.setdefault(_CURVES[one.measure.name], [])
                texts.append(f"{_place(result)}, {pairs[0].sentence.rstrip('.')}")
    if not real:
        return []
    head = "**What is real of the curves**, the largest difference of each sweep:"
    return [head, "", *bullets(f"{name}: {'; '.join(texts)}." for name, texts in real.items())]


def _claims(results: Sequence[Result]) -> list[str]:
    verdicts = [(result, verdict) for result in results for verdict in result.verdicts]
    if not verdicts:
        return []
    by_outcome = {
        outcome: [f"{r.sweep.report}: {v.claim.text}" for r, v in verdicts if v.outcome == outcome]
        for outcome in (SEEN, NOT_SEEN, OPEN)
    }
    items = [
        f"**{outcome}** ({len(texts)}): {'; '.join(texts) or 'none'}."
        for outcome, texts in by_outcome.items()
    ]
    head = f"**What became of the reports' {count(len(verdicts), 'claim')}.**"
    return [head, "", *bullets(items)]


def _place(result: Result) -> str:
    return f"{result.sweep.name} (report {result.sweep.report})"


def _size(pair: PairComparison) -> float:
    return abs(pair.difference or 0.0)
