"""The history of a study: the score of each configuration in order, and the best so far."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from plotly import graph_objects as go

from hpo.plots.labels import configuration_label, list_text, parameter_lines, percent, score_text
from hpo.plots.scores import (
    SCORE_TICKS,
    SCORE_TITLE,
    Range,
    Reference,
    draw_references,
    references_caption,
    score_axis,
)
from hpo.plots.style import GRAY, color, count_axis, lines, new_figure
from hpo.summary import Configuration, StudySummary

PointState = Literal["complete", "unfinished", "pruned"]

_LOOKS: Final[dict[PointState, tuple[str, str, str]]] = {
    "complete": ("complete", color(0), "circle"),
    "unfinished": ("with repeats missing", color(0), "circle-open"),
    "pruned": ("pruned, at its last epoch", GRAY, "x-thin-open"),
}


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """A configuration, counted from 1; `details` are lines of text."""

    number: int
    state: PointState
    score: float
    details: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HistoryInfo:
    """The scores in order; `best` holds (number, score) where the best so far changes."""

    n_configurations: int
    points: tuple[HistoryPoint, ...]
    best: tuple[tuple[int, float], ...]
    references: tuple[Reference, ...]
    score_range: Range
    caption: str


def history_info(summary: StudySummary) -> HistoryInfo | None:
    """Extract the history; None while there is no score."""
    points = tuple(
        point
        for number, configuration in enumerate(summary.configurations, start=1)
        if (point := _point(summary, number, configuration))
    )
    if not points:
        return None
    score_range, references = score_axis(summary, [point.score for point in points])
    return HistoryInfo(
        n_configurations=len(summary.configurations),
        points=points,
        best=_best(points),
        references=references,
        score_range=score_range,
        caption=_caption(summary, points) + references_caption(references),
    )


def draw_history(info: HistoryInfo) -> go.Figure:
    """Draw the points by state and the best so far as steps."""
    figure = new_figure(height=380, x_title="configuration, in order", y_title=SCORE_TITLE)
    margin = 0.5 + 0.01 * info.n_configurations
    span = (1 - margin, info.n_configurations + margin)
    figure.update_xaxes(count_axis(*span))
    figure.update_yaxes(range=list(info.score_range), tickformat=SCORE_TICKS)
    draw_references(figure, info.references, span)
    if info.best:
        numbers, scores = zip(*info.best, strict=True)
        figure.add_trace(
            go.Scatter(
                x=[*numbers, info.n_configurations],
                y=[*scores, scores[-1]],
                mode="lines",
                line={"shape": "hv", "color": color(1), "width": 2},
                name="best so far",
                hoverinfo="skip",
            )
        )
    for state in _LOOKS:
        points = [point for point in info.points if point.state == state]
        if points:
            figure.add_trace(_markers(points, state))
    return figure


def _point(
    summary: StudySummary, number: int, configuration: Configuration
) -> HistoryPoint | None:
    details = parameter_lines(configuration, summary.record.names)
    label = configuration_label(summary, number)
    if configuration.state == "pruned":
        cut = next(r for r in configuration.repeats if r.state == "pruned")
        last = cut.last_reported
        if last is None or not math.isfinite(last):
            return None
        words = f"pruned in epoch {cut.n_epochs} at {percent(last)}"
        return HistoryPoint(number, "pruned", last, (label, words, *details))
    if configuration.score is None or configuration.score.mean is None:
        return None
    state: PointState = "complete" if configuration.state == "complete" else "unfinished"
    words = score_text(configuration.score)
    return HistoryPoint(number, state, configuration.score.mean, (label, words, *details))


def _best(points: tuple[HistoryPoint, ...]) -> tuple[tuple[int, float], ...]:
    best: list[tuple[int, float]] = []
    for point in points:
        if point.state == "complete" and (not best or point.score > best[-1][1]):
            best.append((point.number, point.score))
    return tuple(best)


def _caption(summary: StudySummary, points: tuple[HistoryPoint, ...]) -> str:
    order = "the grid's order" if summary.record.kind == "grid" else "the order they were tried in"
    caption = f"Each point is the mean score of a configuration, in {order}; the line is the best "
    caption += "so far, which rises by luck too the more configurations are tried."
    n_pruned = sum(point.state == "pruned" for point in points)
    if n_pruned:
        caption += f" Crosses ({n_pruned}) were pruned: stopped early, at the score they had then."
    failed = [
        configuration_label(summary, number)
        for number, configuration in enumerate(summary.configurations, start=1)
        if configuration.state == "failed"
    ]
    return caption + (f" With a failed training: {list_text(failed)}." if failed else "")


def _markers(points: list[HistoryPoint], state: PointState) -> go.Scatter:
    name, shade, symbol = _LOOKS[state]
    return go.Scatter(
        x=[point.number for point in points],
        y=[point.score for point in points],
        mode="markers",
        marker={"color": shade, "symbol": symbol, "size": 9, "line": {"width": 2, "color": shade}},
        name=name,
        hoverinfo="text",
        hovertext=[lines(point.details) for point in points],
    )
