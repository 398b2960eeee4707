"""What somebody who trains such a network should take from the sweeps, said by the results."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Final, TypeAlias

from studies.results.claims import NOT_SEEN, OPEN, SEEN, TEST
from studies.results.figures import WEIGHTS, Answer, Result, Value
from studies.results.markdown import bullets, count, estimate, listed, percent, stopped

Cell: TypeAlias = tuple[Result, Value]
"""A configuration with the sweep where it first appears."""

_ANSWERS: Final[dict[Answer, str]] = {
    "matters": "Matters",
    "does not matter": "Does not matter",
    "undecided": "Undecided",
}
# Two single runs of one cell differ by less than this many deviations in 19 of 20 cases: the
# repeatability limit of ISO 5725, 1.96 times the square root of 2.
_LIMIT: Final = 2.77
# How `hpo.evaluate` begins the note that the threshold alone is to blame, and how it did before.
_RANKS_WELL: Final = ("The model ranks test images well", "The ranking holds")


def takeaways(results: Sequence[Result]) -> list[str]:
    """Return the lines of the first section."""
    cells = distinct_values(results)
    parts = (
        _answers(results),
        _test(results),
        _curves(results),
        _levels(cells),
        _gaps(cells),
        _repeatability(results, cells),
        _claims(results),
    )
    return [line for part in parts if part for line in (*part, "")]


def distinct_values(results: Sequence[Result]) -> list[Cell]:
    """Return every configuration once; several sweeps share some."""
    cells: dict[str, Cell] = {}
    for result in results:
        for value in result.values:
            cells.setdefault(value.identity, (result, value))
    return list(cells.values())


def _answers(results: Sequence[Result]) -> list[str]:
    """Say what to do with each hyperparameter: choose it, leave it, or expect no answer."""
    by_answer: dict[Answer, list[Result]] = {answer: [] for answer in _ANSWERS}
    for result in results:
        if result.verdict and result.verdict.headline:
            by_answer[result.verdict.answer].append(result)
    do = {
        "matters": "choose with care: {}",
        "does not matter": "leave at any of the values tried: {}",
        "undecided": "do not tune by a few trainings, which cannot tell the values apart: {}",
    }
    said = [do[answer].format(_named(found)) for answer, found in by_answer.items() if found]
    if not said:
        return []
    lines = [f"**If you train such a network**: {'; '.join(said)}."]
    for answer, found in by_answer.items():
        lines += ["", f"**{_ANSWERS[answer]}: {len(found)} of {len(results)} sweeps.**"]
        lines += ["", *bullets(map(_said, found))] if found else []
    return lines


def _named(results: Sequence[Result]) -> str:
    """Write `loss (report A), batch_size (reports C and E)`."""
    reports: dict[str, list[str]] = {}
    for result in results:
        reports.setdefault(result.sweep.name, []).append(result.sweep.report)
    return ", ".join(
        f"{name} ({'report' if len(found) == 1 else 'reports'} {listed(found)})"
        for name, found in reports.items()
    )


def _said(result: Result) -> str:
    """Say what a sweep found, and where the other weights say something else."""
    assert result.verdict
    others = [
        f"By the {WEIGHTS[kind]}: {verdict.headline}"
        for kind, verdict in result.verdicts.items()
        if verdict.headline and verdict.answer != result.verdict.answer
    ]
    first = f"{_place(result)}, {count(result.n_repeats, 'repeat')}: {result.verdict.headline}"
    return " ".join((first, *others))


def _test(results: Sequence[Result]) -> list[str]:
    """Say which differences the test shows, the largest of each sweep."""
    tested = [result for result in results if result.test_pairs]
    if not tested:
        return []
    items = []
    for result in tested:
        real = [pair for pair in result.test_pairs if pair.is_real]
        if real:
            largest = max(real, key=lambda pair: abs(pair.difference or 0.0))
            items.append(stopped(f"{_place(result)}: {largest.sentence}"))
    head = f"**Different on the test: {len(items)} of {len(tested)} sweeps.**"
    return [head, "", *bullets(items)] if items else [head]


def _curves(results: Sequence[Result]) -> list[str]:
    """Say which differences of the curves are significant: the largest of each, by measure."""
    real: dict[str, list[str]] = {}
    for result in results:
        for name, text in result.curves.largest.items() if result.curves else ():
            real.setdefault(name, []).append(f"{_place(result)}, {text.rstrip('.')}")
    if not real:
        return []
    head = "**What is real of the curves**, the largest difference of each sweep:"
    return [head, "", *bullets(f"{name}: {'; '.join(texts)}." for name, texts in real.items())]


def _levels(cells: Sequence[Cell]) -> list[str]:
    """Say how good these networks are at all, compared with a model that needs no network."""
    scored = [(mean, r, v) for r, v in cells if v.score and (mean := v.score.mean) is not None]
    if not scored:
        return []
    means = [mean for mean, *_ in scored]
    _, result, best = max(scored, key=lambda item: item[0])
    sweep = result.sweep
    text = (
        f"**How good they get.** Over {count(len(scored), 'configuration')} the validation "
        f"accuracy is {percent(min(means))} to {percent(max(means))} %, the median "
        f"{percent(median(means))} %; the best mean is that of report {sweep.report}, "
        f"{sweep.name} {best.label}: {estimate(best.score)} %."
    )
    if baselines := result.baselines:
        named = [f"{name} {percent(value)} %" for name, value in baselines.items()]
        n_above = sum(mean > max(baselines.values()) for mean in means)
        text += (
            f" Without a network: {listed(named)}; {n_above} of {len(scored)} configurations have "
            "a higher mean than that."
        )
    return [text]


def _gaps(cells: Sequence[Cell]) -> list[str]:
    """Say how far the test lies below validation, and whether threshold or ranking fail."""
    tested = [(result, value) for result, value in cells if value.test]
    gaps = [m for _, one in tested if (m := one.gap["accuracy"].mean) is not None]
    if not gaps:
        return []
    every = [value for _, value in tested]
    auroc, sensitivity, specificity = (
        fmean(m for one in every if (m := one.test[name].mean) is not None)
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
        f"report {result.sweep.report}, {result.sweep.name} {one.label}: {note}"
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
    scores = [value.score.deviation for _, value in cells if value.score]
    tests = [value.test["accuracy"].deviation for _, value in cells if value.test]
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
        deviations = [value.score.deviation for value in result.values if value.score]
        if result.sweep.split == TEST:
            deviations = [v.test["accuracy"].deviation for v in result.values if v.test]
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
    claims = [(result.sweep.report, claim) for result in results for claim in result.claims]
    if not claims:
        return []
    items = []
    for outcome in (SEEN, NOT_SEEN, OPEN):
        texts = [f"{report}: {claim.text}" for report, claim in claims if claim.outcome == outcome]
        items.append(f"**{outcome}** ({len(texts)}): {'; '.join(texts) or 'none'}.")
    head = f"**What became of the reports' {count(len(claims), 'claim')}.**"
    return [head, "", *bullets(items)]


def _limit(deviations: Iterable[float | None]) -> float | None:
    """Return what two single runs differ by in 5 % of cases, in the median of configurations."""
    known = [deviation for deviation in deviations if deviation is not None]
    return _LIMIT * median(known) if known else None


def _place(result: Result) -> str:
    return f"{result.sweep.name} (report {result.sweep.report})"
