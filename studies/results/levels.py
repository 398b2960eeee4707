"""How good the configurations are, how they fall on the test, how they move from run to run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from hpo.evaluate import Evaluated
from hpo.stats.sentences import label
from hpo.study.summary import Configuration
from studies.results.claims import TEST, VALIDATION
from studies.results.evidence import Result
from studies.results.words import count, estimate, listed, percent, points

# Two single runs of one cell differ by less than this many deviations in 19 of 20 cases: the
# repeatability limit of ISO 5725, 1.96 times the square root of 2.
_LIMIT: Final = 2.77
# how `hpo.evaluate` begins the note that the threshold alone is to blame
_RANKS: Final = "The ranking holds"


@dataclass(frozen=True)
class Cell:
    """One configuration, wherever it first appears; several sweeps share some."""

    result: Result
    configuration: Configuration
    tested: Evaluated | None

    @property
    def name(self) -> str:
        """Where it stands: `report A, loss bce`."""
        sweep = self.result.sweep
        return f"report {sweep.report}, {sweep.name} {label(self.configuration.value)}"


def distinct_cells(results: Sequence[Result]) -> list[Cell]:
    """Return every configuration once."""
    cells: dict[str, Cell] = {}
    for result in results:
        for configuration in result.summary.configurations:
            cell = Cell(result, configuration, result.tested(configuration))
            cells.setdefault(configuration.config.identity(), cell)
    return list(cells.values())


def level(cells: Sequence[Cell]) -> list[str]:
    """Say how good these networks are at all, beside a model that needs no network."""
    scored = [(c, s) for c in cells if (s := c.configuration.score) and s.mean is not None]
    if not scored:
        return []
    means = {id(cell): score.mean or 0.0 for cell, score in scored}
    best, score = max(scored, key=lambda item: means[id(item[0])])
    text = (
        f"**How good they get.** Over {count(len(scored), 'configuration')} the validation "
        f"accuracy is {percent(min(means.values()))} to {percent(max(means.values()))} %, the "
        f"median {percent(median(means.values()))} %; the best mean is that of {best.name}: "
        f"{estimate(score)} %."
    )
    if baselines := best.result.summary.baselines:
        named = [f"{name} {percent(value)} %" for name, value in baselines.items()]
        n_above = sum(mean > max(baselines.values()) for mean in means.values())
        text += (
            f" Without a network: {listed(named)}; {n_above} of {len(scored)} configurations have "
            "a higher mean than that."
        )
    return [text]


def gap(cells: Sequence[Cell]) -> list[str]:
    """Say how far the test lies below validation, and whether threshold or ranking fail."""
    by_name = {cell.name: cell.tested for cell in cells if cell.tested}
    tested = list(by_name.values())
    gaps = [m for t in tested if (m := t.gap["accuracy"].mean) is not None]
    if not gaps:
        return []
    n_real = sum((t.gap["accuracy"].low or 0) > 0 for t in tested)
    reasons = [
        f"{name}: {note}"
        for name, one in by_name.items()
        for note in one.notes
        if note.startswith(_RANKS)
    ]
    text = (
        f"**How far the test lies below validation.** By {points(median(gaps))} in the median of "
        f"{count(len(gaps), 'configuration')} ({percent(min(gaps))} to {percent(max(gaps))}); in "
        f"{n_real} of them its whole interval is above zero. {_shift(tested)}"
    )
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


def _shift(tested: Sequence[Evaluated]) -> str:
    def mean(name: str) -> float:
        return fmean(m for t in tested if (m := t.metrics[name].mean) is not None)

    auroc_gap = fmean(m for t in tested if (m := t.gap["auroc"].mean) is not None)
    return (
        f"On the test the mean AUROC is {mean('auroc'):.3f} ({mean('auroc') + auroc_gap:.3f} on "
        f"validation), at the threshold 0.5 the mean sensitivity {percent(mean('sensitivity'))} % "
        f"and the mean specificity {percent(mean('specificity'))} %."
    )


def repeatability(results: Sequence[Result], cells: Sequence[Cell]) -> list[str]:
    """Say how much one cell moves from run to run, beside what the reports' winners lead by."""
    scores = [s.deviation for c in cells if (s := c.configuration.score)]
    tests = [c.tested.metrics["accuracy"].deviation for c in cells if c.tested]
    limits = [
        f"{points(_LIMIT * median(found))} on {where}"
        for where, deviations in (("validation", scores), ("the test", tests))
        if (found := [d for d in deviations if d is not None])
    ]
    if not limits:
        return []
    text = (
        "**How much one and the same configuration moves from run to run.** Two single runs of "
        "it, with another seed and fold, differ by less than this in 19 of 20 cases (2.77 "
        f"standard deviations of its repeats, median over configurations): {listed(limits)}."
    )
    leads = [
        (lead, limit) for r in results if (lead := _lead(r)) is not None and (limit := _limit(r))
    ]
    if leads:
        n_within = sum(lead <= limit for lead, limit in leads)
        text += (
            f" The winners of the reports lead the runner-up by {min(leads)[0]:.1f} to "
            f"{max(leads)[0]:.1f} points; {n_within} of {len(leads)} leads are within what two "
            "runs of one configuration (for report C, two means of five) differ by here."
        )
    return [text]


def _lead(result: Result) -> float | None:
    """Return by how many points a report's winner led the runner-up, None where none did."""
    figures = sorted(result.sweep.figures.values(), reverse=True)
    return figures[0] - figures[1] if len(set(figures[:2])) > 1 else None


def _limit(result: Result) -> float | None:
    """Return by how many points two results of one cell, made as in the report, differ here."""
    if result.sweep.split == TEST:
        tested = result.evaluation.configurations if result.evaluation else ()
        deviations = [t.metrics["accuracy"].deviation for t in tested]
    else:
        assert result.sweep.split == VALIDATION
        deviations = [c.score.deviation for c in result.summary.configurations if c.score]
    known = [d for d in deviations if d is not None]
    return 100 * _LIMIT * median(known) / math.sqrt(result.sweep.n_runs) if known else None
