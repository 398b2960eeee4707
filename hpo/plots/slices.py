"""The scores of a search against each of its parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from plotly import graph_objects as go

from hpo.config import Scalar
from hpo.plots.labels import configuration_label, direction_text
from hpo.plots.scores import ScoreAxis, plain_axis
from hpo.plots.style import color, label, new_figure, open_marker, safe
from hpo.plots.thinning import thinned, thinned_text
from hpo.space import Domain, FloatRange, IntRange
from hpo.space.records import value_text
from hpo.study.summary import Configuration, StudySummary

MAX_COLUMNS: Final = 6
MAX_POINTS: Final = 240


@dataclass(frozen=True, slots=True)
class SlicePoint:
    """One configuration: its short name, its value of the parameter, its mean score."""

    label: str
    value: Scalar
    score: float
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class SliceInfo:
    """One parameter against the score. `choices` are its values in order where it has no axis."""

    parameter: str
    is_log: bool
    choices: tuple[str, ...]
    points: tuple[SlicePoint, ...]
    axis: ScoreAxis


def slices_caption(summary: StudySummary) -> str:
    """Say what a point is, and which one is ringed."""
    winner = "winner of the finalists, as it scored in the search"
    ringed = winner if summary.finalists else "best"
    return (
        "Each point is the mean score of one configuration that was not pruned; the ringed one is "
        f"the {ringed}.{direction_text(summary.record.score)} All parameters varied at once, so a "
        "slope here can belong to another parameter."
        + thinned_text(len(_scored(summary)), "configurations", most=MAX_POINTS)
    )


def slice_infos(summary: StudySummary) -> tuple[SliceInfo, ...]:
    """Extract a slice per searched parameter that took at least two values."""
    shown = thinned(
        _scored(summary),
        lambda c: (c is summary.best, summary.rank(c)),
        most=MAX_POINTS,
    )
    points = {name: _points(summary, name, shown) for name in summary.record.names}
    if summary.record.kind != "search" or not any(points.values()):
        return ()
    scores = [point.score for of_one in points.values() for point in of_one]
    axis = plain_axis(summary.record.score, scores)
    domains = {p.name: p.domain for p in summary.record.space.search}
    return tuple(
        _slice(name, domains[name], points[name], axis=axis)
        for name in summary.record.names
        if len({point.value for point in points[name]}) > 1
    )


def draw_slice(info: SliceInfo) -> go.Figure:
    """Draw one small figure; the page puts them side by side."""
    figure = new_figure(height=250, x_title=info.parameter, y_title=info.axis.score.title)
    figure.update_yaxes(info.axis.layout, nticks=6)
    figure.update_layout(margin_t=10, font_size=11)
    if info.choices:
        figure.update_xaxes(
            tickvals=list(range(len(info.choices))),
            ticktext=[label(choice) for choice in info.choices],
            range=[-0.5, len(info.choices) - 0.5],
            showgrid=False,
        )
    elif info.is_log:
        # the tick labels between the powers of ten would touch on a small figure
        ticks = 1 if _decades(info) > 2 else None
        figure.update_xaxes(type="log", exponentformat="power", dtick=ticks)
    places = list(zip(_places(info), info.points, strict=True))
    figure.add_trace(_markers(places, open_marker(0, size=8)))
    ringed = [(place, point) for place, point in places if point.is_best]
    ring = {"symbol": "circle-open", "color": color(1), "size": 14, "line": {"width": 2.5}}
    figure.add_trace(_markers(ringed, ring))
    return figure


def _scored(summary: StudySummary) -> list[Configuration]:
    return [c for c in summary.configurations if c.score and c.score.mean is not None]


def _points(
    summary: StudySummary, name: str, shown: Sequence[Configuration]
) -> tuple[SlicePoint, ...]:
    best = summary.best
    return tuple(
        SlicePoint(configuration_label(summary, c), c.params[name], c.score.mean, c is best)
        for c in shown
        if name in c.params and c.score and c.score.mean is not None
    )


def _slice(
    name: str, domain: Domain, points: tuple[SlicePoint, ...], *, axis: ScoreAxis
) -> SliceInfo:
    return SliceInfo(
        parameter=name,
        is_log=isinstance(domain, IntRange | FloatRange) and domain.log,
        choices=_choices(domain),
        points=points,
        axis=axis,
    )


def _choices(domain: Domain) -> tuple[str, ...]:
    """Return the values in order where they are few; others have an axis of numbers."""
    if isinstance(domain, FloatRange):
        return ()
    if isinstance(domain, IntRange):
        steps = range(domain.low, domain.high + 1, domain.step)
        return tuple(map(str, steps)) if len(steps) <= MAX_COLUMNS and not domain.log else ()
    return tuple(value_text(value) for value in domain.labels)


def _markers(places: list[tuple[Scalar, SlicePoint]], marker: dict[str, object]) -> go.Scatter:
    return go.Scatter(
        x=[place for place, _ in places],
        y=[point.score for _, point in places],
        mode="markers",
        marker=marker,
        hovertext=[safe(point.label) for _, point in places],
        hovertemplate="%{hovertext}: %{y}<extra></extra>",
        showlegend=False,
    )


def _decades(info: SliceInfo) -> float:
    values = [float(point.value) for point in info.points]
    return math.log10(max(values) / min(values))


def _places(info: SliceInfo) -> list[Scalar]:
    if not info.choices:
        return [point.value for point in info.points]
    # the golden ratio spreads points over a value's column, and the same way each time
    return [
        info.choices.index(value_text(point.value)) + (index * 0.618 % 1 - 0.5) * 0.5
        for index, point in enumerate(info.points)
    ]
