"""The axis of scores: its range, and the baselines drawn on it."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from plotly import graph_objects as go

from hpo.plots.labels import percent
from hpo.plots.style import GRAY, label
from hpo.summary import Configuration, StudySummary

Range: TypeAlias = tuple[float, float]

SCORE_TITLE: Final = "validation accuracy"
SCORE_TICKS: Final = ".1~%"

_LEAST_SPAN: Final = 0.02
_DASHES: Final = ("dot", "dashdot", "longdash")


@dataclass(frozen=True, slots=True)
class Reference:
    """A baseline. One that is not in view would squeeze the differences out of the figure."""

    name: str
    score: float
    in_view: bool


def score_axis(
    summary: StudySummary, scores: Iterable[float]
) -> tuple[Range, tuple[Reference, ...]]:
    """Return the range of the axis, and the baselines.

    A baseline is in view where at least half of the axis is left to the scores.
    """
    scores = list(scores)
    low, high = min(scores), max(scores)
    reach = max(high - low, _LEAST_SPAN)
    references = tuple(
        Reference(name, score, low - reach <= score <= high + reach)
        for name, score in summary.baselines.items()
    )
    seen = [reference.score for reference in references if reference.in_view]
    return padded_range([low, high, *seen]), references


def padded_range(scores: Sequence[float]) -> Range:
    """Return a range that holds the scores with a margin on both sides."""
    low, high = min(scores), max(scores)
    margin = 0.08 * max(high - low, _LEAST_SPAN)
    return low - margin, high + margin


def shown_scores(configurations: Iterable[Configuration]) -> list[float]:
    """Return every score and every end of an interval that a figure has to show."""
    shown: list[float | None] = []
    for configuration in configurations:
        shown += configuration.scores
        if configuration.score:
            shown += [configuration.score.low, configuration.score.high]
    return [score for score in shown if score is not None]


def references_caption(references: Iterable[Reference]) -> str:
    """Say which baselines are not drawn."""
    hidden = [f"{r.name} at {percent(r.score)}" for r in references if not r.in_view]
    return f" Outside the axis: {', '.join(hidden)}." if hidden else ""


def draw_references(figure: go.Figure, references: Iterable[Reference], x: Range) -> None:
    """Draw the baselines in view from end to end; the legend has room for their names."""
    seen = [reference for reference in references if reference.in_view]
    for reference, dash in zip(seen, itertools.cycle(_DASHES)):
        figure.add_trace(
            go.Scatter(
                x=x,
                y=[reference.score, reference.score],
                mode="lines",
                line={"color": GRAY, "width": 1.5, "dash": dash},
                name=f"{label(reference.name)} {percent(reference.score)}",
                hoverinfo="skip",
                showlegend=True,
            )
        )
