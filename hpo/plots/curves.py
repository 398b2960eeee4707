"""Accuracy and loss over the epochs, training and validation, several configurations overlaid.

If a study optimizes another score than accuracy, that score is above them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from plotly.graph_objects import Figure

from hpo.plots import axes
from hpo.plots.axes import Plot
from hpo.storage.runs import RunStore
from hpo.study.score import SCORES, Score
from hpo.study.summary import Configuration, Repeat, StudySummary
from hpo.training.engine import Run

Metric = Literal["score", "accuracy", "loss"]
Split = Literal["validation", "training"]

METRICS: Final[tuple[Metric, ...]] = ("score", "accuracy", "loss")
SPLITS: Final[tuple[Split, ...]] = ("validation", "training")
N_BEST: Final = len(axes.PALETTE) - 1
MOST_BANDS: Final = 3
"""With more configurations, bands would hide the lines."""

_LOG_FROM: Final = 30.0
# If the run file of a training is missing, only its reported scores are available.
_Training: TypeAlias = tuple[Repeat, Run | None]
# Per epoch the mean, lowest and highest repeat; nan where nothing was measured.
_Curve: TypeAlias = Sequence[tuple[float, float, float]]
_Curves: TypeAlias = Mapping[tuple[int, Metric, Split], _Curve]


def plot_study_curves(summary: StudySummary, runs: RunStore) -> Plot | None:
    """Plot the curves of finished trainings; None if there are none.

    If there are many configurations, the best by mean score and the base are shown.
    """
    chosen = _chosen(summary)
    n_finished = sum(bool(c.scores) for c in summary.configurations)
    left_out = ""
    if len(chosen) < n_finished:
        extra = " and the base configuration" if len(chosen) > N_BEST else ""
        left_out = f" Of {n_finished} configurations, the best {N_BEST}{extra} are shown."
    named = [(axes.name_of(summary, c), c) for c in chosen]
    return plot_curves(named, runs, score=summary.record.score, left_out=left_out)


def curve_colors(summary: StudySummary) -> dict[str, int]:
    """Return the color of each plotted configuration, for the other figures."""
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


def plot_curves(
    named: Sequence[tuple[str, Configuration]], runs: RunStore, *, score: Score, left_out: str = ""
) -> Plot | None:
    """Plot the curves of configurations of any studies; None if there are none.

    `score` is the score that their studies optimize; `left_out` is a sentence on hidden ones.
    """
    trainings = [
        [(r, runs.read(r.run)) for r in c.repeats if r.score is not None] for _, c in named
    ]
    curves: _Curves = {
        (index, metric, split): curve
        for index, repeats in enumerate(trainings)
        for metric in METRICS[score.is_accuracy :]
        for split in SPLITS
        if (curve := _curve(repeats, metric, split))
    }
    if not curves:
        return None
    pairs = [training for repeats in trainings for training in repeats]
    caption = (
        "Solid lines are validation, dashed lines training. Training is measured with dropout "
        "on, so it can be below validation."
    )
    if any(len(repeats) > 1 for repeats in trainings):
        caption += (
            axes.OF_REPEATS if len(named) <= MOST_BANDS else " Lines are means over repeats."
        )
    if score.is_stressed and any(metric == "score" for _, metric, _ in curves):
        caption += f" Dots mark the epochs in which the {score.title} was measured."
    caption += left_out
    if len({repeat.n_epochs for repeat, _ in pairs}) > 1:
        caption += " Trainings end at different epochs: each epoch includes those that reached it."
    if len({c.config.loss for _, c in named}) > 1:
        caption += " Configurations with different loss functions have losses on different scales."
    if n_missing := sum(run is None for _, run in pairs):
        caption += (
            f" The run files of {n_missing} of {len(pairs)} trainings are missing: only their "
            f"validation {score.title} is available."
        )
    caption += " Click a name in the legend to hide it."
    return Plot("curves", "Curves", caption, (_draw(curves, [name for name, _ in named], score),))


def _curve(trainings: Sequence[_Training], metric: Metric, split: Split) -> _Curve:
    """Return a metric by epoch over the repeats that reached it; empty for a single point."""
    repeats = [values for pair in trainings if (values := _values(*pair, metric, split))]
    curve = []
    for epoch in range(max(map(len, repeats), default=0)):
        reached = [values[epoch] for values in repeats if epoch < len(values)]
        finite = [value for value in reached if math.isfinite(value)] or [math.nan]
        curve.append((math.fsum(finite) / len(finite), min(finite), max(finite)))
    # A score that was measured in a single epoch has no curve.
    n_measured = sum(math.isfinite(mean) for mean, *_ in curve)
    return curve if n_measured > (metric == "score") else ()


def _values(repeat: Repeat, run: Run | None, metric: Metric, split: Split) -> tuple[float, ...]:
    if metric == "score":
        numbers = range(1, repeat.n_epochs + 1) if split == "validation" else ()
        return tuple(repeat.reported.get(number, math.nan) for number in numbers)
    if run is not None:
        of_split = (e.validation if split == "validation" else e.train for e in run.epochs)
        return tuple(values.get(metric, math.nan) for values in of_split)
    return repeat.accuracies if (metric, split) == ("accuracy", "validation") else ()


def _draw(curves: _Curves, names: Sequence[str], score: Score) -> Figure:
    """Draw a row per metric, a color per configuration, training dashed."""
    metrics = [m for m in METRICS if any(metric == m for _, metric, _ in curves)]
    figure = axes.empty(height=120 + 260 * len(metrics))
    figure.set_subplots(rows=len(metrics), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for row, metric in enumerate(metrics, start=1):
        own = score if metric == "score" else SCORES["accuracy"]
        axis: dict[str, object] = {"title_text": own.title, "tickformat": axes.ticks(own)}
        if metric == "loss":
            axis = {"title_text": "loss", "type": "log" if _needs_log(curves) else None}
        figure.update_yaxes(axis, row=row)
    n_epochs = max(map(len, curves.values()))
    ends = (1, n_epochs) if n_epochs > 1 else (0.5, 1.5)
    figure.update_xaxes(axes.count_axis(*ends))
    figure.update_xaxes(title_text="epoch", row=len(metrics))
    in_legend: set[int] = set()
    for (index, metric, split), curve in curves.items():
        row, name = metrics.index(metric) + 1, axes.label(names[index])
        finite = {n: ends for n, ends in enumerate(curve, start=1) if math.isfinite(ends[0])}
        if len(names) <= MOST_BANDS and any(low != high for _, low, high in finite.values()):
            low, high = ([ends[place] for ends in finite.values()] for place in (1, 2))
            alpha = 0.14 if split == "validation" else 0.07
            figure.add_trace(axes.band(list(finite), low, high, index, alpha=alpha), row, 1)
        # The line continues between the epochs in which a score was measured.
        drawn = finite if metric == "score" else dict(enumerate(curve, start=1))
        is_sparse = len(curve) == 1 or len(drawn) < len(curve)
        hover = f"{name}<br>{split}, epoch %{{x}}: %{{y:.4f}}"
        means = [mean for mean, *_ in drawn.values()]
        line = axes.line(list(drawn), means, index, name=name, hover=hover).update(
            mode="lines+markers" if is_sparse else "lines",
            cliponaxis=not is_sparse,
            line_dash=axes.DASHES[split],
            showlegend=index not in in_legend,
        )
        in_legend.add(index)
        figure.add_trace(line, row, 1)
    for split in SPLITS:
        # A legend entry without a curve explains the dashes.
        look = {"color": axes.GRAY, "width": 2, "dash": axes.DASHES[split]}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=look, name=split, row=1, col=1)
    return figure


def _needs_log(curves: _Curves) -> bool:
    """Whether losses differ so much that a linear axis would flatten most of them."""
    means = (mean for (_, m, _), curve in curves.items() if m == "loss" for mean, *_ in curve)
    losses = sorted(filter(math.isfinite, means))
    return bool(losses) and losses[0] > 0 and losses[-1] > _LOG_FROM * losses[len(losses) // 2]
