"""What somebody who trains such a network should take from the sweeps, said by the results."""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median
from typing import Final, TypeAlias

from hpo.evaluate import Evaluated
from hpo.stats import PairComparison
from hpo.stats.sentences import label
from hpo.study.summary import Configuration
from studies.results.claims import NOT_SEEN, OPEN, SEEN, TEST
from studies.results.markdown import bullets, count, estimate, listed, percent, stopped
from studies.results.work import Result

Cell: TypeAlias = tuple[Result, Configuration, Evaluated | None]
"""A configuration with the sweep where it first appears, and its test result."""

_MOST_PAIRS: Final = 3
_POINT: Final = 0.01
_CURVES: Final = {
    "epochs_to_target": "Convergence",
    "fluctuation": "Steadiness",
    "accuracy_gap": "Overfitting",
}
# Two single runs of one cell differ by less than this many deviations in 19 of 20 cases: the
# repeatability limit of ISO 5725, 1.96 times the square root of 2.
_LIMIT: Final = 2.77
# How `hpo.evaluate` begins the note that the threshold alone is to blame, and how it did before.
_RANKS_WELL: Final = ("The model ranks test images well", "The ranking holds")


def takeaways(results: Sequence[Result]) -> list[str]:
    """Return the lines of the first section."""
    cells = distinct_cells(results)
    parts = (
        _real(results, "validation", lambda r: r.pairs),
        _real(results, "the test", lambda r: r.test_pairs),
        _open(results),
        _curves(results),
        _levels(cells),
        _gaps(cells),
        _repeatability(results, cells),
        _claims(results),
    )
    return [line for part in parts if part for line in (*part, "")]


def distinct_cells(results: Sequence[Result]) -> list[Cell]:
    """Return every configuration once; several sweeps share some."""
    cells: dict[str, Cell] = {}
    for result in results:
        for configuration in result.summary.configurations:
            cell = (result, configuration, result.tested(configuration))
            cells.setdefault(configuration.config.identity(), cell)
    return list(cells.values())


def _real(
    results: Sequence[Result],
    where: str,
    pairs_of: Callable[[Result], Sequence[PairComparison]],
) -> list[str]:
    """Say which hyperparameters made a significant difference, the largest first."""
    judged = [(result, pairs) for result in results if (pairs := pairs_of(result))]
    if not judged:
        return []
    found = [(result, real) for result, pairs in judged if (real := _largest_first(pairs))]
    found.sort(key=lambda item: -_size(item[1][0]))
    head = f"**What made a real difference on {where}: {len(found)} of {len(judged)} sweeps.**"
    items = []
    for result, pairs in found:
        shown = "; ".join(pair.sentence.rstrip(".") for pair in pairs[:_MOST_PAIRS])
        n_more = len(pairs) - _MOST_PAIRS
        items.append(stopped(f"{_place(result)}: {shown}" + f"; and {n_more} more" * (n_more > 0)))
    return [head, "", *bullets(items)] if items else [head]


def _open(results: Sequence[Result]) -> list[str]:
    """Say which sweeps show no difference on validation, and how large one could still be."""
    limits = []
    for result in results:
        bounds = [
            (p.low, p.high) for p in result.pairs if p.low is not None and p.high is not None
        ]
        if bounds and not any(pair.is_real for pair in result.pairs):
            limits.append((max(abs(bound) for pair in bounds for bound in pair), _place(result)))
    if not limits:
        return []
    items = [
        f"{place}: if there is a difference, it is at most {percent(limit)} points."
        for limit, place in sorted(limits, key=lambda item: item[0])
    ]
    n_small = sum(limit < _POINT for limit, _ in limits)
    head = (
        f"**What remains open on validation: {len(limits)} of {len(results)} sweeps.** Where the "
        f"intervals leave no room for a difference of a point ({n_small} of them), the choice "
        "does not matter; elsewhere there may be a difference that these trainings cannot show."
    )
    return [head, "", *bullets(items)]


def _curves(results: Sequence[Result]) -> list[str]:
    """Say which differences of the curves are significant: the largest of each, by measure."""
    real: dict[str, list[str]] = {}
    for result in results:
        for one in result.curves.comparisons if result.curves else ():
            if one.name in _CURVES and (pairs := _largest_first(one.pairs)):
                texts = real.setdefault(_CURVES[one.name], [])
                texts.append(f"{_place(result)}, {pairs[0].sentence.rstrip('.')}")
    if not real:
        return []
    head = "**What is real of the curves**, the largest difference of each sweep:"
    return [head, "", *bullets(f"{name}: {'; '.join(texts)}." for name, texts in real.items())]


def _levels(cells: Sequence[Cell]) -> list[str]:
    """Say how good these networks are at all, compared with a model that needs no network."""
    scored = [(mean, r, c) for r, c, _ in cells if c.score and (mean := c.score.mean) is not None]
    if not scored:
        return []
    means = [mean for mean, *_ in scored]
    _, result, best = max(scored, key=lambda item: item[0])
    sweep = result.sweep
    text = (
        f"**How good they get.** Over {count(len(scored), 'configuration')} the validation "
        f"accuracy is {percent(min(means))} to {percent(max(means))} %, the median "
        f"{percent(median(means))} %; the best mean is that of report {sweep.report}, "
        f"{sweep.name} {label(best.value)}: {estimate(best.score)} %."
    )
    if baselines := result.summary.baselines:
        named = [f"{name} {percent(value)} %" for name, value in baselines.items()]
        n_above = sum(mean > max(baselines.values()) for mean in means)
        text += (
            f" Without a network: {listed(named)}; {n_above} of {len(scored)} configurations have "
            "a higher mean than that."
        )
    return [text]


