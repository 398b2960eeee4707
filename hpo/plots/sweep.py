"""The sweep of a grid: every repeat as a point, mean and interval per configuration."""

from dataclasses import dataclass
from typing import Final

from plotly import graph_objects as go

from hpo.plots.labels import parameter_text, score_text
from hpo.plots.scores import (
    ScoreAxis,
    draw_references,
    references_caption,
    score_axis,
    shown_scores,
)
from hpo.plots.style import color, label, lines, new_figure, open_marker, symbol
from hpo.space.records import params_text
from hpo.stats import Interval
from hpo.study.summary import Configuration, StudySummary

# All of what five parameters of three values make is drawn.
MAX_CELLS: Final = 300
MAX_GROUPS: Final = 81
N_BEST_GROUPS: Final = 12


@dataclass(frozen=True, slots=True)
class SweepCell:
    """One configuration: its place on the axis, its group, its scores by repeat."""

    value: str
    group: str
    scores: tuple[tuple[int, float], ...]
    score: Interval


@dataclass(frozen=True, kw_only=True)
class SweepInfo:
    """A grid by its first parameter; `groups` are the combinations of all others, "" for none."""

    parameter: str
    values: tuple[str, ...]
    groups: tuple[str, ...]
    cells: tuple[SweepCell, ...]
    axis: ScoreAxis
    caption: str


def sweep_info(summary: StudySummary) -> SweepInfo | None:
    """Extract the sweep of a grid; None while no training is finished."""
    first, *others = summary.record.names
    finished = [c for c in summary.configurations if c.scores]
    if not finished:
        return None
    shown = _shown(summary, finished, others)
    axis = score_axis(summary, shown_scores(shown))
    cells = tuple(_cell(c, first, others) for c in shown)
    is_whole = len(shown) == len(finished)
    values = (parameter_text(c, first) for c in (summary.configurations if is_whole else shown))
    return SweepInfo(
        parameter=first,
        values=tuple(dict.fromkeys(values)),
        groups=tuple(dict.fromkeys(cell.group for cell in cells)),
        cells=cells,
        axis=axis,
        caption=_caption(cells, others)
        + ("" if is_whole else _left_out(len(finished), cells, others))
        + references_caption(axis),
    )


def draw_sweep(info: SweepInfo) -> go.Figure:
    """Draw one series per group, side by side over each value."""
    height = 420 + 12 * len(info.groups)
    figure = new_figure(height=height, x_title=info.parameter, y_title=info.axis.title)
    span = (-0.5, len(info.values) - 0.5)
    figure.update_xaxes(
        tickvals=list(range(len(info.values))),
        ticktext=[label(value) for value in info.values],
        range=span,
        showgrid=False,
    )
    figure.update_yaxes(info.axis.layout)
    draw_references(figure, info.axis, span)
    for index, group in enumerate(info.groups):
        cells = [cell for cell in info.cells if cell.group == group]
        figure.add_trace(_repeats(info, cells, index))
        averaged = [cell for cell in cells if len(cell.scores) > 1]
        if averaged:
            figure.add_trace(_means(info, averaged, index))
        # a legend entry for each group, from its means where it has any
        figure.data[-1].update(name=label(group), showlegend=len(info.groups) > 1)
    return figure


def _shown(
    summary: StudySummary, finished: list[Configuration], others: list[str]
) -> list[Configuration]:
    """Return all, or of very many the groups with the best means, and of these the best cells."""
    ranked = sorted(finished, key=lambda c: (c is summary.best, summary.rank(c)), reverse=True)
    groups = dict.fromkeys(_group(c, others) for c in ranked)
    if len(finished) <= MAX_CELLS and len(groups) <= MAX_GROUPS:
        return finished
    drawn = set(list(groups)[:N_BEST_GROUPS])
    best = [c for c in ranked if _group(c, others) in drawn][:MAX_CELLS]
    chosen = set(map(id, best))
    return [c for c in finished if id(c) in chosen]


