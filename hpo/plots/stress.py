"""The best configuration under each change of the stress battery, and on the unchanged images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from plotly.graph_objects import Figure

from hpo.plots import axes
from hpo.storage.runs import RunStore
from hpo.study.summary import StudySummary


@dataclass(frozen=True, kw_only=True)
class StressInfo:
    """The metric by repeat under each change, the worst change first.

    `unchanged` is its mean over the same repeats on the unchanged images.
    """

    scores: Mapping[str, tuple[float, ...]]
    unchanged: float
    axis: axes.ScoreAxis
    caption: str
    sentence: str = ""

    def texts(self, change: str) -> tuple[str, str]:
        """Write the mean under a change, and by how much it is worse than on unchanged images."""
        score, mean = self.axis.score, fmean(self.scores[change])
        is_better_high = score.kind.direction == "maximize"
        pair = (self.unchanged, mean) if is_better_high else (mean, self.unchanged)
        return score.text(mean), score.difference_text(*pair)


def stress_info(summary: StudySummary, runs: RunStore) -> StressInfo | None:
    """Gather the battery of the best configuration; None where no run of it holds one.

    Of a winner of the finalists, the new repeats count.
    """
    best = summary.best
    read = [runs.read(r.run) for r in best.judged if r.run] if best else []
    stressed = [run for run in read if run is not None and run.stress]
    if best is None or not stressed:
        return None
    score = summary.record.score.plain
    unchanged = fmean(run.kept.validation[score.metric] for run in stressed)
    # An older battery may have had other changes: those that all of them have are compared.
    scores = {
        change: tuple(run.stress[change][score.metric] for run in stressed)
        for change in stressed[0].stress
        if all(change in run.stress for run in stressed)
    }
    changes = sorted(scores, key=lambda change: score.rank(fmean(scores[change])))
    name, n = axes.name_of(summary, best), len(stressed)
    caption = (
        f"Validation {score.title} of {name} under each of {len(scores)} fixed changes of the "
        f"validation images, mean of {'one repeat' if n == 1 else f'{n} repeats'}, the worst on "
        "top. The long-dashed line is the same model on the unchanged images; further to the "
        f"{'left' if score.kind.direction == 'maximize' else 'right'} is worse."
    )
    if n > 1:
        caption += " Small open points are single repeats."
    if n_missing := len(best.judged) - n:
        more = "1 more repeat has" if n_missing == 1 else f"{n_missing} more repeats have"
        caption += f" {more} no battery on record."
    info = StressInfo(
        scores={change: scores[change] for change in changes},
        unchanged=unchanged,
        axis=axes.plain_axis(
            score, [unchanged, *(x for of_one in scores.values() for x in of_one)]
        ),
        caption=caption,
    )
    mean, loss = info.texts(changes[0])
    said = f"No change makes the {score.title} of {name} worse than {score.text(unchanged)}."
    if score.rank(fmean(scores[changes[0]])) < score.rank(unchanged):
        said = (
            f'The worst change for {name} is "{changes[0]}": {score.title} {mean} instead of '
            f"{score.text(unchanged)}, a loss of {loss}."
        )
    return replace(info, sentence=said)


def draw_stress(info: StressInfo) -> Figure:
    """Draw a row per change, the worst on top: from the unchanged images to the mean."""
    score, changes = info.axis.score, list(info.scores)[::-1]
    means = [fmean(info.scores[change]) for change in changes]
    rows = list(enumerate(changes))
    figure = axes.empty(height=130 + 34 * len(rows), x_title=info.axis.title, y_title="")
    figure.update_xaxes(info.axis.layout).update_yaxes(axes.label_axis(changes), ticks="")
    figure.add_scatter(
        x=[x for mean in means for x in (info.unchanged, mean, None)],
        y=[y for row, _ in rows for y in (row, row, None)],
        mode="lines",
        line={"color": axes.color(0, alpha=0.35), "width": 4},
        hoverinfo="skip",
        showlegend=False,
    )
    name = f"unchanged images: {score.text(info.unchanged)}"
    ends = (-0.5, len(rows) - 0.5)
    figure.add_trace(axes.reference(name, (info.unchanged, info.unchanged), ends))
    repeats = [(x, row, change) for row, change in rows for x in info.scores[change]]
    if len(repeats) > len(rows):
        figure.add_trace(axes.points(repeats, axes.marker(0, size=6, is_open=True)))
    dots = [
        (mean, row, axes.lines(change, "{}, a loss of {}".format(*info.texts(change))))
        for mean, (row, change) in zip(means, rows, strict=True)
    ]
    return figure.add_trace(axes.points(dots, axes.marker(0, size=12)))
