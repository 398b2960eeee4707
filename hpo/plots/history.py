"""The history of a study: the score of each configuration in order, and the best so far."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from plotly import graph_objects as go

from hpo.plots.labels import (
    configuration_label,
    direction_text,
    list_text,
    score_text,
)
from hpo.plots.scores import ScoreAxis, draw_references, references_caption, score_axis
from hpo.plots.style import GRAY, color, count_axis, lines, new_figure
from hpo.plots.thinning import thinned, thinned_text
from hpo.space.records import params_lines
from hpo.study.score import Score
from hpo.study.summary import Configuration, Repeat, StudySummary

MAX_SCORES: Final = 600
MAX_PRUNED: Final = 200

PointState = Literal["complete", "unfinished", "pruned", "finalist"]

_LOOKS: Final[dict[PointState, tuple[str, str, str]]] = {
    "complete": ("complete", color(0), "circle"),
    "unfinished": ("with repeats missing", color(0), "circle-open"),
    "pruned": ("pruned, at its last epoch", GRAY, "x-thin-open"),
    "finalist": ("finalist, trained again", color(2), "diamond"),
}


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """A configuration, counted from 1; `details` are lines of text."""

    number: int
    state: PointState
    score: float
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HistoryInfo:
    """The scores in order; `best` holds (number, score) where the best so far changes.

    A finalist has two points, of the search and of its fresh repeats. Of very many points some are
    left out; `best` is that of all.
    """

    n_configurations: int
    points: tuple[HistoryPoint, ...]
    best: tuple[tuple[int, float], ...]
    axis: ScoreAxis
    caption: str


def history_info(summary: StudySummary) -> HistoryInfo | None:
    """Extract the history; None while there is no score."""
    searched = [
        point
        for configuration in summary.configurations
        if (point := _point(configuration.number, configuration))
    ]
    if not searched:
        return None
    points = (*searched, *_finalists(summary))
    axis = score_axis(summary, [point.score for point in points])
    return HistoryInfo(
        n_configurations=summary.configurations[-1].number,
        points=tuple(replace(p, details=_details(summary, p)) for p in _shown(summary, points)),
        best=_best(points, summary.record.score),
        axis=axis,
        caption=_caption(summary, points) + references_caption(axis),
    )


def draw_history(info: HistoryInfo) -> go.Figure:
    """Draw the points by state and the best so far as steps."""
    figure = new_figure(height=380, x_title="configuration, in order", y_title=info.axis.title)
    margin = 0.5 + 0.01 * info.n_configurations
    span = (1 - margin, info.n_configurations + margin)
    figure.update_xaxes(count_axis(*span))
    figure.update_yaxes(info.axis.layout)
    draw_references(figure, info.axis, span)
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


def _point(number: int, configuration: Configuration) -> HistoryPoint | None:
    if configuration.state == "pruned":
        last = _cut(configuration).last_reported
        if last is None or not math.isfinite(last):
            return None
        return HistoryPoint(number, "pruned", last)
    if configuration.score is None or configuration.score.mean is None:
        return None
    state: PointState = "complete" if configuration.state == "complete" else "unfinished"
    return HistoryPoint(number, state, configuration.score.mean)


def _finalists(summary: StudySummary) -> Iterator[HistoryPoint]:
    for member in summary.finalists.members if summary.finalists else ():
        assert member.fresh.mean is not None
        yield HistoryPoint(member.number, "finalist", member.fresh.mean)


def _cut(configuration: Configuration) -> Repeat:
    return next(r for r in configuration.repeats if r.state == "pruned")


def _shown(summary: StudySummary, points: Sequence[HistoryPoint]) -> list[HistoryPoint]:
    """Return the points to draw: of very many, some of those with a score and of the pruned."""

    def rank(point: HistoryPoint) -> tuple[bool, float]:
        is_best = summary.numbered[point.number] is summary.best
        return is_best, summary.record.score.rank(point.score)

    crosses, scores = _parted(points)
    finalists = [point for point in points if point.state == "finalist"]
    shown = thinned(scores, rank, most=MAX_SCORES) + thinned(crosses, rank, most=MAX_PRUNED)
    return sorted(shown, key=lambda point: point.number) + finalists


def _parted(points: Sequence[HistoryPoint]) -> tuple[list[HistoryPoint], list[HistoryPoint]]:
    """Return the pruned and the scores of the search itself."""
    scores = [point for point in points if point.state in ("complete", "unfinished")]
    return [point for point in points if point.state == "pruned"], scores


def _details(summary: StudySummary, point: HistoryPoint) -> tuple[str, ...]:
    configuration = summary.numbered[point.number]
    score = summary.record.score
    label = configuration_label(summary, configuration)
    if point.state == "finalist":
        assert configuration.fresh is not None
        return label, f"trained again: {score_text(configuration.fresh, score)}"
    if point.state == "pruned":
        epoch = _cut(configuration).n_epochs
        words = f"pruned in epoch {epoch} at {score.text(point.score)}"
    else:
        assert configuration.score is not None
        words = score_text(configuration.score, score)
    return label, words, *params_lines(configuration.params)


def _best(points: tuple[HistoryPoint, ...], score: Score) -> tuple[tuple[int, float], ...]:
    best: list[tuple[int, float]] = []
    for point in points:
        is_first = not best
        if point.state == "complete" and (
            is_first or score.rank(point.score) > score.rank(best[-1][1])
        ):
            best.append((point.number, point.score))
    return tuple(best)


def _caption(summary: StudySummary, points: tuple[HistoryPoint, ...]) -> str:
    order = "the grid's order" if summary.record.kind == "grid" else "the order they were tried in"
    caption = f"Each point is the mean score of a configuration, in {order}; the line is the best "
    caption += "so far, which gets better by luck too the more configurations are tried."
    caption += direction_text(summary.record.score)
    n_pruned = sum(point.state == "pruned" for point in points)
    if n_pruned:
        caption += f" Crosses ({n_pruned}) were pruned: stopped early, at the score they had then."
    crosses, scores = _parted(points)
    caption += thinned_text(len(scores), "scores", most=MAX_SCORES)
    caption += thinned_text(len(crosses), "crosses", most=MAX_PRUNED)
    if summary.finalists:
        caption += " Diamonds are the fresh means of the finalists, without that luck."
    failed = [
        configuration_label(summary, configuration)
        for configuration in summary.configurations
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
