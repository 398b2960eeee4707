"""What the figures of a study show, whichever score it optimizes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from hpo import space
from hpo.plots import axes
from hpo.plots.axes import Plot
from hpo.plots.curves import plot_study_curves
from hpo.plots.search import plot_history, plot_importances, plot_slices
from hpo.plots.stress import plot_stress, stress_info
from hpo.plots.sweep import plot_differences, plot_sweep
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from hpo.study.score import SCORES
from tests.fake_studies import FakeStudy, add_finalists, fake_grid, fake_record, fake_search

HOSTILE = "<img src=x onerror=alert(1)></script><b>&amp;"
# A share of the unchanged images, and a loss under stress.
METRICS = ("accuracy", "stress_log_loss")
NAN = float("nan")


def studied(folder: Path, *names: str, n_repeats: int = 1) -> FakeStudy:
    """Return a grid without a trial."""
    record = fake_record("grid", names or ["batch_size"])
    return FakeStudy(record, RunStore(folder), Goal(n_repeats))


def drawn(plot: Plot | None) -> Any:
    """Return the one figure of a plot."""
    (figure,) = plot.figures  # type: ignore[union-attr]
    return figure


@pytest.fixture(scope="module", params=METRICS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A search by each score; the trainings are the same."""
    return fake_search(tmp_path_factory.mktemp("runs"), 20, metric=request.param)


