"""The best configuration under each change of the stress battery, beside the unchanged images."""

from dataclasses import dataclass
from statistics import fmean

from plotly import graph_objects as go

from hpo.plots.labels import configuration_label
from hpo.plots.scores import ScoreAxis, plain_axis
from hpo.plots.style import GRAY, REFERENCE_DASH, color, label, lines, new_figure, open_marker
from hpo.storage.runs import Run, RunStore
from hpo.study.score import Score
from hpo.study.summary import StudySummary


@dataclass(frozen=True, kw_only=True)
class BatteryRow:
    """One change: the metric by repeat, its mean, and what it loses to the unchanged images.

    `loss` is in the metric's unit, above zero where the change makes it worse.
    """

    change: str
    scores: tuple[float, ...]
    mean: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class BatteryInfo:
    """The changes, the worst first; `unchanged` is the mean over the same repeats."""

    rows: tuple[BatteryRow, ...]
    unchanged: float
    axis: ScoreAxis
    sentence: str
    caption: str


def battery_info(summary: StudySummary, runs: RunStore) -> BatteryInfo | None:
    """Extract the battery of the best configuration; None where no run of it holds one.

    The repeats are those that speak for it: the fresh ones where it has won as a finalist.
    """
    best = summary.best
    read = [runs.read(r.run) for r in best.judged if r.run] if best else []
    stressed = [run for run in read if run is not None and run.stress]
    if best is None or not stressed:
        return None
    score = summary.record.score.plain
    unchanged = fmean(run.kept.validation[score.metric] for run in stressed)
    # An older battery may have had other changes: what all of them have is compared.
    changes = [n for n in stressed[0].stress if all(n in run.stress for run in stressed)]
    rows = [_row(change, stressed, unchanged, score=score) for change in changes]
    rows.sort(key=lambda row: -row.loss)
    name = configuration_label(summary, best)
    shown = [unchanged, *(value for row in rows for value in row.scores)]
    return BatteryInfo(
        rows=tuple(rows),
        unchanged=unchanged,
        axis=plain_axis(score, shown),
        sentence=_sentence(name, rows[0], unchanged, score=score),
        caption=_caption(name, rows, n_missing=len(best.judged) - len(stressed), score=score),
    )


def draw_battery(info: BatteryInfo) -> go.Figure:
    """Draw a row per change, the worst on top: from the unchanged images to the mean."""
    rows = info.rows[::-1]
    figure = new_figure(height=130 + 34 * len(rows), x_title=info.axis.title, y_title="")
    figure.update_xaxes(info.axis.layout)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[label(row.change) for row in rows],
        range=[-0.6, len(rows) - 0.4],
        showgrid=False,
        ticks="",
    )
    figure.add_trace(_stems(info, rows))
    figure.add_trace(_line(info, len(rows)))
    if any(len(row.scores) > 1 for row in rows):
        figure.add_trace(_repeats(rows))
    figure.add_trace(_means(info, rows))
    return figure


def _row(change: str, runs: list[Run], unchanged: float, *, score: Score) -> BatteryRow:
    scores = tuple(run.stress[change][score.metric] for run in runs)
    mean = fmean(scores)
    return BatteryRow(
        change=change,
        scores=scores,
        mean=mean,
        loss=score.rank(unchanged) - score.rank(mean),
    )


def loss_text(row: BatteryRow, unchanged: float, score: Score) -> str:
    """Write what a change costs, by the figures as they are written."""
    is_better_high = score.kind.direction == "maximize"
    scores = (unchanged, row.mean) if is_better_high else (row.mean, unchanged)
    return score.difference_text(*scores)


def _sentence(name: str, worst: BatteryRow, unchanged: float, *, score: Score) -> str:
    if worst.loss <= 0:
        return f"No change makes the {score.title} of {name} worse than {score.text(unchanged)}."
    return (
        f'The worst change for {name} is "{worst.change}": {score.title} '
        f"{score.text(worst.mean)} instead of {score.text(unchanged)}, a loss of "
        f"{loss_text(worst, unchanged, score)}."
    )


def _caption(name: str, rows: list[BatteryRow], *, n_missing: int, score: Score) -> str:
    n = len(rows[0].scores)
    repeats = "one repeat" if n == 1 else f"{n} repeats"
    higher = "left" if score.kind.direction == "maximize" else "right"
    caption = (
        f"Validation {score.title} of {name} under each of {len(rows)} fixed changes of the "
        f"validation images, mean of {repeats}, the worst on top. The long-dashed line is the "
        f"same model on the unchanged images; further to the {higher} is worse."
    )
    if n > 1:
        caption += " Small open points are single repeats."
    if n_missing:
        more = "1 more repeat of it has" if n_missing == 1 else f"{n_missing} more repeats have"
        caption += f" {more} no battery on record."
    return caption


def _stems(info: BatteryInfo, rows: tuple[BatteryRow, ...]) -> go.Scatter:
    return go.Scatter(
        x=[x for row in rows for x in (info.unchanged, row.mean, None)],
        y=[y for place in range(len(rows)) for y in (place, place, None)],
        mode="lines",
        line={"color": color(0, alpha=0.35), "width": 4},
        hoverinfo="skip",
        showlegend=False,
    )


def _line(info: BatteryInfo, n_rows: int) -> go.Scatter:
    return go.Scatter(
        x=[info.unchanged, info.unchanged],
        y=[-0.6, n_rows - 0.4],
        mode="lines",
        line={"color": GRAY, "width": 1.5, "dash": REFERENCE_DASH},
        name=f"unchanged images: {info.axis.score.text(info.unchanged)}",
        hoverinfo="skip",
        showlegend=True,
    )


def _repeats(rows: tuple[BatteryRow, ...]) -> go.Scatter:
    return go.Scatter(
        x=[value for row in rows for value in row.scores],
        y=[place for place, row in enumerate(rows) for _ in row.scores],
        mode="markers",
        marker=open_marker(0, size=6),
        hoverinfo="skip",
        showlegend=False,
    )


def _means(info: BatteryInfo, rows: tuple[BatteryRow, ...]) -> go.Scatter:
    score = info.axis.score
    return go.Scatter(
        x=[row.mean for row in rows],
        y=list(range(len(rows))),
        mode="markers",
        marker={"color": color(0), "size": 12},
        hoverinfo="text",
        hovertext=[
            lines(
                [
                    row.change,
                    score.text(row.mean),
                    f"loss: {loss_text(row, info.unchanged, score)}",
                ]
            )
            for row in rows
        ],
        showlegend=False,
    )
