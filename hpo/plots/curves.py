"""Accuracy and loss over the epochs, training and validation, several configurations overlaid.

Where a study optimizes anything but accuracy, its own score stands above them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from plotly import graph_objects as go

from hpo.plots.labels import configuration_label
from hpo.plots.scores import ticks
from hpo.plots.style import (
    DASHES,
    GRAY,
    PALETTE,
    axis,
    color,
    count_axis,
    label,
    lines,
    new_figure,
)
from hpo.storage.runs import Epoch, RunStore
from hpo.study.score import SCORES, Score
from hpo.study.summary import Configuration, Repeat, StudySummary

Metric = Literal["score", "accuracy", "loss"]
Split = Literal["train", "validation"]

METRICS: Final[tuple[Metric, ...]] = ("score", "accuracy", "loss")
N_BEST: Final = len(PALETTE) - 1

_WORDS: Final[dict[Split, str]] = {"validation": "validation", "train": "training"}
_LOG_FROM: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One metric of one configuration, one value per epoch: mean, lowest, highest repeat.

    A score under stress is not measured in every epoch: it is nan in the others.
    """

    label: str
    color: int
    metric: Metric
    split: Split
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CurvesInfo:
    """Curves to overlay, and the score that those called so are of."""

    score: Score
    curves: tuple[Curve, ...]
    is_loss_log: bool
    caption: str


@dataclass(frozen=True)
class _Record:
    """What is left of one training: all its epochs, or only the scores that were reported."""

    epochs: tuple[Epoch, ...]
    accuracies: tuple[float, ...]
    reported: Mapping[int, float]
    n_epochs: int

    def values(self, metric: Metric, split: Split) -> tuple[float, ...]:
        if metric == "score":
            numbers = range(1, self.n_epochs + 1) if split == "validation" else ()
            return tuple(self.reported.get(number, math.nan) for number in numbers)
        if self.epochs:
            of_split = (e.train if split == "train" else e.validation for e in self.epochs)
            return tuple(values.get(metric, math.nan) for values in of_split)
        return self.accuracies if (metric, split) == ("accuracy", "validation") else ()


def curves_info(summary: StudySummary, runs: RunStore) -> CurvesInfo | None:
    """Extract the curves of finished trainings; None while there are none.

    Of many configurations, the best by mean score and the base configuration are taken.
    """
    chosen = _chosen(summary)
    named = [(configuration_label(summary, c), c) for c in chosen]
    left_out = _left_out(summary, chosen)
    return overlay_info(named, runs, score=summary.record.score, left_out=left_out)


def curve_colors(summary: StudySummary) -> dict[str, int]:
    """Return the color of each configuration whose curves are drawn, for the other figures."""
    numbers = _chosen(summary)
    return {configuration_label(summary, n): index for index, n in enumerate(numbers)}


def overlay_info(
    named: Sequence[tuple[str, Configuration]],
    runs: RunStore,
    *,
    score: Score,
    left_out: str = "",
) -> CurvesInfo | None:
    """Extract the curves of these configurations, of whatever study; None while there are none.

    `score` is what their studies optimize. `left_out` tells in the caption which others are not
    shown.
    """
    metrics = [metric for metric in METRICS if metric != "score" or not score.is_accuracy]
    records = [_records(configuration, runs) for _, configuration in named]
    curves = [
        curve
        for index, (name, _) in enumerate(named)
        for metric in metrics
        for curve in _curves(name, index, metric, records[index])
    ]
    if not curves:
        return None
    return CurvesInfo(
        score=score,
        curves=tuple(curves),
        is_loss_log=_is_loss_log(curves),
        caption=_caption(
            [c for _, c in named],
            records,
            has_dots=score.is_stressed and any(c.metric == "score" for c in curves),
            score=score,
            left_out=left_out,
        ),
    )


