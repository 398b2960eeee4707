"""Common to all figures: style, the score axis, and the names of configurations."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from plotly import io as pio
from plotly.graph_objects import Figure, Scatter
from plotly.offline import get_plotlyjs

from hpo.stats import Interval
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary

T = TypeVar("T")

# After Okabe and Ito 2008, Color Universal Design. Orange and sky blue are darker, so that every
# color has a contrast of 3 : 1 on a white and on a dark page. A paler point would lose it, so
# less important points are open.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#B8860B", "#CC79A7", "#2F97D3")
GRAY: Final = "#888888"
# A line style means the same in every figure; references are long-dashed.
DASHES: Final = {
    "validation": "solid",
    "training": "dash",
    "majority class": "dot",
    "logistic regression": "dashdot",
}
LONG_DASH: Final = "longdash"
PERCENT_TICKS: Final = ".1~%"
OF_REPEATS: Final = " Lines are means over repeats, bands reach from the lowest to the highest."
_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "star")
_LONGEST_LABEL: Final = 44
LEAST_SPAN: Final = 0.02
_LOG_FROM: Final = 10.0


@dataclass(frozen=True)
class Plot:
    """Figures under one heading and their caption in words; there may be no figure."""

    key: str
    title: str
    caption: str
    figures: tuple[Figure, ...]


def score_axis(score: Score, values: Sequence[float]) -> dict[str, object]:
    """Return an axis around the values with a margin, logarithmic if losses differ much."""
    low, high = min(values), max(values)
    axis = {"title_text": f"validation {score.title}", "tickformat": ticks(score)}
    if not score.kind.is_share and high > _LOG_FROM * low > 0:
        margin = (high / low) ** 0.08
        ends = (low / margin, high * margin)
        return axis | {"type": "log", "range": [math.log10(end) for end in ends]}
    margin = 0.08 * max(high - low, LEAST_SPAN)
    return axis | {"range": [low - margin, high + margin]}


def ticks(score: Score) -> str | None:
    """Return the tick format of a score's axis, None for plotly's default."""
    return PERCENT_TICKS if score.kind.is_share else None


def count_axis(low: float, high: float) -> dict[str, object]:
    """Return an axis with ticks at whole numbers only."""
    return {"range": [low, high], "tickformat": "d", "dtick": 1 if high - low <= 12 else None}


def label_axis(names: Sequence[str]) -> dict[str, object]:
    """Return an axis with a name at each of 0, 1, 2, …"""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [label(name) for name in names],
        "range": [-0.5, len(names) - 0.5],
        "showgrid": False,
    }


def name_of(summary: StudySummary, configuration: Configuration) -> str:
    """Return a short name: the values in a grid, the number in a search."""
    return f"#{configuration.number}" if summary.record.kind == "search" else configuration.label


def score_text(interval: Interval, score: Score) -> str:
    """Return a mean with its interval and the number of repeats."""
    if interval.mean is None:
        return "no score"
    if span := score.range_text(interval):
        return f"{score.text(interval.mean)} ({span}, {interval.n} repeats)"
    few = "one repeat: no" if interval.n == 1 else f"{interval.n} repeats: too few for an"
    return f"{score.text(interval.mean)} ({few} interval)"


def thinned(
    items: Sequence[T], rank: Callable[[T], tuple[float, ...]], *, most: int, noun: str
) -> tuple[list[T], str]:
    """Return at most `most` items in their order, and a sentence about the others.

    These are the best third and every n-th of the others by rank: a browser takes seconds to draw
    tens of thousands of marks. (WebGL is faster, but it compiles code, which the content policy of
    the page forbids.)
    """
    if len(items) <= most:
        return list(items), ""
    n_best = most // 3
    ranked = sorted(range(len(items)), key=lambda i: rank(items[i]), reverse=True)
    step = math.ceil((len(items) - n_best) / (most - n_best))
    drawn = sorted(ranked[:n_best] + ranked[n_best::step])
    return [items[i] for i in drawn], (
        f" Of {len(items):,} {noun} {len(drawn):,} are drawn: the best {n_best:,} and one in "
        f"{step} of the others."
    )


def label(text: str) -> str:
    """Return an escaped label for an axis or legend, shortened to leave room for the figure."""
    return lines(text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 2] + " …")


def lines(*texts: str) -> str:
    """Return lines of text, escaped because plotly interprets some HTML."""
    return "<br>".join(html.escape(text, quote=False) for text in texts)


def color(index: int, *, alpha: float = 1.0) -> str:
    """Return a color of the palette, which repeats."""
    red, green, blue = bytes.fromhex(PALETTE[index % len(PALETTE)][1:])
    return f"rgba({red},{green},{blue},{alpha:g})"


def marker(index: int, *, size: int, is_open: bool = False) -> dict[str, object]:
    """Return the style of a point; less important ones are open rings."""
    symbol = _SYMBOLS[index // len(PALETTE) % len(_SYMBOLS)]
    look: dict[str, object] = {"color": color(index), "size": size, "symbol": symbol}
    return look | ({"symbol": f"{symbol}-open", "line": {"width": 2}} if is_open else {})


def points(
    places: Sequence[tuple[float, float, str]],
    look: Mapping[str, object],
    *,
    name: str | None = None,
    index: int | None = None,
) -> Scatter:
    """Return markers, each with its text; `name` puts them into the legend, `index` groups."""
    x, y, texts = zip(*places, strict=True)
    return Scatter(
        x=x,
        y=y,
        mode="markers",
        marker=look,
        hoverinfo="text",
        hovertext=texts,
        name=name,
        showlegend=name is not None,
        legendgroup=index,
    )


def line(
    x: Sequence[object], y: Sequence[object], index: int, *, name: str, hover: str
) -> Scatter:
    """Return a line in a color; `hover` is plotly's template of the hover text."""
    return Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": color(index), "width": 2},
        name=name,
        hovertemplate=f"{hover}<extra></extra>",
        legendgroup=index,
    )


