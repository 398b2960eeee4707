"""ROC curves and calibration of an opened test, several configurations overlaid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from plotly.graph_objects import Figure

from hpo.evaluate import Evaluated, Evaluation
from hpo.plots import axes

MAX_CURVES: Final = len(axes.PALETTE)


@dataclass(frozen=True, kw_only=True)
class EvaluationInfo:
    """The configurations that are drawn, each with its color."""

    shown: tuple[tuple[Evaluated, int], ...]
    roc_caption: str
    calibration_caption: str


def evaluation_info(evaluation: Evaluation, colors: Mapping[str, int]) -> EvaluationInfo:
    """Gather what is drawn of an opened test, in the `colors` of other figures, by name.

    Of many configurations, those with the best validation accuracy: what is shown is not chosen
    on the test.
    """
    every = evaluation.configurations
    ranked = sorted(range(len(every)), key=lambda i: -_validation_accuracy(every[i]))
    shown = [every[i] for i in sorted(ranked[:MAX_CURVES])]
    free = (index for index in range(2 * MAX_CURVES) if index not in colors.values())
    left_out = ""
    if len(shown) < len(every):
        left_out = (
            f" Of {len(every)} configurations, the {len(shown)} best on validation are shown."
        )
    roc = (
        "The share of pneumonia images that is found, against the share of normal images that are "
        "called pneumonia, as the threshold falls from 1 to 0. The marks are at the threshold "
        f"{evaluation.threshold}; the long-dashed line is chance."
    )
    if any(len(c.trials) > 1 for c in shown):
        roc += " Lines are means over repeats, bands reach from the lowest to the highest."
    calibration = (
        "The share of images with pneumonia against their predicted probability, in ten bins of "
        "equal width over all repeats. On the long-dashed line both are equal; below it pneumonia "
        "is predicted too often. Larger points hold more predictions."
    )
    return EvaluationInfo(
        shown=tuple((c, colors[c.name] if c.name in colors else next(free)) for c in shown),
        roc_caption=roc + left_out,
        calibration_caption=calibration + left_out,
    )


def _validation_accuracy(evaluated: Evaluated) -> float:
    return (evaluated.metrics["accuracy"].mean or 0.0) + (evaluated.gap["accuracy"].mean or 0.0)


def draw_roc(info: EvaluationInfo) -> Figure:
    """Draw each curve with its band and the mark of its threshold."""
    figure = _square("chance", "false alarms: 1 - specificity", "sensitivity")
    for evaluated, index in info.shown:
        roc, name = evaluated.roc, axes.label(evaluated.name)
        auroc, sensitivity, specificity = (
            evaluated.metrics[metric].mean or 0.0
            for metric in ("auroc", "sensitivity", "specificity")
        )
        if roc.low != roc.high:
            figure.add_trace(axes.band(roc.false_alarms, roc.low, roc.high, index, alpha=0.14))
        hover = f"{name}<br>%{{x:.0%}} false alarms: %{{y:.1%}} found"
        legend = f"{name}, AUROC {auroc:.3f}"
        figure.add_trace(axes.line(roc.false_alarms, roc.mean, index, name=legend, hover=hover))
        text = f"{name}<br>sensitivity {sensitivity:.3f}, specificity {specificity:.3f}"
        marker = axes.marker(index, size=11) | {"symbol": "circle-open-dot"}
        figure.add_trace(axes.points([(1 - specificity, sensitivity, text)], marker, index=index))
    return figure


def draw_calibration(info: EvaluationInfo) -> Figure:
    """Draw a line per configuration, with a point per bin that holds predictions."""
    figure = _square("calibrated", "predicted probability of pneumonia", "share with pneumonia")
    for evaluated, index in info.shown:
        bins, name = evaluated.calibration, axes.label(evaluated.name)
        total = sum(one.n for one in bins)
        error = evaluated.metrics["calibration_error"].mean or 0.0
        trace = axes.line(
            [one.predicted for one in bins],
            [one.observed for one in bins],
            index,
            name=f"{name}, error {error:.3f}",
            hover=f"{name}<br>predicted %{{x:.1%}}, observed %{{y:.1%}}<br>%{{text}} predictions",
        )
        sizes = [6 + 14 * (one.n / total) ** 0.5 for one in bins]
        marker = axes.marker(index, size=12) | {"size": sizes}
        text = [one.n for one in bins]
        figure.add_trace(trace.update(mode="lines+markers", marker=marker, text=text))
    return figure


def _square(diagonal: str, x_title: str, y_title: str) -> Figure:
    """Return a figure of two shares with the line from corner to corner."""
    figure = axes.empty(height=460, x_title=x_title, y_title=y_title)
    figure.update_xaxes(range=[-0.03, 1.03], tickformat=axes.PERCENT_TICKS)
    figure.update_yaxes(range=[-0.03, 1.03], tickformat=axes.PERCENT_TICKS)
    return figure.add_trace(axes.reference(diagonal, (0, 1), (0, 1), dash=axes.LONG_DASH))