def draw_curves(info: CurvesInfo) -> go.Figure:
    """Draw accuracy above loss, a color per configuration, training dashed."""
    metrics = [m for m in METRICS if any(curve.metric == m for curve in info.curves)]
    figure = new_figure(height=120 + 260 * len(metrics), x_title="", y_title="")
    figure.set_subplots(rows=len(metrics), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for row, metric in enumerate(metrics, start=1):
        figure.update_xaxes(axis("epoch" if row == len(metrics) else ""), row=row)
        shown = info.score if metric == "score" else SCORES["accuracy"]
        figure.update_yaxes(axis("loss" if metric == "loss" else shown.title), row=row)
        if metric != "loss":
            figure.update_yaxes(tickformat=ticks(shown), row=row)
        if metric == "loss" and info.is_loss_log:
            figure.update_yaxes(type="log", row=row)
    n_epochs = max(len(curve.mean) for curve in info.curves)
    figure.update_xaxes(count_axis(1, n_epochs) if n_epochs > 1 else count_axis(0.5, 1.5))
    named: set[int] = set()
    for curve in info.curves:
        for trace in _traces(curve, has_legend=curve.color not in named):
            figure.add_trace(trace, row=metrics.index(curve.metric) + 1, col=1)
        named.add(curve.color)
    for split in _WORDS:
        figure.add_trace(_legend_entry(split), row=1, col=1)
    return figure


def _chosen(summary: StudySummary) -> list[Configuration]:
    """Return the configurations to show, in the order of the study."""
    finished = [c for c in summary.configurations if c.scores]
    if len(finished) <= len(PALETTE):
        return finished
    finished.sort(key=summary.full_rank, reverse=True)
    base = summary.record.space.base.identity()
    chosen = finished[:N_BEST]
    chosen += [c for c in finished[N_BEST:] if c.config.identity() == base]
    return sorted(chosen, key=lambda c: c.number)


def _records(configuration: Configuration, runs: RunStore) -> list[_Record]:
    return [_record(r, runs) for r in configuration.repeats if r.score is not None]


def _record(repeat: Repeat, runs: RunStore) -> _Record:
    run = runs.read(repeat.run) if repeat.run else None
    return _Record(
        epochs=run.epochs if run else (),
        accuracies=repeat.accuracies,
        reported=repeat.reported,
        n_epochs=repeat.n_epochs,
    )


def _curves(label: str, index: int, metric: Metric, records: list[_Record]) -> Iterable[Curve]:
    for split in _WORDS:
        repeats = [values for r in records if (values := r.values(metric, split))]
        if not repeats:
            continue
        mean, low, high = _spread(repeats)
        # A score that was measured in one epoch is no curve.
        if sum(map(math.isfinite, mean)) > (metric == "score"):
            yield Curve(
                label=label,
                color=index,
                metric=metric,
                split=split,
                mean=mean,
                low=low,
                high=high,
            )


def _spread(repeats: list[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    """Return mean, lowest and highest per epoch, over the repeats that have the epoch."""
    columns = []
    for epoch in range(max(map(len, repeats))):
        there = [values[epoch] for values in repeats if epoch < len(values)]
        finite = [value for value in there if math.isfinite(value)] or [math.nan]
        columns.append((math.fsum(finite) / len(finite), min(finite), max(finite)))
    return tuple(zip(*columns, strict=True))


def _is_loss_log(curves: list[Curve]) -> bool:
    """Whether the losses differ so much that a linear axis would flatten most of them."""
    values = [v for c in curves if c.metric == "loss" for v in c.mean if math.isfinite(v)]
    if not values or min(values) <= 0:
        return False
    return max(values) > _LOG_FROM * sorted(values)[len(values) // 2]


def _left_out(summary: StudySummary, chosen: Sequence[Configuration]) -> str:
    n_finished = sum(bool(c.scores) for c in summary.configurations)
    if len(chosen) == n_finished:
        return ""
    extra = " and the base configuration" if len(chosen) > N_BEST else ""
    return f" Of {n_finished} configurations, the best {N_BEST}{extra} are shown."


def _caption(
    configurations: Sequence[Configuration],
    records: Sequence[list[_Record]],
    *,
    has_dots: bool,
    score: Score,
    left_out: str,
) -> str:
    every = [record for of_one in records for record in of_one]
    caption = "Solid lines are validation, dashed ones training (measured while training, with "
    caption += "dropout on, so it may lie below validation)."
    if any(len(of_one) > 1 for of_one in records):
        caption += " Lines are means over repeats, bands reach from the lowest to the highest."
    if has_dots:
        caption += f" The {score.title} is not measured in every epoch: dots are where it was."
    caption += left_out
    if len({record.n_epochs for record in every}) > 1:
        caption += " Trainings end at different epochs: each epoch shows those that reached it."
    if len({configuration.config.loss for configuration in configurations}) > 1:
        caption += " Configurations with different loss functions have losses on different scales."
    n_gone = sum(not record.epochs for record in every)
    if n_gone:
        caption += (
            f" The run files of {n_gone} of {len(every)} trainings are gone: of those only the "
            f"validation {score.title} is left."
        )
    return caption + " A click on a name in the legend hides it."


def _traces(curve: Curve, *, has_legend: bool) -> list[go.Scatter]:
    epochs = list(range(1, len(curve.mean) + 1))
    # Between the epochs in which a score was measured its line goes on.
    measured = [n for n in epochs if math.isfinite(curve.mean[n - 1]) or curve.metric != "score"]
    is_sparse = len(epochs) == 1 or len(measured) < len(epochs)
    line = go.Scatter(
        x=measured,
        y=[curve.mean[n - 1] for n in measured],
        mode="lines+markers" if is_sparse else "lines",
        cliponaxis=not is_sparse,
        line={"color": color(curve.color), "width": 2, "dash": DASHES[_WORDS[curve.split]]},
        name=label(curve.label),
        legendgroup=str(curve.color),
        showlegend=has_legend,
        hoverinfo="text",
        hovertext=[
            lines([curve.label, f"{_WORDS[curve.split]}, epoch {n}: {curve.mean[n - 1]:.4f}"])
            for n in measured
        ],
    )
    return [line] if curve.low == curve.high else [_band(curve, epochs), line]


def _band(curve: Curve, epochs: list[int]) -> go.Scatter:
    """Return the area between the lowest and the highest repeat, drawn around its edge."""
    there = [i for i, value in enumerate(curve.mean) if math.isfinite(value)]
    return go.Scatter(
        x=[epochs[i] for i in there + there[::-1]],
        y=[curve.high[i] for i in there] + [curve.low[i] for i in there[::-1]],
        fill="toself",
        fillcolor=color(curve.color, alpha=0.14 if curve.split == "validation" else 0.07),
        line={"width": 0},
        mode="lines",
        legendgroup=str(curve.color),
        showlegend=False,
        hoverinfo="skip",
    )


def _legend_entry(split: Split) -> go.Scatter:
    """Return an entry of the legend that stands for no curve: what the dashes mean."""
    return go.Scatter(
        x=[None],
        y=[None],
        mode="lines",
        line={"color": GRAY, "width": 2, "dash": DASHES[_WORDS[split]]},
        name=_WORDS[split],
        hoverinfo="skip",
    )
