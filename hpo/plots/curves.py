"""Accuracy and loss over the epochs, training and validation, several configurations overlaid.

Where a study optimizes another score than accuracy, that score is above them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from plotly.graph_objects import Figure, Scatter

from hpo.plots import axes
from hpo.storage.runs import Run, RunStore
from hpo.study.score import SCORES, Score
from hpo.study.summary import Configuration, Repeat, StudySummary

Metric = Literal["score", "accuracy", "loss"]
Split = Literal["validation", "training"]

METRICS: Final[tuple[Metric, ...]] = ("score", "accuracy", "loss")
SPLITS: Final[tuple[Split, ...]] = ("validation", "training")
N_BEST: Final = len(axes.PALETTE) - 1

_LOG_FROM: Final = 30.0
# The file of a training may be gone: then only the scores that were reported are left.
_Training: TypeAlias = tuple[Repeat, Run | None]


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
    """Curves to overlay; `score` is that of the curves with the metric `score`."""

    score: Score
    curves: tuple[Curve, ...]
    is_loss_log: bool
    caption: str


def curves_info(summary: StudySummary, runs: RunStore) -> CurvesInfo | None:
    """Gather the curves of finished trainings; None while there are none.

    Of many configurations, the best by mean score and the base configuration are taken.
    """
    chosen = _chosen(summary)
    n_finished = sum(bool(c.scores) for c in summary.configurations)
    left_out = ""
    if len(chosen) < n_finished:
        extra = " and the base configuration" if len(chosen) > N_BEST else ""
        left_out = f" Of {n_finished} configurations, the best {N_BEST}{extra} are shown."
    named = [(axes.name_of(summary, c), c) for c in chosen]
    return overlay_info(named, runs, score=summary.record.score, left_out=left_out)


def curve_colors(summary: StudySummary) -> dict[str, int]:
    """Return the color of each configuration whose curves are drawn, for the other figures."""
    return {axes.name_of(summary, c): i for i, c in enumerate(_chosen(summary))}


def _chosen(summary: StudySummary) -> list[Configuration]:
    """Return the configurations to show, in the order of the study."""
    finished = [c for c in summary.configurations if c.scores]
    if len(finished) <= len(axes.PALETTE):
        return finished
    finished.sort(key=summary.full_rank, reverse=True)
    base = summary.record.space.base.identity()
    others = [c for c in finished[N_BEST:] if c.config.identity() == base]
    return sorted(finished[:N_BEST] + others, key=lambda c: c.number)


def overlay_info(
    named: Sequence[tuple[str, Configuration]],
    runs: RunStore,
    *,
    score: Score,
    left_out: str = "",
) -> CurvesInfo | None:
    """Gather the curves of these configurations, of whatever study; None while there are none.

    `score` is what their studies optimize; `left_out` says which others are not shown.
    """
    trainings = [
        [(r, runs.read(r.run) if r.run else None) for r in c.repeats if r.score is not None]
        for _, c in named
    ]
    curves = [
        curve
        for index, (name, _) in enumerate(named)
        for metric in METRICS[score.is_accuracy :]
        for curve in _curves(name, index, metric, trainings[index])
    ]
    if not curves:
        return None
    every = [training for of_one in trainings for training in of_one]
    caption = (
        "Solid lines are validation, dashed ones training (measured while training, with dropout "
        "on, so it can be below validation)."
    )
    if any(len(of_one) > 1 for of_one in trainings):
        caption += " Lines are means over repeats, bands reach from the lowest to the highest."
    if score.is_stressed and any(curve.metric == "score" for curve in curves):
        caption += f" Dots show the epochs in which the {score.title} was measured."
    caption += left_out
    if len({repeat.n_epochs for repeat, _ in every}) > 1:
        caption += " Trainings end at different epochs: each epoch shows those that reached it."
    if len({c.config.loss for _, c in named}) > 1:
        caption += " Configurations with different loss functions have losses on different scales."
    if n_gone := sum(run is None for _, run in every):
        caption += (
            f" The run files of {n_gone} of {len(every)} trainings are missing: only their "
            f"validation {score.title} is left."
        )
    losses = [x for c in curves if c.metric == "loss" for x in c.mean if math.isfinite(x)]
    return CurvesInfo(
        score=score,
        curves=tuple(curves),
        # A linear axis would flatten most losses where they differ so much.
        is_loss_log=bool(losses)
        and min(losses) > 0
        and max(losses) > _LOG_FROM * sorted(losses)[len(losses) // 2],
        caption=f"{caption} A click on a name in the legend hides it.",
    )


def _curves(
    name: str, index: int, metric: Metric, trainings: Sequence[_Training]
) -> Iterator[Curve]:
    for split in SPLITS:
        repeats = [found for one in trainings if (found := _values(*one, metric, split))]
        columns = []
        for epoch in range(max(map(len, repeats), default=0)):
            reached = [values[epoch] for values in repeats if epoch < len(values)]
            finite = [value for value in reached if math.isfinite(value)] or [math.nan]
            columns.append((math.fsum(finite) / len(finite), min(finite), max(finite)))
        # A score that was measured in one epoch is no curve.
        if sum(math.isfinite(mean) for mean, *_ in columns) > (metric == "score"):
            mean, low, high = zip(*columns, strict=True)
            yield Curve(
                label=name, color=index, metric=metric, split=split, mean=mean, low=low, high=high
            )


def _values(repeat: Repeat, run: Run | None, metric: Metric, split: Split) -> tuple[float, ...]:
    if metric == "score":
        numbers = range(1, repeat.n_epochs + 1) if split == "validation" else ()
        return tuple(repeat.reported.get(number, math.nan) for number in numbers)
    if run is not None:
        of_split = (e.validation if split == "validation" else e.train for e in run.epochs)
        return tuple(values.get(metric, math.nan) for values in of_split)
    return repeat.accuracies if (metric, split) == ("accuracy", "validation") else ()


def draw_curves(info: CurvesInfo) -> Figure:
    """Draw accuracy above loss, a color per configuration, training dashed."""
    metrics = [m for m in METRICS if any(curve.metric == m for curve in info.curves)]
    figure = axes.empty(height=120 + 260 * len(metrics))
    figure.set_subplots(rows=len(metrics), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for row, metric in enumerate(metrics, start=1):
        score = info.score if metric == "score" else SCORES["accuracy"]
        axis: dict[str, object] = {"title_text": score.title, "tickformat": axes.ticks(score)}
        if metric == "loss":
            axis = {"title_text": "loss", "type": "log" if info.is_loss_log else None}
        figure.update_yaxes(axis, row=row)
    n_epochs = max(len(curve.mean) for curve in info.curves)
    figure.update_xaxes(
        axes.count_axis(1, n_epochs) if n_epochs > 1 else axes.count_axis(0.5, 1.5)
    )
    figure.update_xaxes(title_text="epoch", row=len(metrics))
    named: set[int] = set()
    for curve in info.curves:
        row = metrics.index(curve.metric) + 1
        for trace in _traces(curve, has_legend=curve.color not in named):
            figure.add_trace(trace, row=row, col=1)
        named.add(curve.color)
    for split in SPLITS:
        # A legend entry without a curve says what the dashes mean.
        line = {"color": axes.GRAY, "width": 2, "dash": axes.DASHES[split]}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=split, row=1, col=1)
    return figure


def _traces(curve: Curve, *, has_legend: bool) -> Iterator[Scatter]:
    """Yield the band between the repeats, drawn around its edge, and the line of their means."""
    finite = {n: mean for n, mean in enumerate(curve.mean, start=1) if math.isfinite(mean)}
    if curve.low != curve.high:
        low, high = ([values[n - 1] for n in finite] for values in (curve.low, curve.high))
        alpha = 0.14 if curve.split == "validation" else 0.07
        yield axes.band(list(finite), low, high, curve.color, alpha=alpha)
    n_epochs = len(curve.mean)
    # Between the epochs in which a score was measured its line goes on.
    drawn = finite if curve.metric == "score" else dict(enumerate(curve.mean, start=1))
    is_sparse = n_epochs == 1 or len(drawn) < n_epochs
    name = axes.label(curve.label)
    hover = f"{name}<br>{curve.split}, epoch %{{x}}: %{{y:.4f}}"
    trace = axes.line(list(drawn), list(drawn.values()), curve.color, name=name, hover=hover)
    yield trace.update(
        mode="lines+markers" if is_sparse else "lines",
        cliponaxis=not is_sparse,
        line_dash=axes.DASHES[curve.split],
        showlegend=has_legend,
    )
