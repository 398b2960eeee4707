"""Calibration on an opened test: what was predicted beside what was so."""

from collections.abc import Mapping
from dataclasses import dataclass

from plotly import graph_objects as go

from hpo.evaluate import CalibrationBin, Evaluated, Evaluation
from hpo.plots.roc import best_on_validation, colors_of, diagonal, left_out
from hpo.plots.style import PERCENT_TICKS, color, label, lines, new_figure, symbol


@dataclass(frozen=True, kw_only=True)
class CalibrationCurve:
    """One configuration: a point per tenth of the probabilities that holds answers."""

    label: str
    color: int
    error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationInfo:
    """Curves to overlay."""

    curves: tuple[CalibrationCurve, ...]
    caption: str


def calibration_info(
    evaluation: Evaluation, colors: Mapping[str, int] | None = None
) -> CalibrationInfo:
    """Extract the calibration of an opened test, in the colors of its ROC curves."""
    shown = best_on_validation(evaluation)
    caption = (
        "Of the images with such a probability of pneumonia, the share that had it, in ten bins "
        "of equal width over all repeats. On the long-dashed line a probability means what it "
        "says, below it pneumonia is predicted too often. Larger points hold more answers."
    )
    return CalibrationInfo(
        curves=tuple(map(_curve, shown, colors_of(shown, colors or {}))),
        caption=caption + left_out(evaluation, shown),
    )


def draw_calibration(info: CalibrationInfo) -> go.Figure:
    """Draw a line of points per configuration."""
    figure = new_figure(
        height=460, x_title="predicted probability of pneumonia", y_title="share with pneumonia"
    )
    figure.update_xaxes(range=[-0.03, 1.03], tickformat=PERCENT_TICKS)
    figure.update_yaxes(range=[-0.03, 1.03], tickformat=PERCENT_TICKS)
    figure.add_trace(diagonal("calibrated"))
    for curve in info.curves:
        figure.add_trace(_trace(curve))
    return figure


def _curve(evaluated: Evaluated, index: int) -> CalibrationCurve:
    return CalibrationCurve(
        label=evaluated.name,
        color=index,
        error=evaluated.metrics["calibration_error"].mean or 0.0,
        bins=evaluated.calibration,
    )


def _trace(curve: CalibrationCurve) -> go.Scatter:
    total = sum(one.n for one in curve.bins)
    return go.Scatter(
        x=[one.predicted for one in curve.bins],
        y=[one.observed for one in curve.bins],
        mode="lines+markers",
        line={"color": color(curve.color), "width": 2},
        marker={
            "color": color(curve.color),
            "symbol": symbol(curve.color),
            "size": [6 + 14 * (one.n / total) ** 0.5 for one in curve.bins],
        },
        name=f"{label(curve.label)}, error {curve.error:.3f}",
        hoverinfo="text",
        hovertext=[
            lines(
                [
                    curve.label,
                    f"predicted {100 * one.predicted:.1f} %, observed {100 * one.observed:.1f} %",
                    f"{one.n} answers",
                ]
            )
            for one in curve.bins
        ],
    )
