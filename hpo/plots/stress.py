"""The best configuration under each change of the stress battery."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from hpo.plots import axes
from hpo.plots.axes import Plot
from hpo.storage.runs import RunStore
from hpo.study.score import Score
from hpo.study.summary import StudySummary
from hpo.tables import count


@dataclass(frozen=True, kw_only=True)
class StressInfo:
    """The metric by repeat under each change, the worst change first.

    `unchanged` is its mean over the same repeats on the unchanged images. `n_missing` counts the
    repeats without a recorded battery.
    """

    name: str
    scores: Mapping[str, tuple[float, ...]]
    unchanged: float
    score: Score
    n_missing: int

    def texts(self, change: str) -> tuple[str, str]:
        """Return the mean under a change, and its loss against the unchanged images."""
        mean = fmean(self.scores[change])
        is_better_high = self.score.kind.direction == "maximize"
        pair = (self.unchanged, mean) if is_better_high else (mean, self.unchanged)
        return self.score.text(mean), self.score.difference_text(*pair)

    @property
    def sentence(self) -> str:
        """A sentence on the worst change."""
        worst, title, unchanged = next(iter(self.scores)), self.score.title, self.unchanged
        text = self.score.text(unchanged)
        if self.score.rank(fmean(self.scores[worst])) >= self.score.rank(unchanged):
            return f"No change makes the {title} of {self.name} worse than {text}."
        mean, loss = self.texts(worst)
        return (
            f'The worst change for {self.name} is "{worst}": {title} {mean} instead of {text}, a '
            f"loss of {loss}."
        )


def stress_info(summary: StudySummary, runs: RunStore) -> StressInfo | None:
    """Gather the battery of the best configuration; None if none is recorded.

    For a winner of the finalists, these are the new repeats.
    """
    best, score = summary.best, summary.record.score.plain
    read = [runs.read(r.run) for r in best.judged] if best else []
    stressed = [run for run in read if run is not None and run.stress]
    if best is None or not stressed:
        return None
    # Older batteries may have other changes, so only the common ones are compared.
    scores = {
        change: tuple(run.stress[change][score.metric] for run in stressed)
        for change in stressed[0].stress
        if all(change in run.stress for run in stressed)
    }
    return StressInfo(
        name=axes.name_of(summary, best),
        scores=dict(sorted(scores.items(), key=lambda item: score.rank(fmean(item[1])))),
        unchanged=fmean(run.kept.validation[score.metric] for run in stressed),
        score=score,
        n_missing=len(best.judged) - len(stressed),
    )


def plot_stress(info: StressInfo) -> Plot:
    """Plot a row per change, worst first: from the unchanged images to the mean."""
    changes = list(info.scores)[::-1]
    means = [fmean(info.scores[change]) for change in changes]
    rows, n = list(enumerate(changes)), len(info.scores[changes[0]])
    shown = [info.unchanged, *(x for of_one in info.scores.values() for x in of_one)]
    figure = axes.empty(height=130 + 34 * len(rows))
    figure.update_xaxes(axes.score_axis(info.score, shown))
    figure.update_yaxes(axes.label_axis(changes), ticks="")
    figure.add_scatter(
        x=[x for mean in means for x in (info.unchanged, mean, None)],
        y=[y for row, _ in rows for y in (row, row, None)],
        mode="lines",
        line={"color": axes.color(0, alpha=0.35), "width": 4},
        hoverinfo="skip",
        showlegend=False,
    )
    name = f"unchanged images: {info.score.text(info.unchanged)}"
    x, y = (info.unchanged, info.unchanged), (-0.5, len(rows) - 0.5)
    figure.add_trace(axes.reference(name, x, y, dash=axes.LONG_DASH))
    if n > 1:
        repeats = [(x, row, change) for row, change in rows for x in info.scores[change]]
        figure.add_trace(axes.points(repeats, axes.marker(0, size=6, is_open=True)))
    dots = [
        (mean, row, axes.lines(change, "{}, a loss of {}".format(*info.texts(change))))
        for mean, (row, change) in zip(means, rows, strict=True)
    ]
    figure.add_trace(axes.points(dots, axes.marker(0, size=12)))
    caption = (
        f"Validation {info.score.title} of {info.name} under each of {len(rows)} fixed changes of "
        f"the validation images, mean of {'one repeat' if n == 1 else f'{n} repeats'}, worst "
        "first. The long-dashed line is the same model on unchanged images; further to the "
        f"{'left' if info.score.kind.direction == 'maximize' else 'right'} is worse."
    )
    if n > 1:
        caption += " Small open points are single repeats."
    if info.n_missing:
        caption += f" {count(info.n_missing, 'more repeat')} without a stress test."
    return Plot("stress", "Robustness", caption, (figure,))
