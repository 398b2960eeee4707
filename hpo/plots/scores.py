"""The axis of scores: its range, and the baselines drawn on it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from plotly import graph_objects as go

from hpo.plots.labels import percent
from hpo.plots.style import DASHES, GRAY, PERCENT_TICKS, REFERENCE_DASH, label
from hpo.study.score import Score
from hpo.study.summary import Configuration, StudySummary

Range: TypeAlias = tuple[float, float]

_LEAST_SPAN: Final = 0.02
_LOG_FROM: Final = 10.0


@dataclass(frozen=True, slots=True)
class Reference:
    """A baseline. One that is not in view would squeeze the differences out of the figure."""

    name: str
    score: float
    in_view: bool


@dataclass(frozen=True, kw_only=True)
class ScoreAxis:
    """The axis of a score: from where to where, and the baselines on it."""

    score: Score
    range: Range
    is_log: bool = False
    references: tuple[Reference, ...] = ()

    @property
    def title(self) -> str:
        """What it shows."""
        return f"validation {self.score.title}"

    @property
    def layout(self) -> dict[str, object]:
        """What plotly takes, besides the title."""
        low, high = self.range
        if self.is_log:
            return {"type": "log", "range": [math.log10(low), math.log10(high)]}
        return {"range": [low, high], "tickformat": ticks(self.score)}


def ticks(score: Score) -> str | None:
    """Return how the ticks of a score's axis are written, None for as plotly does."""
    return PERCENT_TICKS if score.kind.is_share else None


def score_axis(summary: StudySummary, scores: Iterable[float]) -> ScoreAxis:
    """Return the axis of a study's scores, with the baselines where these are scores like it.

    A baseline is in view where at least half of the axis is left to the scores.
    """
    scores, score = list(scores), summary.record.score
    if not score.is_accuracy:
        return plain_axis(score, scores)
    low, high = min(scores), max(scores)
    reach = max(high - low, _LEAST_SPAN)
    references = tuple(
        Reference(name, accuracy, low - reach <= accuracy <= high + reach)
        for name, accuracy in summary.baselines.items()
    )
    seen = [reference.score for reference in references if reference.in_view]
    return ScoreAxis(score=score, range=_padded([low, high, *seen]), references=references)


def plain_axis(score: Score, scores: Sequence[float]) -> ScoreAxis:
    """Return an axis that holds the scores with a margin; a loss may need a logarithmic one."""
    low, high = min(scores), max(scores)
    if not score.kind.is_share and high > _LOG_FROM * low > 0:
        margin = (high / low) ** 0.08
        return ScoreAxis(score=score, range=(low / margin, high * margin), is_log=True)
    return ScoreAxis(score=score, range=_padded(scores))


def shown_scores(configurations: Iterable[Configuration]) -> list[float]:
    """Return every score and every end of an interval that a figure has to show."""
    shown: list[float | None] = []
    for configuration in configurations:
        shown += configuration.scores
        if configuration.score:
            shown += [configuration.score.low, configuration.score.high]
    return [score for score in shown if score is not None]


def references_caption(axis: ScoreAxis) -> str:
    """Say which baselines are not drawn."""
    hidden = [f"{r.name} at {percent(r.score)}" for r in axis.references if not r.in_view]
    return f" Outside the axis: {', '.join(hidden)}." if hidden else ""


def draw_references(figure: go.Figure, axis: ScoreAxis, x: Range) -> None:
    """Draw the baselines in view from end to end; the legend has room for their names."""
    seen = [reference for reference in axis.references if reference.in_view]
    for reference in seen:
        dash = DASHES.get(reference.name, REFERENCE_DASH)
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


def _padded(scores: Sequence[float]) -> Range:
    """Return a range that holds the scores with a margin on both sides."""
    low, high = min(scores), max(scores)
    margin = 0.08 * max(high - low, _LEAST_SPAN)
    return low - margin, high + margin