def _left_out(n_finished: int, cells: tuple[SweepCell, ...], others: list[str]) -> str:
    """Say which configurations are drawn, and how they were chosen."""
    if not others:
        return f" Of {n_finished:,} configurations the best {len(cells):,} are drawn."
    n_groups = len({cell.group for cell in cells})
    best = "the best " if len(cells) == MAX_CELLS else ""
    return (
        f" Of {n_finished:,} configurations {best}{len(cells):,} are drawn, of the {n_groups} "
        f"combinations of {' and '.join(others)} that hold the best means."
    )


def _cell(configuration: Configuration, first: str, others: list[str]) -> SweepCell:
    assert configuration.score is not None
    scores = tuple((r.number, r.score) for r in configuration.repeats if r.score is not None)
    return SweepCell(
        value=parameter_text(configuration, first),
        group=_group(configuration, others),
        scores=scores,
        score=configuration.score,
    )


def _group(configuration: Configuration, others: list[str]) -> str:
    """Write the other parameters; where none has an effect, that it has none of them."""
    without = f"no {' or '.join(others)}" if others else ""
    named = {name: value for name, value in configuration.params.items() if name in others}
    return params_text(named) if named else without


def _caption(cells: tuple[SweepCell, ...], others: list[str]) -> str:
    caption = "Each small open point is one training"
    if any(cell.score.low is not None for cell in cells):
        caption += (
            ", each marker with a bar the mean of a configuration and its 95 % interval; where "
            "intervals overlap, this figure names no winner"
        )
    else:
        caption += "; with one repeat there is no interval, and the order may be luck"
    caption += f"; colors tell {' and '.join(others)} apart" if others else ""
    return f"{caption}. The axis does not begin at 0."


def _center(info: SweepInfo, cell: SweepCell) -> float:
    n_groups = len(info.groups)
    offset = info.groups.index(cell.group) - (n_groups - 1) / 2
    return info.values.index(cell.value) + offset * 0.8 / n_groups


def _repeats(info: SweepInfo, cells: list[SweepCell], index: int) -> go.Scatter:
    """Return the points of a group, beside the mean where there is one, in order of repeats."""
    slot = 0.8 / len(info.groups)
    x, y, text = [], [], []
    for cell in cells:
        is_alone = len(cell.scores) == 1
        start = _center(info, cell) + (0 if is_alone else 0.12 * slot)
        step = 0 if is_alone else 0.3 * slot / (len(cell.scores) - 1)
        for position, (repeat, score) in enumerate(cell.scores):
            x.append(start + position * step)
            y.append(score)
            told = info.axis.score.text(score)
            text.append(lines([_name(info, cell), f"repeat {repeat}: {told}"]))
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker=open_marker(index, size=7),
        hoverinfo="text",
        hovertext=text,
        legendgroup=str(index),
        showlegend=False,
    )


def _means(info: SweepInfo, cells: list[SweepCell], index: int) -> go.Scatter:
    # An interval ends where scores end, so its two halves may differ.
    means = [cell.score.mean or 0 for cell in cells]
    above = [(cell.score.high or 0) - mean for cell, mean in zip(cells, means, strict=True)]
    below = [mean - (cell.score.low or 0) for cell, mean in zip(cells, means, strict=True)]
    bar = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return go.Scatter(
        x=[_center(info, cell) for cell in cells],
        y=[cell.score.mean for cell in cells],
        error_y={**bar, "thickness": 2, "width": 7},
        mode="markers",
        marker={"color": color(index), "size": 12, "symbol": symbol(index)},
        hoverinfo="text",
        hovertext=[
            lines([_name(info, cell), score_text(cell.score, info.axis.score)]) for cell in cells
        ],
        legendgroup=str(index),
    )


def _name(info: SweepInfo, cell: SweepCell) -> str:
    return ", ".join(filter(None, [f"{info.parameter} {cell.value}", cell.group]))