def reference(name: str, x: Sequence[float], y: Sequence[float], *, dash: str) -> Scatter:
    """Return a gray reference line."""
    look = {"color": GRAY, "width": 1.5, "dash": dash}
    return Scatter(x=x, y=y, mode="lines", line=look, name=name, hoverinfo="skip", showlegend=True)


def band(
    x: Sequence[float], low: Sequence[float], high: Sequence[float], index: int, *, alpha: float
) -> Scatter:
    """Return the area between the lowest and the highest repeat, in the color of its series."""
    return Scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor=color(index, alpha=alpha),
        line={"width": 0},
        mode="lines",
        legendgroup=index,
        showlegend=False,
        hoverinfo="skip",
    )


def empty(*, height: int, x_title: str = "", y_title: str = "") -> Figure:
    """Return an empty figure. The page sets its width and style (page.js)."""
    figure = Figure(layout={"template": "none", "height": height})
    return figure.update_xaxes(title_text=label(x_title)).update_yaxes(title_text=label(y_title))


def set_scores(
    figure: Figure,
    score: Score,
    values: Sequence[float],
    baselines: Mapping[str, float],
    span: tuple[float, float],
) -> None:
    """Set the vertical axis, and draw baselines unless they would take half of it."""
    low, high = min(values), max(values)
    reach = max(high - low, LEAST_SPAN)
    seen = {name: x for name, x in baselines.items() if low - reach <= x <= high + reach}
    figure.update_yaxes(score_axis(score, [*values, *seen.values()]))
    for name, x in seen.items():
        text, dash = f"{label(name)} {score.text(x)}", DASHES.get(name, LONG_DASH)
        figure.add_trace(reference(text, span, (x, x), dash=dash))


def figure_json(figure: Figure) -> str:
    """Return data and layout as JSON, safe inside a `<script>`: plotly escapes < and >."""
    return str(pio.to_json(figure, validate=False))


def plotly_script() -> str:
    """Return the source of plotly.js, for a page that needs no network."""
    return str(get_plotlyjs())
