"""The tables of a study, made once per view: the terminal prints them, the page shows them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Final, Literal

from hpo.evaluate import Ensemble, Evaluated, Evaluation
from hpo.evaluate.learning_curves import LearningCurves
from hpo.evaluate.records import NUMBERS, SHARES
from hpo.evaluate.studies import Comparison
from hpo.evaluate.thresholds import read_rule
from hpo.space.records import short_text
from hpo.stats import Interval
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary, sentences
from hpo.tables import DASH, Column, Row, Table, duration

_MOST_COLUMNS: Final = 3


def configurations_table(
    summary: StudySummary, *, most: int, is_full: bool = False
) -> tuple[Table, int]:
    """Return the configurations of a study, and how many more than `most` there are.

    A search and a large grid are sorted by score; a grid keeps its order. A full table shows only
    configurations with a score, every parameter in a column, the spread, and the baselines.
    """
    score, is_search = summary.record.score, summary.record.kind == "search"
    configurations = list(summary.configurations)
    if is_search or is_full:
        configurations = [c for c in configurations if c.score]
    if is_search or len(configurations) > most:
        configurations.sort(key=summary.rank, reverse=True)
    shown = configurations[:most]
    columns = _configuration_columns(summary, shown, is_full=is_full)
    rows = [
        Row(tuple(cell(c) for cell in columns.values()), "best" if c is summary.best else "plain")
        for c in shown
    ]
    if is_full and not summary.finalists:
        for name, accuracy in summary.shown_baselines.items():
            cells = {"#": f"baseline: {name}", score.column: score.number(accuracy)}
            rows.append(Row(tuple(cells.get(c.name, "") for c in columns), "reference"))
    return Table(tuple(columns), tuple(rows)), len(configurations) - len(shown)


def _configuration_columns(
    summary: StudySummary, shown: Sequence[Configuration], *, is_full: bool
) -> Mapping[Column, Callable[[Configuration], str]]:
    """Return the columns, and how each writes its cell of a configuration."""
    score = summary.record.score
    names = [n for n in summary.record.names if is_full or any(n in c.params for c in shown)]
    is_wide = len(names) > _MOST_COLUMNS
    columns: dict[Column, Callable[[Configuration], str]] = {}
    in_order = [c.number for c in shown] == list(range(1, len(shown) + 1))
    if is_full or summary.record.kind == "search" or not in_order:
        columns[Column("#")] = lambda c: str(c.number)
    parameters = {Column(name, "text"): _parameter(name) for name in names}
    if not is_wide:
        columns |= parameters
    columns[Column(score.column)] = lambda c: (
        score_cells(c.score, score)[0] if c.score else c.state
    )
    if summary.goal.n_repeats > 1 or is_full:
        columns[Column("95 % interval")] = lambda c: score_cells(c.score, score)[1]
        columns[Column("repeats")] = _repeats
    if is_full:
        columns[Column("deviation")] = lambda c: _deviation(c, score)
    if "epochs" not in names:
        columns[Column("epochs")] = lambda c: str(c.config.epochs)
    columns[Column("time each")] = _time_each
    if is_wide and is_full:
        columns |= parameters
    elif is_wide or not names:
        columns[Column("configuration", "long")] = lambda c: c.label
    return columns


def _parameter(name: str) -> Callable[[Configuration], str]:
    return lambda c: short_text(c.params[name]) if name in c.params else DASH


def _deviation(configuration: Configuration, score: Score) -> str:
    deviation = configuration.score.deviation if configuration.score else None
    return DASH if deviation is None else score.number(deviation)


def _repeats(configuration: Configuration) -> str:
    n_done = len(configuration.scores)
    n = sum(r.repeat < configuration.n_searched for r in configuration.repeats)
    return f"{n_done}" if n_done == n else f"{n_done} of {n}"


def _time_each(configuration: Configuration) -> str:
    seconds = [r.seconds for r in configuration.repeats if r.seconds is not None]
    return duration(fmean(seconds)) if seconds else DASH


def finalists_table(summary: StudySummary) -> Table | None:
    """Return the finalists, best first, then the bases of the reports and the baselines."""
    finalists, score = summary.finalists, summary.record.score
    if finalists is None:
        return None
    rows = []
    for member in finalists.members:
        cells = (score.number(member.searched), *score_cells(member.fresh, score))
        kind: Literal["best", "plain"] = "best" if member is finalists.winner else "plain"
        label = summary.numbered[member.number].label
        rows.append(Row((member.label, *cells, str(member.fresh.n), label), kind))
    for base in summary.reports:
        configuration = base.configuration
        cells = (DASH, *score_cells(configuration.judged_score, score))
        n = str(len(configuration.judged))
        rows.append(Row((base.name, *cells, n, "base configuration of that report"), "reference"))
    for name, accuracy in summary.shown_baselines.items():
        number = score.number(accuracy)
        about = "baseline on the folds of the winner"
        rows.append(Row((name, DASH, number, DASH, DASH, about), "reference"))
    return Table(
        columns=(
            Column("finalist", "text"),
            Column("score in search"),
            Column("score when retrained"),
            Column("95 % interval"),
            Column("repeats"),
            Column("configuration", "long"),
        ),
        rows=tuple(rows),
        notes=tuple(sentences(finalists, summary.record)),
        title=f"Finalists, retrained: {score.column}",
    )


def comparison_table(comparison: Comparison) -> Table:
    """Return a row per configuration of the compared studies."""
    rows, labels = [], []
    for entry in comparison.entries:
        configuration = entry.configuration
        counts = (len(configuration.judged), configuration.config.epochs)
        cells = (entry.name, *score_cells(entry.found, comparison.score), *map(str, counts))
        rows.append(Row(cells, "best" if entry is comparison.best else "plain"))
        if entry.summary.record.kind == "search":
            labels.append(f"{entry.name}: {configuration.label}")
    numbers = (comparison.score.column, "95 % interval", "repeats", "epochs")
    return Table(
        columns=(Column("configuration", "text"), *map(Column, numbers)),
        rows=tuple(rows),
        notes=(*labels, *comparison.notes),
    )


def test_table(evaluation: Evaluation, shown: Sequence[Evaluated]) -> Table:
    """Return a row per metric, its interval on a second line, and a column per configuration."""
    swept = {tuple(c.params) if c.name == c.label else () for c in shown}
    corner, names = "", [c.name for c in shown]
    if len(swept) == 1 and len(name := swept.pop()) == 1:
        corner, names = name[0], [short_text(c.value) for c in shown]
    rows = [
        *_metric_rows(evaluation, shown),
        _row("accuracy gap, points", [c.gap["accuracy"] for c in shown], scale=100, form="+.1f"),
        _row("AUROC gap", [c.gap["auroc"] for c in shown], form="+.2f"),
    ]
    ensembles = [c.ensemble for c in shown]
    if any(ensembles):
        sizes = [f"of {e.n} repeats" if e else DASH for e in ensembles]
        rows.append(Row(("ensemble", *sizes), "heading"))
        if read_rule(evaluation.threshold).is_chosen:
            rows.append(
                Row(("threshold", *(f"{e.threshold:.3f}" if e else DASH for e in ensembles)))
            )
        rows += _metric_rows(evaluation, ensembles)
    return Table(
        columns=(Column(corner, "text"), *map(Column, names)),
        rows=tuple(rows),
        notes=(
            *(f"{c.name}: {c.label}" for c in shown if c.name != c.label),
            "Second lines are 95 % intervals over trainings and patients"
            + (", of an ensemble over patients alone" if any(ensembles) else "")
            + ". Gap: validation minus test.",
        ),
    )


def _metric_rows(
    evaluation: Evaluation, columns: Sequence[Evaluated | Ensemble | None]
) -> Iterator[Row]:
    """Yield a row per metric, and the correct answers; a dash where a column is None."""
    for name, metric in SHARES.items():
        found = [c.metrics[metric] if c else None for c in columns]
        yield _row(f"{name}, %", found, scale=100, form=".1f")
    correct = (f"{c.n_right:.4g} of {evaluation.n_images}" if c else DASH for c in columns)
    yield Row(("correct answers", *correct))
    for name, metric in NUMBERS.items():
        yield _row(name, [c.metrics[metric] if c else None for c in columns])


def _row(
    name: str, found: Sequence[Interval | None], *, scale: float = 1, form: str = ".3f"
) -> Row:
    return Row((name, *(interval_text(i, scale=scale, form=form, between="\n") for i in found)))


def curves_table(found: LearningCurves) -> Table:
    """Return a row per measure of the learning curves, and a column per configuration."""
    rows = [
        Row((one.measure.heading, *("\n".join(lines) for lines in one.cells)))
        for one in found.comparisons
    ]
    labels = (
        f"{value}: {configuration.label}"
        for value, configuration in found.configurations.items()
        if value != configuration.value
    )
    return Table(
        columns=(Column("measure", "text"), *map(Column, found.names)),
        rows=tuple(rows),
        notes=(*labels, *found.about),
        title="Learning curves",
    )


def score_cells(found: Interval | None, score: Score) -> tuple[str, str]:
    """Write a mean and its interval without the unit, a dash where there is none."""
    if found is None or found.mean is None:
        return DASH, DASH
    if found.low is None or found.high is None:
        return score.number(found.mean), DASH
    return score.number(found.mean), f"{score.number(found.low)} to {score.number(found.high)}"


def interval_text(
    found: Interval | None, *, scale: float = 1, form: str = ".3f", between: str = " "
) -> str:
    """Write a mean and, after `between`, its interval; in brackets where both share a line."""
    if found is None or found.mean is None:
        return DASH
    text = f"{scale * found.mean:{form}}"
    if found.low is None or found.high is None:
        return text
    bounds = f"{scale * found.low:{form}} to {scale * found.high:{form}}"
    return text + between + (bounds if between == "\n" else f"({bounds})")
