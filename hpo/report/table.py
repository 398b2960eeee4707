"""The table by configuration, and what was not finished."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from hpo.plots import configuration_label, interval_text, parameter_text, percent
from hpo.summary import Configuration, Repeat, StudySummary

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
    """The table of the page; `n_hidden` configurations of a large study are left out."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    n_shown: int
    n_hidden: int
    order: str


@dataclass(frozen=True)
class Unfinished:
    """Trainings that were pruned or failed, a line for each, and how many more there are."""

    pruned: tuple[str, ...]
    failed: tuple[str, ...]
    n_hidden: int


def table(summary: StudySummary) -> Table:
    """Return the configurations that have a score: a grid's in its order, a search's by score."""
    scored = [(i, c) for i, c in enumerate(summary.configurations, start=1) if c.scores]
    by_score = summary.record.kind == "search" or len(scored) > MAX_ROWS
    if by_score:
        scored.sort(key=lambda numbered: -_mean(numbered[1]))
    shown = scored[:MAX_ROWS]
    names = _columns(summary)
    best = summary.best
    rows = [_row(summary, number, c, is_best=c is best) for number, c in shown]
    baselines = [_baseline(name, score, names) for name, score in summary.baselines.items()]
    return Table(
        columns=tuple(Column(name, name in _RESULTS) for name in names),
        rows=(*rows, *baselines),
        n_shown=len(shown),
        n_hidden=len(scored) - len(shown),
        order="The best mean stands first." if by_score else "They stand in the grid's order.",
    )


def unfinished(summary: StudySummary) -> Unfinished:
    """Return every pruned and every failed training, with the reason."""
    pruned, failed = [], []
    for number, configuration in enumerate(summary.configurations, start=1):
        label = configuration_label(summary, number)
        for repeat in configuration.repeats:
            if repeat.state == "pruned":
                pruned.append(f"{label}, trial {repeat.trial}: {_pruned_words(repeat)}")
            elif repeat.state == "failed":
                reason = repeat.reason or "no reason is on record"
                failed.append(f"{label}, trial {repeat.trial}, seed {repeat.seed}: {reason}")
    n_hidden = max(0, len(pruned) - MAX_ROWS) + max(0, len(failed) - MAX_ROWS)
    return Unfinished(tuple(pruned[:MAX_ROWS]), tuple(failed[:MAX_ROWS]), n_hidden)


def _columns(summary: StudySummary) -> list[str]:
    """Return the names of the columns; many parameters do not push the mean out of sight."""
    names = list(summary.record.names)
    n_first = 3 if len(names) > 3 else 0
    return [*_RESULTS[:n_first], *names, *_RESULTS[n_first:]]


def _row(
    summary: StudySummary, number: int, configuration: Configuration, *, is_best: bool
) -> Row:
    done = [repeat for repeat in configuration.repeats if repeat.score is not None]
    n_wanted = max(summary.goal.n_repeats, len(configuration.repeats))
    score = configuration.score
    results = (
        _percent(score.mean if score else None),
        interval_text(score),
        str(len(done)) if len(done) == n_wanted else f"{len(done)} of {n_wanted}",
        _percent(score.deviation if score else None),
        _range([repeat.n_epochs for repeat in done]),
        _seconds([repeat.seconds for repeat in done if repeat.seconds is not None]),
    )
    cells = dict(zip(_RESULTS, results, strict=True))
    cells |= {name: parameter_text(configuration, name) for name in summary.record.names}
    return Row(
        name=f"#{number}",
        cells=tuple(cells[name] for name in _columns(summary)),
        kind="best" if is_best else "plain",
    )


def _baseline(name: str, score: float, columns: list[str]) -> Row:
    cells = tuple(percent(score, 2) if column == "mean" else "" for column in columns)
    return Row(name=f"baseline: {name}", cells=cells, kind="baseline")


def _pruned_words(repeat: Repeat) -> str:
    if repeat.last_reported is None:
        return "pruned"
    return f"pruned in epoch {repeat.n_epochs} at {percent(repeat.last_reported)}"


def _mean(configuration: Configuration) -> float:
    mean = configuration.score.mean if configuration.score else None
    return -math.inf if mean is None else mean


def _percent(value: float | None) -> str:
    return "-" if value is None else percent(value, 2)


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _seconds(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    mean = math.fsum(seconds) / len(seconds)
    return f"{mean:.0f}" if mean >= 100 else f"{mean:.3g}"
