"""The table by configuration, and what was not finished."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from hpo.plots.axes import interval_text, mean_text, name_of, parameter_text
from hpo.study.score import Score
from hpo.study.summary import Configuration, Repeat, StudySummary

MAX_ROWS: Final = 200

_RESULTS: Final = ("mean", "95 % interval", "repeats", "deviation", "epochs trained", "seconds")


@dataclass(frozen=True)
class Column:
    """A column: its name, and whether it holds numbers, which stand to the right."""

    name: str
    is_number: bool


@dataclass(frozen=True)
class Row:
    """One line: what it is about, and a text per column."""

    name: str
    cells: tuple[str, ...]
    kind: Literal["plain", "best", "baseline"]


@dataclass(frozen=True)
class Table:
    """The table of the page; `n_hidden` configurations of a large study are left out.

    `badge` is what the best row is called.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    n_shown: int
    n_hidden: int
    order: str
    badge: str


@dataclass(frozen=True)
class Unfinished:
    """Trainings that were pruned or failed, a line for each.

    Of very many there are some lines; `n_pruned` and `n_failed` count all.
    """

    pruned: tuple[str, ...]
    failed: tuple[str, ...]
    n_pruned: int
    n_failed: int

    @property
    def n_hidden(self) -> int:
        """How many have no line."""
        return self.n_pruned + self.n_failed - len(self.pruned) - len(self.failed)


def table(summary: StudySummary) -> Table:
    """Return the configurations that have a score: a grid's in its order, a search's by score."""
    scored = [c for c in summary.configurations if c.scores]
    by_score = summary.record.kind == "search" or len(scored) > MAX_ROWS
    if by_score:
        scored.sort(key=summary.rank, reverse=True)
    shown = scored[:MAX_ROWS]
    names = _columns(summary)
    best = summary.best
    rows = [_row(summary, c, is_best=c is best) for c in shown]
    # Those of a search that has finalists are of the folds of these, and stand in their table.
    beside = {} if summary.finalists else summary.shown_baselines
    told = summary.record.score.text
    baselines = [_baseline(name, told(value), names) for name, value in beside.items()]
    return Table(
        columns=tuple(Column(name, name in _RESULTS) for name in names),
        rows=(*rows, *baselines),
        n_shown=len(shown),
        n_hidden=len(scored) - len(shown),
        order=_order(summary, by_score=by_score),
        badge="winner" if summary.finalists else "best mean",
    )


def unfinished(summary: StudySummary) -> Unfinished:
    """Return every pruned and every failed training, with the reason."""
    pruned, failed = [], []
    for configuration in summary.configurations:
        label = name_of(summary, configuration)
        for repeat in configuration.repeats:
            if repeat.state == "pruned":
                words = _pruned_words(repeat, summary.record.score)
                pruned.append(f"{label}, repeat {repeat.number}: {words}")
            elif repeat.state == "failed":
                reason = repeat.reason or "no reason is on record"
                failed.append(f"{label}, repeat {repeat.number}: {reason}")
    return Unfinished(
        pruned=tuple(pruned[:MAX_ROWS]),
        failed=tuple(failed[:MAX_ROWS]),
        n_pruned=len(pruned),
        n_failed=len(failed),
    )


def _order(summary: StudySummary, *, by_score: bool) -> str:
    order = "The best mean stands first." if by_score else "They stand in the grid's order."
    if not summary.finalists:
        return order
    return f"{order} Fresh repeats of finalists do not count here: these are the search's scores."


def _columns(summary: StudySummary) -> list[str]:
    """Return the names of the columns; many parameters do not push the mean out of sight."""
    names = list(summary.record.names)
    n_first = 3 if len(names) > 3 else 0
    return [*_RESULTS[:n_first], *names, *_RESULTS[n_first:]]


def _row(summary: StudySummary, configuration: Configuration, *, is_best: bool) -> Row:
    searched = [r for r in configuration.repeats if r.repeat < configuration.n_searched]
    done = [repeat for repeat in searched if repeat.score is not None]
    n_wanted = max(summary.goal.n_repeats, len(searched))
    found, score = configuration.score, summary.record.score
    deviation = found.deviation if found else None
    results = (
        mean_text(found, score),
        interval_text(found, score),
        str(len(done)) if len(done) == n_wanted else f"{len(done)} of {n_wanted}",
        "-" if deviation is None else score.number(deviation),
        _range([repeat.n_epochs for repeat in done]),
        _seconds([repeat.seconds for repeat in done if repeat.seconds is not None]),
    )
    cells = dict(zip(_RESULTS, results, strict=True))
    cells |= {name: parameter_text(configuration, name) for name in summary.record.names}
    return Row(
        name=f"#{configuration.number}",
        cells=tuple(cells[name] for name in _columns(summary)),
        kind="best" if is_best else "plain",
    )


def _baseline(name: str, accuracy: str, columns: list[str]) -> Row:
    cells = tuple(accuracy if column == "mean" else "" for column in columns)
    return Row(name=f"baseline: {name}", cells=cells, kind="baseline")


def _pruned_words(repeat: Repeat, score: Score) -> str:
    if repeat.last_reported is None:
        return "pruned"
    return f"pruned in epoch {repeat.n_epochs} at {score.text(repeat.last_reported)}"


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _seconds(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    mean = math.fsum(seconds) / len(seconds)
    return f"{mean:.0f}" if mean >= 100 else f"{mean:.3g}"
