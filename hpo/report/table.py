"""The table by configuration, and what was not finished."""

import math
from dataclasses import dataclass
from typing import Final

from hpo.plots import configuration_label, interval_text, parameter_text, percent
from hpo.summary import Configuration, Repeat, StudySummary

MAX_ROWS: Final = 200


@dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration with a score, as text."""

    number: int
    values: tuple[str, ...]
    mean: str
    interval: str
    n_repeats: str
    deviation: str
    epochs: str
    seconds: str
    is_best: bool


@dataclass(frozen=True)
class Table:
    """The rows of the page; `n_hidden` configurations of a large study are left out."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    baselines: tuple[tuple[str, str], ...]
    n_hidden: int


@dataclass(frozen=True)
class Unfinished:
    """Trainings that were pruned or failed, a line for each, and how many more there are."""

    pruned: tuple[str, ...]
    failed: tuple[str, ...]
    n_hidden: int


def table(summary: StudySummary) -> Table:
    """Return the configurations that have a score: a grid's in its order, a search's by score."""
    scored = [(i, c) for i, c in enumerate(summary.configurations, start=1) if c.scores]
    if summary.record.kind == "search" or len(scored) > MAX_ROWS:
        scored.sort(key=lambda numbered: -_mean(numbered[1]))
    return Table(
        names=summary.record.names,
        rows=tuple(_row(summary, number, c) for number, c in scored[:MAX_ROWS]),
        baselines=tuple((name, percent(score, 2)) for name, score in summary.baselines.items()),
        n_hidden=max(0, len(scored) - MAX_ROWS),
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
                failed.append(f"{label}, repeat {repeat.repeat}, trial {repeat.trial}: {reason}")
    n_hidden = max(0, len(pruned) - MAX_ROWS) + max(0, len(failed) - MAX_ROWS)
    return Unfinished(tuple(pruned[:MAX_ROWS]), tuple(failed[:MAX_ROWS]), n_hidden)


def _row(summary: StudySummary, number: int, configuration: Configuration) -> Row:
    score = configuration.score
    done = [repeat for repeat in configuration.repeats if repeat.score is not None]
    n_wanted = max(summary.goal.n_repeats, len(configuration.repeats))
    return Row(
        number=number,
        values=tuple(parameter_text(configuration, name) for name in summary.record.names),
        mean=_percent(score.mean if score else None),
        interval=interval_text(score),
        n_repeats=str(len(done)) if len(done) == n_wanted else f"{len(done)} of {n_wanted}",
        deviation=_percent(score.deviation if score else None),
        epochs=_range([len(repeat.reported) for repeat in done]),
        seconds=_seconds([repeat.seconds for repeat in done if repeat.seconds is not None]),
        is_best=configuration is summary.best,
    )


def _pruned_words(repeat: Repeat) -> str:
    if not repeat.reported:
        return "pruned"
    return f"pruned in epoch {len(repeat.reported)} at {percent(repeat.reported[-1])}"


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
