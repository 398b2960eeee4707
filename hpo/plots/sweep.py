"""The sweep of a grid: every repeat as a point, mean and interval per configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from plotly.graph_objects import Figure

from hpo.plots import axes
from hpo.space.records import params_text, short_text
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary
from hpo.tables import DASH

# All combinations of five parameters with three values each are drawn.
MAX_CELLS: Final = 300
MAX_GROUPS: Final = 81
_WIDTH: Final = 0.8


@dataclass(frozen=True, kw_only=True)
class SweepInfo:
    """A grid by its first parameter; `groups` are the combinations of all others, "" for none.

    A cell is a configuration with its value and its group.
    """

    parameter: str
    values: tuple[str, ...]
    groups: tuple[str, ...]
    cells: tuple[tuple[str, str, Configuration], ...]
    score: Score
    baselines: Mapping[str, float]
    caption: str


def sweep_info(summary: StudySummary) -> SweepInfo | None:
    """Gather the sweep of a grid; None while no training is finished."""
    first, *others = summary.record.names
    finished = [c for c in summary.configurations if c.scores]
    if not finished:
        return None
    left_out, columns = "", summary.configurations
    n_finished, n_groups = len(finished), len({_group(c, others) for c in finished})
    if n_finished > MAX_CELLS or n_groups > MAX_GROUPS:
        ranked = sorted(range(n_finished), key=lambda i: summary.full_rank(finished[i]))
        columns = tuple(finished[i] for i in sorted(ranked[-MAX_GROUPS:]))
        left_out = f" Of {n_finished:,} configurations the best {len(columns)} are drawn."
    cells = [(_value(c, first), _group(c, others), c) for c in columns if c.scores]
    caption = "Each small open point is one training"
    if any(len(c.scores) > 1 for *_, c in cells):
        caption += (
            ", each marker with a bar the mean of a configuration and its 95 % interval; where "
            "intervals overlap, this figure names no winner"
        )
    else:
        caption += "; with one repeat there is no interval, and the order may be luck"
    caption += f"; each color is one {' and '.join(others)}" if others else ""
    caption += f". The axis does not begin at 0.{left_out}"
    return SweepInfo(
        parameter=first,
        values=tuple(dict.fromkeys(_value(c, first) for c in columns)),
        groups=tuple(dict.fromkeys(group for _, group, _ in cells)),
        cells=tuple(cells),
        score=summary.record.score,
        baselines=summary.shown_baselines,
        caption=caption,
    )


def _value(configuration: Configuration, name: str) -> str:
    value = configuration.params.get(name)
    return DASH if value is None else short_text(value)


def _group(configuration: Configuration, others: Sequence[str]) -> str:
    """Write the other parameters; where none has an effect, that it has none of them."""
    named = {name: value for name, value in configuration.params.items() if name in others}
    return params_text(named) if named or not others else f"no {' or '.join(others)}"


def draw_sweep(info: SweepInfo) -> Figure:
    """Draw one series per group, side by side over each value."""
    figure = axes.empty(height=420 + 12 * len(info.groups), x_title=info.parameter)
    figure.update_xaxes(axes.label_axis(info.values))
    found = [c.score for *_, c in info.cells if c.score]
    ends = [end for interval in found for end in (interval.low, interval.high) if end is not None]
    shown = [*(score for *_, c in info.cells for score in c.scores), *ends]
    span = (-0.5, len(info.values) - 0.5)
    axes.set_scores(figure, info.score, shown, info.baselines, span)
    slot = _WIDTH / len(info.groups)
    for index, group in enumerate(info.groups):
        offset = slot * (index - (len(info.groups) - 1) / 2)
        _add_series(figure, info, group, index, offset=offset, slot=slot)
    return figure


def _add_series(
    figure: Figure, info: SweepInfo, group: str, index: int, *, offset: float, slot: float
) -> None:
    """Add the repeats of a group in their order, and to the left of them the means."""
    repeats, means, halves = [], [], []
    for value, _, configuration in (cell for cell in info.cells if cell[1] == group):
        scored = [(r.number, r.score) for r in configuration.repeats if r.score is not None]
        center, n = info.values.index(value) + offset, len(scored)
        called = ", ".join(filter(None, [f"{info.parameter} {value}", group]))
        for place, (repeat, score) in enumerate(scored):
            x = center if n == 1 else center + slot * (0.12 + 0.3 * place / (n - 1))
            text = axes.lines(called, f"repeat {repeat}: {info.score.text(score)}")
            repeats.append((x, score, text))
        found = configuration.score
        if found and found.mean is not None and found.low is not None and found.high is not None:
            text = axes.lines(called, axes.score_text(found, info.score))
            # An interval ends where scores end, so its two halves may differ.
            halves.append((found.high - found.mean, found.mean - found.low))
            means.append((center, found.mean, text))
    # A legend entry for each group, from its means where it has any.
    legend = axes.label(group) if len(info.groups) > 1 else None
    ring, name = axes.marker(index, size=7, is_open=True), None if halves else legend
    figure.add_trace(axes.points(repeats, ring, name=name, index=index))
    if halves:
        above, below = zip(*halves, strict=True)
        bar = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
        trace = axes.points(means, axes.marker(index, size=12), name=legend, index=index)
        figure.add_trace(trace.update(error_y={**bar, "thickness": 2, "width": 7}))
