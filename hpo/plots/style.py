"""What all figures share: colors, layout, harmless labels, and the way into a page."""

import html
from collections.abc import Sequence
from typing import Final

from plotly import graph_objects as go
from plotly import io as pio
from plotly.offline import get_plotlyjs

# After Okabe and Ito 2008, Color Universal Design; orange and sky blue are darker, so that every
# color has a contrast of 3 : 1 on a white page and on a dark one. A paler point would lose it:
# those of less weight are open.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#B8860B", "#CC79A7", "#2F97D3")
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "star")
GRAY: Final = "#888888"
INK: Final = "#333333"
# A line style means the same in every figure: one of what it is compared with is long-dashed.
DASHES: Final = {
    "validation": "solid",
    "training": "dash",
    "majority class": "dot",
    "logistic regression": "dashdot",
}
REFERENCE_DASH: Final = "longdash"
TRANSPARENT: Final = "rgba(0,0,0,0)"
PERCENT_TICKS: Final = ".1~%"
_LONGEST_LABEL: Final = 44
_FEW: Final = 12
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def safe(text: str) -> str:
    """Make text from outside harmless in a label, where plotly reads some HTML."""
    return html.escape(text, quote=False)


def label(text: str) -> str:
    """Return a harmless label for an axis or a legend; a long one would push the figure away."""
    return safe(text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 2] + " …")


def lines(texts: Sequence[str]) -> str:
    """Put texts under one another in a label."""
    return "<br>".join(safe(text) for text in texts)


def color(index: int, *, alpha: float = 1.0) -> str:
    """Return a color of the palette, beginning again after the last."""
    red, green, blue = bytes.fromhex(PALETTE[index % len(PALETTE)][1:])
    return f"rgba({red},{green},{blue},{alpha:g})"


def symbol(index: int) -> str:
    """Return a marker that tells two series of the same color apart."""
    return SYMBOLS[index // len(PALETTE) % len(SYMBOLS)]


def open_marker(index: int, *, size: int) -> dict[str, object]:
    """Return the look of a point of less weight, one of many: a ring in the full color."""
    ring = {"width": 2}
    return {"color": color(index), "size": size, "symbol": f"{symbol(index)}-open", "line": ring}


def new_figure(*, height: int, x_title: str, y_title: str) -> go.Figure:
    """Return an empty figure. It has no width: it takes that of the page."""
    layout = go.Layout(
        template="none",
        height=height,
        autosize=True,
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
        margin={"l": 16, "r": 16, "t": 28, "b": 16},
        hoverlabel={"align": "left", "font": {"size": 13}},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        xaxis=axis(x_title),
        yaxis=axis(y_title),
    )
    return go.Figure(layout=layout)


def axis(title: str) -> dict[str, object]:
    """Return the look of an axis."""
    return {
        "title": {"text": label(title), "standoff": 8},
        "automargin": True,
        "zeroline": False,
        "gridcolor": "#E4E4E4",
        "linecolor": GRAY,
        "showline": True,
        "ticks": "outside",
        "tickcolor": GRAY,
    }


def count_axis(low: float, high: float) -> dict[str, object]:
    """Return an axis of whole numbers, without the halves that a short one would get."""
    ticks = 1 if high - low <= _FEW else None
    return {"range": [low, high], "tickformat": "d", "dtick": ticks}


def figure_json(figure: go.Figure) -> str:
    """Return data and layout as JSON that can stand in a `<script>`: plotly escapes < and >."""
    return str(pio.to_json(figure, validate=False))


def plotly_script() -> str:
    """Return plotly.js whole, for a page that needs no network."""
    return str(get_plotlyjs())