@pytest.fixture(scope="module", params=METRICS)
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A grid by each score; the trainings are the same."""
    folder = tmp_path_factory.mktemp("runs")
    return fake_grid(folder, ["learning_rate"], n_repeats=3, metric=request.param)


def test_every_pair_has_its_difference_with_its_interval_in_points_of_the_score(
    swept: FakeStudy,
) -> None:
    verdict = swept.summary.verdict
    figure = drawn(plot_differences(verdict))
    factor = 100 if verdict.kind.is_share else 1
    shown = {
        figure.layout.yaxis.ticktext[place]: (x, x - below, x + above)
        for trace in figure.data
        for x, place, below, above in zip(
            *(trace.x, trace.y, trace.error_x.arrayminus, trace.error_x.array), strict=True
        )
    }
    assert len(shown) == len(verdict.pairs) == 3
    for pair in verdict.pairs:
        # Where no difference matters, the interval is that of the bound: within the margin.
        half = (pair.bound or 0) - abs(pair.difference)
        ends = pair.low, pair.high
        if pair.answer == "same":
            ends = pair.difference - half, pair.difference + half
        expected = [factor * end for end in (pair.difference, *ends)]
        assert shown[f"{pair.b:g} − {pair.a:g}"] == pytest.approx(expected)  # noqa: RUF001
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1) == (-factor * verdict.kind.margin, factor * verdict.kind.margin)
    assert plot_differences(None) is None


def test_a_sweep_has_every_repeat_as_a_point_and_every_mean_with_its_interval(
    swept: FakeStudy,
) -> None:
    figure, score = drawn(plot_sweep(swept.summary)), swept.record.score
    points, means = figure.data[-2:]
    assert figure.layout.xaxis.ticktext == ("0.1", "0.01", "0.001")
    assert (len(points.x), list(means.x)) == (9, [0, 1, 2])
    assert figure.layout.yaxis.title.text == f"validation {score.title}"
    assert ("%" in points.hovertext[0]) is score.kind.is_share
    bar, found = means.error_y, [c.score for c in swept.summary.configurations if c.score]
    highs = [mean + part for mean, part in zip(means.y, bar.array, strict=True)]
    lows = [mean - part for mean, part in zip(means.y, bar.arrayminus, strict=True)]
    assert highs == pytest.approx([interval.high for interval in found])
    assert lows == pytest.approx([interval.low for interval in found])


def test_a_second_parameter_of_a_sweep_groups_configurations_side_by_side(tmp_path: Path) -> None:
    summary = fake_grid(tmp_path, ["batch_size", "hidden"], n_repeats=2).summary
    first, *others = summary.configurations
    # Where the second parameter has no effect.
    first = replace(first, params={"batch_size": 32})
    for configurations, n_places in ((summary.configurations, 9), ((first, *others), 9)):
        figure = drawn(plot_sweep(replace(summary, configurations=configurations)))
        means = [trace for trace in figure.data if trace.error_y.array is not None]
        assert len({x for trace in means for x in trace.x}) == n_places
    names = [trace.name for trace in figure.data]
    assert {"no hidden", "hidden 64", "hidden 64-64-64", "hidden 512-256-256"} <= set(names)


def test_one_repeat_has_no_interval_and_a_far_baseline_squeezes_nothing(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=1)
    fake.study.set_user_attr("baselines", {"majority": 0.7, HOSTILE: 0.935})
    plot = plot_sweep(fake.summary)
    figure = drawn(plot)
    assert "no interval" in plot.caption
    assert all(trace.error_y.array is None for trace in figure.data)
    low, high = figure.layout.yaxis.range
    assert 0.9 < low < 0.935 < high < 1
    (name,) = (trace.name for trace in figure.data if trace.name)
    assert name.startswith("&lt;img src=x")


def test_the_best_so_far_gets_better_and_ends_at_the_best(found: FakeStudy) -> None:
    plot, score = plot_history(found.summary), found.record.score
    figure, best = drawn(plot), found.summary.best
    (line,) = (trace for trace in figure.data if trace.name == "best so far")
    ranks = [score.rank(value) for value in line.y]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) > 1
    assert line.y[-1] == best.score.mean
    assert ("lower" in plot.caption) is (score.kind.direction == "minimize")
    assert figure.layout.yaxis.title.text == f"validation {score.title}"
    names = " ".join(trace.name for trace in figure.data)
    assert ("logistic regression" in names) is score.is_accuracy


def test_the_history_tells_states_apart_and_shows_finalists_twice(tmp_path: Path) -> None:
    fake = studied(tmp_path, n_repeats=2)
    base = fake.record.space.base
    for repeat in range(2):
        fake.complete(fake.ask({"batch_size": 32}, base, repeat), [0.8, 0.9])
    fake.prune(fake.ask({"batch_size": 64}, base.replace(batch_size=64), 0), [0.95, 0.97])
    fake.complete(fake.ask({"batch_size": 128}, base.replace(batch_size=128), 0), [0.93])
    named = {
        t.name: dict(zip(t.x, t.y, strict=True)) for t in drawn(plot_history(fake.summary)).data
    }
    assert named["complete"] == {1: 0.9}
    assert named["pruned, at its last epoch"] == {2: 0.97}
    assert named["with repeats missing"] == {3: 0.93}
    assert set(named["best so far"].values()) == {0.9}
    search = add_finalists(fake_search(tmp_path, 14), 0.90, 0.95, 0.88)
    named = {t.name: t for t in drawn(plot_history(search.summary)).data}
    again = named["finalist, retrained"]
    assert dict(zip(again.x, again.y, strict=True)) == {
        member.number: member.fresh.mean for member in search.summary.finalists.members
    }


def test_the_parameter_that_decides_is_the_most_important(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 60, metric="log_loss")
    (bars,) = drawn(plot_importances(fake.study, fake.summary)).data
    assert bars.y[-1] == "learning_rate"
    assert bars.x[-1] == max(bars.x)
    assert sum(bars.x) == pytest.approx(1)
    active = dict(zip(bars.y, bars.customdata, strict=True))
    assert 0 < active["momentum"] < active["learning_rate"]


@pytest.mark.parametrize("are_equal", [False, True])
def test_importances_are_of_means_and_not_of_the_luckiest_repeats(
    tmp_path: Path, are_equal: bool
) -> None:
    # The batch size raises both repeats alike, the learning rate drives them apart.
    fake = studied(tmp_path, "batch_size", "learning_rate", "hidden", n_repeats=2)
    for cell in space.cells(fake.record.space, fake.record.names):
        middle = 0.7 if are_equal else 0.7 + 0.001 * float(cell.params["batch_size"])
        apart = 0 if are_equal else 5 * float(cell.params["learning_rate"])
        for repeat, score in enumerate((middle - apart, middle + apart)):
            fake.complete(fake.ask(cell.params, cell.config, repeat), [score], has_run=False)
    plot = plot_importances(fake.study, fake.summary)
    if are_equal:
        assert plot.figures == ()
        assert plot.caption.startswith("27 configurations have a score.")
    else:
        (bars,) = drawn(plot).data
        assert bars.y[-1] == "batch_size"
        assert bars.x[-1] > 0.5


def test_each_searched_parameter_has_a_slice_in_which_the_best_is_the_one_large_point(
    found: FakeStudy,
) -> None:
    plot, best = plot_slices(found.summary), found.summary.best
    figures = {figure.layout.xaxis.title.text: figure for figure in plot.figures}
    assert list(figures) == list(found.record.names)
    assert figures["learning_rate"].layout.xaxis.type == "log"
    assert figures["dropout"].layout.xaxis.type != "log"
    assert figures["optimizer"].layout.xaxis.ticktext == ("adam", "sgd")
    assert figures["layers"].layout.xaxis.ticktext == ("1", "2", "3")
    assert figures["layers"].layout.yaxis.title.text == found.record.score.title
    # A conditional parameter is shown only where it was active.
    scored = [c for c in found.summary.configurations if c.score]
    (trace,) = figures["momentum"].data
    assert len(trace.x) == sum(c.params["optimizer"] == "sgd" for c in scored)
    for name, figure in figures.items():
        (trace,) = figure.data
        shown = zip(trace.hovertext, trace.marker.size, strict=True)
        large = [text.partition(":")[0] for text, size in shown if size > 8]
        assert large == [f"#{best.number}"] * (name in best.params)


def test_a_curve_is_the_mean_of_the_repeats_that_reached_an_epoch(tmp_path: Path) -> None:
    fake = studied(tmp_path, n_repeats=3)
    for repeat, curve in enumerate(([0.5, 0.75, NAN, 0.875], [0.75])):
        fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, repeat), curve)
    plot = plot_study_curves(fake.summary, fake.runs)
    figure = drawn(plot)
    band, line = figure.data[:2]
    assert list(line.y) == pytest.approx([0.625, 0.75, NAN, 0.875], nan_ok=True)
    assert list(band.y) == [0.75, 0.75, 0.875, 0.875, 0.75, 0.5]
    assert "different epochs" in plot.caption
    assert sum(trace.fill == "toself" for trace in figure.data) == 4
    assert figure.layout.yaxis2.type != "log"
    # The loss of a fake run is 1.15 - score: this one explodes.
    fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, 2), [-99.0, 0.6])
    figure = drawn(plot_study_curves(fake.summary, fake.runs))
    assert figure.layout.yaxis2.type == "log"


@pytest.mark.parametrize("metric", ["accuracy", "stress_accuracy"])
def test_without_run_files_only_the_reported_scores_are_left(tmp_path: Path, metric: str) -> None:
    fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=2, metric=metric)
    for file in tmp_path.iterdir():
        file.unlink()
    plot = plot_study_curves(fake.summary, fake.runs)
    title = SCORES[metric].title
    assert "6 of 6 trainings are missing" in plot.caption
    assert f"only their validation {title} is left" in plot.caption
    assert [axis.title.text for axis in drawn(plot).select_yaxes()] == [title]


def test_of_a_large_search_the_best_five_and_the_base_are_shown(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 40)
    first, *others = fake.summary.configurations
    worst = replace(first, score=replace(first.score, mean=0.1))
    summary = replace(fake.summary, configurations=(worst, *others))
    plot = plot_study_curves(summary, fake.runs)
    names = [t.name for t in drawn(plot).data if t.showlegend and t.name[0] == "#"]
    assert (len(names), names[0]) == (6, "#1")
    assert f"#{fake.summary.best.number}" in names
    assert "best 5 and the base configuration" in plot.caption


def test_the_score_of_the_study_is_above_accuracy_and_loss(swept: FakeStudy) -> None:
    figure, score = drawn(plot_study_curves(swept.summary, swept.runs)), swept.record.score
    own = [] if score.is_accuracy else [score.title]
    assert [axis.title.text for axis in figure.select_yaxes()] == [*own, "accuracy", "loss"]
    legend = [trace for trace in figure.data if trace.showlegend is not False]
    assert [t.name for t in legend[-2:]] == ["validation", "training"]
    assert len(legend) == 5
    if score.is_stressed:
        assert list(legend[0].x) == [4, 8, 12]
    lines = [t for t in figure.data if t.legendgroup == "0" and t.fill is None]
    assert {t.line.dash for t in lines} == {"solid", "dash"}
    assert len({t.line.color for t in lines}) == 1


def test_robustness_is_that_of_the_best_over_its_repeats_the_worst_change_first(
    tmp_path: Path,
) -> None:
    fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=3, metric="stress_log_loss")
    info, best = stress_info(fake.summary, fake.runs), fake.summary.best
    runs = [fake.runs.read(repeat.run) for repeat in best.repeats]
    assert info.unchanged == pytest.approx(fmean(r.kept.validation["log_loss"] for r in runs))
    # The score of the study is the mean over the changes.
    assert fmean(map(fmean, info.scores.values())) == pytest.approx(best.score.mean)
    assert info.sentence.startswith(f'The worst change for {best.label} is "noisy": ')
    assert "a loss of 0.12" in info.sentence
    figure = drawn(plot_stress(info))
    assert figure.layout.yaxis.ticktext == ("shifted", "blurred", "noisy")
    assert figure.layout.xaxis.title.text == f"validation {info.score.title}"
    assert list(figure.data[-1].x) == [fmean(x) for x in info.scores.values()][::-1]
    (line,) = (trace for trace in figure.data if trace.name)
    assert set(line.x) == {info.unchanged}
    (tmp_path / f"{best.repeats[0].run}.json").unlink()
    info = stress_info(fake.summary, fake.runs)
    assert len(info.scores["noisy"]) == 2
    assert "No battery is on record for 1 more repeat." in plot_stress(info).caption


@pytest.mark.parametrize(
    "plot",
    [
        lambda fake: plot_sweep(fake.summary),
        lambda fake: plot_history(fake.summary),
        lambda fake: plot_importances(fake.study, fake.summary),
        lambda fake: plot_slices(fake.summary),
        lambda fake: plot_study_curves(fake.summary, fake.runs),
        lambda fake: stress_info(fake.summary, fake.runs),
    ],
    ids=["sweep", "history", "importances", "slices", "curves", "stress"],
)
def test_without_a_score_there_is_no_figure(
    tmp_path: Path, plot: Callable[[FakeStudy], object]
) -> None:
    fake = studied(tmp_path)
    fake.prune(fake.ask({"batch_size": 32}, fake.record.space.base, 0), [])
    assert plot(fake) is None


def test_json_of_a_figure_cannot_end_its_script_and_has_null_for_what_is_not_finite() -> None:
    figure = axes.empty(height=90).add_scatter(y=[1.0, NAN])
    text = axes.figure_json(figure.update_layout(title_text=HOSTILE))
    assert not set("<>") & set(text)
    document = json.loads(text)
    assert document["layout"]["title"]["text"] == HOSTILE
    assert document["data"][0]["y"] == [1.0, None]