def _gaps(cells: Sequence[Cell]) -> list[str]:
    """Say how far the test lies below validation, and whether threshold or ranking fail."""
    tested = [(result, one) for result, _, one in cells if one]
    gaps = [m for _, one in tested if (m := one.gap["accuracy"].mean) is not None]
    if not gaps:
        return []
    every = [one for _, one in tested]
    auroc, sensitivity, specificity = (
        fmean(m for one in every if (m := one.metrics[name].mean) is not None)
        for name in ("auroc", "sensitivity", "specificity")
    )
    auroc_gap = fmean(m for one in every if (m := one.gap["auroc"].mean) is not None)
    n_real = sum((one.gap["accuracy"].low or 0) > 0 for one in every)
    text = (
        f"**How far the test lies below validation.** By {percent(median(gaps))} points in the "
        f"median of {count(len(gaps), 'configuration')} ({percent(min(gaps))} to "
        f"{percent(max(gaps))}); in {n_real} of them its whole interval is above zero. On the "
        f"test the mean AUROC is {auroc:.3f} ({auroc + auroc_gap:.3f} on validation), at the "
        f"threshold 0.5 the mean sensitivity {percent(sensitivity)} % and the mean specificity "
        f"{percent(specificity)} %."
    )
    reasons = [
        f"report {result.sweep.report}, {result.sweep.name} {label(one.value)}: {note}"
        for result, one in tested
        for note in one.notes
        if note.startswith(_RANKS_WELL)
    ]
    if reasons:
        text += (
            f" In {len(reasons)} of {len(tested)} the ranking holds and the threshold is off; for "
            f"example {reasons[0]}"
        )
    if 2 * len(reasons) > len(tested):
        text += (
            " Who uses such a network on images from elsewhere has to set its threshold on images "
            "from there: none of these hyperparameters does that."
        )
    elif not reasons:
        text += " In none of them is the threshold alone to blame: the ranking suffers too."
    return [text]


def _repeatability(results: Sequence[Result], cells: Sequence[Cell]) -> list[str]:
    """Say how much one cell moves from run to run, compared with what the winners lead by."""
    scores = [c.score.deviation for _, c, _ in cells if c.score]
    tests = [one.metrics["accuracy"].deviation for *_, one in cells if one]
    limits = [
        f"{percent(limit)} points on {where}"
        for where, deviations in (("validation", scores), ("the test", tests))
        if (limit := _limit(deviations)) is not None
    ]
    if not limits:
        return []
    text = (
        "**How much one and the same configuration moves from run to run.** Two single runs of "
        "it, with another seed and fold, differ by less than this in 19 of 20 cases (2.77 "
        f"standard deviations of its repeats, median over configurations): {listed(limits)}."
    )
    leads = []
    for result in results:
        figures = sorted(result.sweep.figures.values(), reverse=True)
        deviations = [c.score.deviation for c in result.summary.configurations if c.score]
        if result.sweep.split == TEST:
            every = result.evaluation.configurations if result.evaluation else ()
            deviations = [one.metrics["accuracy"].deviation for one in every]
        limit = _limit(deviations)
        # The lead of a report's winner, where there is one, and what two results as made there
        # differ by here.
        if limit and len(set(figures[:2])) > 1:
            reach = 100 * limit / math.sqrt(result.sweep.n_runs)
            leads.append((figures[0] - figures[1], reach))
    if leads:
        n_within = sum(lead <= reach for lead, reach in leads)
        text += (
            f" The winners of the reports lead the runner-up by {min(leads)[0]:.1f} to "
            f"{max(leads)[0]:.1f} points; {n_within} of {len(leads)} leads are within what two "
            "runs of one configuration (for report C, two means of five) differ by here."
        )
    return [text]


def _claims(results: Sequence[Result]) -> list[str]:
    verdicts = [(result, verdict) for result in results for verdict in result.verdicts]
    if not verdicts:
        return []
    items = []
    for outcome in (SEEN, NOT_SEEN, OPEN):
        texts = [f"{r.sweep.report}: {v.claim.text}" for r, v in verdicts if v.outcome == outcome]
        items.append(f"**{outcome}** ({len(texts)}): {'; '.join(texts) or 'none'}.")
    head = f"**What became of the reports' {count(len(verdicts), 'claim')}.**"
    return [head, "", *bullets(items)]


def _largest_first(pairs: Iterable[PairComparison]) -> list[PairComparison]:
    return sorted((pair for pair in pairs if pair.is_real), key=lambda pair: -_size(pair))


def _size(pair: PairComparison) -> float:
    return abs(pair.difference or 0.0)


def _limit(deviations: Iterable[float | None]) -> float | None:
    """Return what two single runs differ by in 5 % of cases, in the median of configurations."""
    known = [deviation for deviation in deviations if deviation is not None]
    return _LIMIT * median(known) if known else None


def _place(result: Result) -> str:
    return f"{result.sweep.name} (report {result.sweep.report})"
