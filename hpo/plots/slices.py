"""The scores of a search against each of its parameters."""

from dataclasses import dataclass
from typing import Final

from plotly import graph_objects as go

from hpo.config import Scalar
from hpo.plots.labels import configuration_label, parameter_text, score_text
from hpo.plots.scores import SCORE_TICKS, SCORE_TITLE, Range, score_axis
from hpo.plots.style import color, label, lines, new_figure
from hpo.space import Domain, FloatRange, IntRange
from hpo.space.records import value_text
from hpo.summary import Configuration, StudySummary

MAX_COLUMNS: Final = 6
SLICES_CAPTION: Final = (
    "Each point is the mean score of one configuration that was not pruned; the ringed one is the "
    "best. All parameters varied at once, so a slope here can belong to another parameter."
)


@dataclass(frozen=True, slots=True)
class SlicePoint:
    """One configuration: its value of the parameter, its mean score, two lines about it."""

    value: Scalar
    score: float
    details: tuple[str, ...]
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class SliceInfo:
    """One parameter against the score. `choices` are its values in order where it has no axis."""

    parameter: str
    is_log: bool
    choices: tuple[str, ...]
    points: tuple[SlicePoint, ...]
    score_range: Range


def slice_infos(summary: StudySummary) -> tuple[SliceInfo, ...]:
    """Extract a slice per searched parameter that took at least two values."""
    scored = {
        number: c
        for number, c in enumerate(summary.configurations, start=1)
        if c.score and c.score.mean is not None
    }
    domains = {p.name: p.domain for p in summary.record.space.search}
    if summary.record.kind != "search" or not scored:
        return ()
    means = [c.score.mean for c in scored.values() if c.score and c.score.mean is not None]
    score_range, _ = score_axis(summary, means)
    return tuple(
        _slice(summary, name, domains.get(name), scored=scored, score_range=score_range)
        for name in summary.record.names
        if len({c.params[name] for c in scored.values() if name in c.params}) > 1
    )


def draw_slice(info: SliceInfo) -> go.Figure:
    """Draw one small figure; the page puts them side by side."""
    figure = new_figure(height=250, x_title=info.parameter, y_title=SCORE_TITLE)
    figure.update_yaxes(range=list(info.score_range), nticks=6, tickformat=SCORE_TICKS)
    figure.update_layout(margin_t=10, font_size=11)
    if info.choices:
        figure.update_xaxes(
            tickvals=list(range(len(info.choices))),
            ticktext=[label(choice) for choice in info.choices],
            range=[-0.5, len(info.choices) - 0.5],
            showgrid=False,
        )
    elif info.is_log:
        figure.update_xaxes(type="log", exponentformat="power")
    places = list(zip(_places(info), info.points, strict=True))
    figure.add_trace(_markers(places, {"color": color(0, alpha=0.65), "size": 8}))
    ringed = [(place, point) for place, point in places if point.is_best]
    ring = {"symbol": "circle-open", "color": color(1), "size": 14, "line": {"width": 2.5}}
    figure.add_trace(_markers(ringed, ring))
    return figure


def _slice(
    summary: StudySummary,
    name: str,
    domain: Domain | None,
    *,
    scored: dict[int, Configuration],
    score_range: Range,
) -> SliceInfo:
    points = tuple(
        SlicePoint(
            value=c.params[name],
            score=c.score.mean,
            details=(
                f"{configuration_label(summary, number)}, {name} {parameter_text(c, name)}",
                score_text(c.score),
            ),
            is_best=c is summary.best,
        )
        for number, c in scored.items()
        if name in c.params and c.score and c.score.mean is not None
    )
    return SliceInfo(
        parameter=name,
        is_log=isinstance(domain, IntRange | FloatRange) and domain.log,
        choices=_choices(domain, points),
        points=points,
        score_range=score_range,
    )


def _choices(domain: Domain | None, points: tuple[SlicePoint, ...]) -> tuple[str, ...]:
    """Return the values in order where they are few; others have an axis of numbers."""
    if isinstance(domain, FloatRange):
        return ()
    if isinstance(domain, IntRange):
        steps = range(domain.low, domain.high + 1, domain.step)
        return tuple(map(str, steps)) if len(steps) <= MAX_COLUMNS and not domain.log else ()
    labels = domain.labels if domain else tuple(dict.fromkeys(point.value for point in points))
    return tuple(value_text(label) for label in labels)


def _markers(places: list[tuple[Scalar, SlicePoint]], marker: dict[str, object]) -> go.Scatter:
    return go.Scatter(
        x=[place for place, _ in places],
        y=[point.score for _, point in places],
        mode="markers",
        marker=marker,
        hoverinfo="text",
        hovertext=[lines(point.details) for _, point in places],
        showlegend=False,
    )


def _places(info: SliceInfo) -> list[Scalar]:
    if not info.choices:
        return [point.value for point in info.points]
    # the golden ratio spreads points over a value's column, and the same way each time
    return [
        info.choices.index(value_text(point.value)) + (index * 0.618 % 1 - 0.5) * 0.5
        for index, point in enumerate(info.points)
    ]
