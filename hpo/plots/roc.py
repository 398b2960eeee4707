"""ROC curves of an opened test: sensitivity over false alarms, several configurations overlaid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from plotly import graph_objects as go

from hpo.evaluate import Evaluated, Evaluation
from hpo.plots.style import (
    GRAY,
    PALETTE,
    PERCENT_TICKS,
    REFERENCE_DASH,
    color,
    label,
    lines,
    new_figure,
)

MAX_CURVES: Final = len(PALETTE)


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """One configuration: mean curve, lowest and highest repeat, and where its threshold lies."""

    label: str
    color: int
    auroc: float
    false_alarms: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    at_threshold: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class RocInfo:
    """Curves to overlay."""

    curves: tuple[RocCurve, ...]
    caption: str


def roc_info(evaluation: Evaluation, colors: Mapping[str, int] | None = None) -> RocInfo:
    """Extract the ROC curves of an opened test; `colors` are those of other figures, by name."""
    shown = best_on_validation(evaluation)
    caption = (
        "Of the pneumonia images the share that is found, over the share of normal images that "
        "are called pneumonia, as the threshold falls from 1 to 0. The marks are at the threshold "
        f"{evaluation.threshold}, the long-dashed line is chance."
    )
    if any(len(c.trials) > 1 for c in shown):
        caption += " Lines are means over repeats, bands reach from the lowest to the highest."
    return RocInfo(
        curves=tuple(map(_curve, shown, colors_of(shown, colors or {}))),
        caption=caption + left_out(evaluation, shown),
    )


def draw_roc(info: RocInfo) -> go.Figure:
    """Draw each curve with its band and the mark of its threshold."""
    figure = new_figure(height=460, x_title="false alarms: 1 - specificity", y_title="sensitivity")
    figure.update_xaxes(range=[-0.01, 1.01], tickformat=PERCENT_TICKS)
    figure.update_yaxes(range=[-0.01, 1.01], tickformat=PERCENT_TICKS)
    figure.add_trace(diagonal("chance"))
    for curve in info.curves:
        for trace in _traces(curve):
            figure.add_trace(trace)
    return figure


def best_on_validation(evaluation: Evaluation) -> Sequence[Evaluated]:
    """Return the configurations that a figure shows, in their order.

    Of many, those with the best validation accuracy: what is shown is not chosen on the test.
    """
    every = evaluation.configurations
    ranked = sorted(range(len(every)), key=lambda i: -_validation_accuracy(every[i]))
    return [every[i] for i in sorted(ranked[:MAX_CURVES])]


def colors_of(shown: Sequence[Evaluated], known: Mapping[str, int]) -> list[int]:
    """Return a color for each configuration: its own where it has one, else one that is free."""
    free = (index for index in range(2 * MAX_CURVES) if index not in known.values())
    return [known[c.name] if c.name in known else next(free) for c in shown]


def left_out(evaluation: Evaluation, shown: Sequence[Evaluated]) -> str:
    """Say that a figure shows only some configurations."""
    n = len(evaluation.configurations)
    if len(shown) == n:
        return ""
    return f" Of {n} configurations, the {len(shown)} best on validation are shown."


def diagonal(name: str) -> go.Scatter:
    """Return the line from corner to corner."""
    return go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GRAY, "width": 1.5, "dash": REFERENCE_DASH},
        name=name,
        hoverinfo="skip",
    )


def _validation_accuracy(evaluated: Evaluated) -> float:
    return (evaluated.metrics["accuracy"].mean or 0.0) + (evaluated.gap["accuracy"].mean or 0.0)


def _curve(evaluated: Evaluated, index: int) -> RocCurve:
    metrics, roc = evaluated.metrics, evaluated.roc
    return RocCurve(
        label=evaluated.name,
        color=index,
        auroc=metrics["auroc"].mean or 0.0,
        false_alarms=roc.false_alarms,
        mean=roc.mean,
        low=roc.low,
        high=roc.high,
        at_threshold=(
            1 - (metrics["specificity"].mean or 0.0),
            metrics["sensitivity"].mean or 0.0,
        ),
    )


def _traces(curve: RocCurve) -> list[go.Scatter]:
    group = str(curve.color)
    line = go.Scatter(
        x=curve.false_alarms,
        y=curve.mean,
        mode="lines",
        line={"color": color(curve.color), "width": 2},
        name=f"{label(curve.label)}, AUROC {curve.auroc:.3f}",
        legendgroup=group,
        hoverinfo="text",
        hovertext=[
            lines([curve.label, f"{100 * x:.0f} % false alarms: {100 * y:.1f} % found"])
            for x, y in zip(curve.false_alarms, curve.mean, strict=True)
        ],
    )
    x, y = curve.at_threshold
    mark = go.Scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"color": color(curve.color), "size": 11, "symbol": "circle-open-dot"},
        legendgroup=group,
        showlegend=False,
        hoverinfo="text",
        hovertext=[lines([curve.label, f"sensitivity {y:.3f}, specificity {1 - x:.3f}"])],
    )
    return [line, mark] if curve.low == curve.high else [_band(curve), line, mark]


def _band(curve: RocCurve) -> go.Scatter:
    return go.Scatter(
        x=curve.false_alarms + curve.false_alarms[::-1],
        y=curve.high + curve.low[::-1],
        fill="toself",
        fillcolor=color(curve.color, alpha=0.14),
        line={"width": 0},
        mode="lines",
        legendgroup=str(curve.color),
        showlegend=False,
        hoverinfo="skip",
    )
