"""ROC curves, calibration and the confusion matrix on the test set."""

from collections.abc import Iterator, Mapping
from typing import Final

from plotly.graph_objects import Figure, Heatmap

from hpo.evaluate.records import Evaluated, Evaluation, Roc
from hpo.plots import axes
from hpo.plots.axes import Plot
from hpo.study.baselines import REGRESSION

MAX_CURVES: Final = len(axes.PALETTE)


def plot_test(evaluation: Evaluation, colors: Mapping[str, int]) -> Iterator[Plot]:
    """Plot ROC and calibration on the test set, in the `colors` of other figures, by name.

    If there are many, the configurations with the best validation accuracy are shown. With more
    than two classes, ROC is replaced by the confusion matrix of the best configuration.
    """
    tested, regression = evaluation.configurations, evaluation.regression
    best = sorted(tested, key=_validation_accuracy, reverse=True)[:MAX_CURVES]
    names = {evaluated.name for evaluated in best}
    free = (index for index in range(2 * MAX_CURVES) if index not in colors.values())
    shown = [
        (evaluated, colors[evaluated.name] if evaluated.name in colors else next(free))
        for evaluated in tested
        if evaluated.name in names
    ]
    left_out = ""
    if len(best) < len(tested):
        left_out = (
            f" Of {len(tested)} configurations, the best {len(best)} on validation are shown."
        )
    negative, positive, *others = evaluation.classes
    is_of_two = not others
    caption = (
        f"The share of {positive} images classified as {positive} against the share of {negative} "
        f"images classified as {positive}, as the threshold falls from 1 to 0. The marks show the "
        f"threshold {evaluation.threshold}; the long-dashed line is chance."
    )
    if any(len(evaluated.thresholds) > 1 for evaluated, _ in shown):
        caption += axes.OF_REPEATS
    figure = _square("chance", "false positive rate (1 - specificity)", "sensitivity")
    for evaluated, index in shown:
        if evaluated.roc:
            _add_roc(figure, evaluated, evaluated.roc, index)
    if regression and regression.roc:
        name = f"{regression.name}, AUROC {regression.metrics['auroc'].mean or 0.0:.3f}"
        x, y, dash = regression.roc.false_alarms, regression.roc.mean, axes.DASHES[REGRESSION]
        figure.add_trace(axes.reference(name, x, y, dash=dash))
    if any(evaluated.roc for evaluated, _ in shown):
        yield Plot("roc", "ROC", caption + left_out, (figure,))
    share = f"share of {positive}" if is_of_two else "share of correct predictions"
    caption = (
        f"The {share} against the predicted probability, in ten bins of equal width over all "
        "repeats. On the long-dashed line they are equal; below it the probability is too high. "
        "Larger points hold more predictions."
    )
    title = positive if is_of_two else "the predicted class"
    figure = _square(
        "calibrated", axes.lines(f"predicted probability of {title}"), axes.lines(share)
    )
    for evaluated, index in shown:
        _add_calibration(figure, evaluated, index)
    yield Plot("calibration", "Calibration", caption + left_out, (figure,))
    if not is_of_two:
        yield _plot_confusion(best[0], list(evaluation.classes))


def _validation_accuracy(evaluated: Evaluated) -> float:
    return (evaluated.metrics["accuracy"].mean or 0.0) + (evaluated.gap["accuracy"].mean or 0.0)


def _plot_confusion(evaluated: Evaluated, classes: list[str]) -> Plot:
    """Plot the confusion matrix, the mean over repeats."""
    n = len(evaluated.trials)
    labels = [axes.label(name) for name in classes]
    shares = [[cell / max(1, sum(row)) for cell in row] for row in evaluated.confusion]
    figure = axes.empty(height=460, x_title="predicted class", y_title="true class")
    figure.add_trace(
        Heatmap(
            x=labels,
            y=labels,
            z=shares,
            zmin=0,
            zmax=1,
            text=[[f"{cell / n:.4g}" for cell in row] for row in evaluated.confusion],
            texttemplate="%{text}",
            hovertemplate="%{y} classified as %{x}: %{text} images (%{z:.1%})<extra></extra>",
            colorscale=[[0, axes.color(0, alpha=0.0)], [1, axes.color(0, alpha=0.6)]],
            showscale=False,
        )
    )
    figure.update_xaxes(showgrid=False).update_yaxes(showgrid=False, autorange="reversed")
    caption = (
        f"The test images by true and predicted class, of {evaluated.name}, the best on validation"
        f"{', mean over its repeats' if n > 1 else ''}. Correct predictions are on the diagonal."
    )
    return Plot("confusion", "Confusion matrix", caption, (figure,))


def _add_roc(figure: Figure, evaluated: Evaluated, roc: Roc, index: int) -> None:
    """Add a curve with its band and the mark of its threshold."""
    name = axes.label(evaluated.name)
    auroc, sensitivity, specificity = (
        evaluated.metrics[metric].mean or 0.0 for metric in ("auroc", "sensitivity", "specificity")
    )
    if roc.low != roc.high:
        figure.add_trace(axes.band(roc.false_alarms, roc.low, roc.high, index, alpha=0.14))
    hover = f"{name}<br>false positive rate %{{x:.0%}}, sensitivity %{{y:.1%}}"
    legend = f"{name}, AUROC {auroc:.3f}"
    figure.add_trace(axes.line(roc.false_alarms, roc.mean, index, name=legend, hover=hover))
    text = f"{name}<br>sensitivity {sensitivity:.3f}, specificity {specificity:.3f}"
    marker = axes.marker(index, size=11) | {"symbol": "circle-open-dot"}
    figure.add_trace(axes.points([(1 - specificity, sensitivity, text)], marker, index=index))


def _add_calibration(figure: Figure, evaluated: Evaluated, index: int) -> None:
    """Add a line with a point per bin that holds predictions."""
    bins, name = evaluated.calibration, axes.label(evaluated.name)
    total = sum(bin_.n for bin_ in bins)
    error = evaluated.metrics["calibration_error"].mean or 0.0
    trace = axes.line(
        [bin_.predicted for bin_ in bins],
        [bin_.observed for bin_ in bins],
        index,
        name=f"{name}, error {error:.3f}",
        hover=f"{name}<br>predicted %{{x:.1%}}, observed %{{y:.1%}}<br>%{{text}} predictions",
    )
    sizes = [6 + 14 * (bin_.n / total) ** 0.5 for bin_ in bins]
    marker = axes.marker(index, size=12) | {"size": sizes}
    text = [bin_.n for bin_ in bins]
    figure.add_trace(trace.update(mode="lines+markers", marker=marker, text=text))


def _square(diagonal: str, x_title: str, y_title: str) -> Figure:
    """Return a figure of two shares with its diagonal."""
    figure = axes.empty(height=460, x_title=x_title, y_title=y_title)
    shape = {"range": [-0.03, 1.03], "tickformat": axes.PERCENT_TICKS, "constrain": "domain"}
    figure.update_xaxes(shape)
    figure.update_yaxes(shape, scaleanchor="x")
    return figure.add_trace(axes.reference(diagonal, (0, 1), (0, 1), dash=axes.LONG_DASH))
