"""What the figures of a study show, whichever score it optimizes."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import cast

import pytest

from hpo import space
from hpo.plots import axes, search
from hpo.plots.curves import Curve, CurvesInfo, curves_info, draw_curves
from hpo.plots.stress import StressInfo, draw_stress, stress_info
from hpo.plots.sweep import draw_sweep, sweep_info
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from hpo.study.score import SCORES
from tests.fake_studies import (
    FakeStudy,
    add_finalists,
    fake_grid,
    fake_record,
    fake_search,
    metrics_of,
)

HOSTILE = "<img src=x onerror=alert(1)></script><b>&amp;"
# A share and a loss, of the unchanged images and under stress.
METRICS = ("accuracy", "log_loss", "stress_accuracy", "stress_log_loss")
STRESSED = pytest.mark.parametrize("swept", METRICS[2:], indirect=True)


def studied(folder: Path, *names: str, n_repeats: int = 1) -> FakeStudy:
    """Return a grid without a trial."""
    record = fake_record("grid", names or ["batch_size"])
    return FakeStudy(record, RunStore(folder), Goal(n_repeats))


def importances_of(fake: FakeStudy) -> search.ImportanceInfo:
    return cast(search.ImportanceInfo, search.importance_info(fake.study, fake.summary))


def curves_of(fake: FakeStudy) -> CurvesInfo:
    return cast(CurvesInfo, curves_info(fake.summary, fake.runs))


def stress_of(fake: FakeStudy) -> StressInfo:
    return cast(StressInfo, stress_info(fake.summary, fake.runs))


@pytest.fixture(scope="module", params=METRICS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A search by each score; the trainings are the same."""
    return fake_search(tmp_path_factory.mktemp("runs"), 20, metric=request.param)


@pytest.fixture(scope="module", params=METRICS)
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A grid by each score; the trainings are the same."""
    folder = tmp_path_factory.mktemp("runs")
    return fake_grid(folder, ["learning_rate"], n_repeats=3, metric=request.param)


class TestSweep:
    def test_every_repeat_is_a_point_and_every_configuration_a_mean(
        self, swept: FakeStudy
    ) -> None:
        info, score = sweep_info(swept.summary), swept.record.score
        figure = draw_sweep(info)
        points, means = figure.data[-2:]
        assert info.values == ("0.1", "0.01", "0.001")
        assert (len(points.x), list(means.x)) == (9, [0, 1, 2])
        assert figure.layout.yaxis.title.text == f"validation {score.title}"
        assert ("%" in points.hovertext[0]) is score.kind.is_share

    def test_the_bars_end_where_the_intervals_end(self, tmp_path: Path) -> None:
        # Two repeats only: the interval is cut where a share ends, and its halves differ.
        fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
        means = draw_sweep(sweep_info(fake.summary)).data[-1]
        bar, found = means.error_y, [c.score for c in fake.summary.configurations if c.score]
        highs = [mean + part for mean, part in zip(means.y, bar.array, strict=True)]
        lows = [mean - part for mean, part in zip(means.y, bar.arrayminus, strict=True)]
        assert highs == pytest.approx([interval.high for interval in found])
        assert lows == pytest.approx([interval.low for interval in found])

    def test_a_second_parameter_groups_the_configurations_side_by_side(
        self, tmp_path: Path
    ) -> None:
        info = sweep_info(fake_grid(tmp_path, ["batch_size", "hidden"], n_repeats=2).summary)
        figure = draw_sweep(info)
        assert info.groups == ("hidden 64", "hidden 64-64-64", "hidden 512-256-256")
        assert [t.name for t in figure.data if t.showlegend][-3:] == list(info.groups)
        means = [trace for trace in figure.data if trace.error_y.array is not None]
        assert len({x for trace in means for x in trace.x}) == 9

    def test_configurations_without_the_second_parameter_are_a_group(self, tmp_path: Path) -> None:
        summary = fake_grid(tmp_path, ["batch_size", "hidden"], n_repeats=2).summary
        first, *others = summary.configurations
        first = replace(first, params={"batch_size": 32})
        info = sweep_info(replace(summary, configurations=(first, *others)))
        assert info.cells[0][:2] == ("32", "no hidden")

    def test_one_repeat_has_no_interval_and_says_so(self, tmp_path: Path) -> None:
        info = sweep_info(fake_grid(tmp_path, ["batch_size"], n_repeats=1).summary)
        assert "no interval" in info.caption
        assert all(trace.error_y.array is None for trace in draw_sweep(info).data)

    def test_a_far_baseline_does_not_squeeze_the_differences(self, tmp_path: Path) -> None:
        fake = fake_grid(tmp_path, ["batch_size"])
        fake.study.set_user_attr("baselines", {"majority": 0.7, HOSTILE: 0.935})
        info = sweep_info(fake.summary)
        figure = draw_sweep(info)
        low, high = figure.layout.yaxis.range
        assert 0.9 < low < 0.935 < high < 1
        names = [trace.name for trace in figure.data if trace.name]
        assert len(names) == 1
        assert names[0].startswith("&lt;img src=x")


class TestHistory:
    def test_the_best_so_far_gets_better_and_ends_at_the_best(self, found: FakeStudy) -> None:
        info, score, best = (
            search.history_info(found.summary),
            found.record.score,
            found.summary.best,
        )
        ranks = [score.rank(value) for _, value in info.best]
        assert ranks == sorted(ranks)
        assert len(ranks) > 1
        assert info.best[-1][1] == best.score.mean
        assert ("lower" in info.caption) is (score.kind.direction == "minimize")
        figure = search.draw_history(info)
        assert figure.layout.yaxis.title.text == f"validation {score.title}"
        assert (figure.layout.yaxis.tickformat == ".1~%") is score.kind.is_share
        drawn = " ".join(trace.name for trace in figure.data)
        assert ("logistic regression" in drawn) is score.is_accuracy

    def test_the_state_of_a_configuration_is_seen_and_only_complete_ones_are_best(
        self, tmp_path: Path
    ) -> None:
        fake = studied(tmp_path, n_repeats=2)
        base = fake.record.space.base
        for repeat in range(2):
            fake.complete(fake.ask({"batch_size": 32}, base, repeat), [0.8, 0.9])
        fake.prune(fake.ask({"batch_size": 64}, base.replace(batch_size=64), 0), [0.95, 0.97])
        fake.complete(fake.ask({"batch_size": 128}, base.replace(batch_size=128), 0), [0.93])
        info = search.history_info(fake.summary)
        seen = [(point.number, point.state, point.score) for point in info.points]
        assert seen == [(1, "complete", 0.9), (2, "pruned", 0.97), (3, "unfinished", 0.93)]
        assert info.best == ((1, 0.9),)
        assert "Crosses (1) were pruned" in info.caption

    def test_a_retrained_finalist_has_a_second_point(self, tmp_path: Path) -> None:
        fake = add_finalists(fake_search(tmp_path, 14), 0.90, 0.95, 0.88)
        finalists = fake.summary.finalists
        shown = {
            p.number: p.score
            for p in search.history_info(fake.summary).points
            if p.state == "finalist"
        }
        assert shown == {member.number: member.fresh.mean for member in finalists.members}

    def test_a_loss_far_above_the_others_gets_a_log_axis(self, tmp_path: Path) -> None:
        fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=1, metric="log_loss")
        far = fake.record.space.base.replace(batch_size=16)
        trial = fake.ask({"learning_rate": 0.1}, far, 0)
        assert search.draw_history(search.history_info(fake.summary)).layout.yaxis.type != "log"
        fake.complete(trial, [0.5, -9.0], has_run=False)
        axis = search.draw_history(search.history_info(fake.summary)).layout.yaxis
        assert axis.type == "log"
        assert axis.range[0] < -0.6 < 1 < axis.range[1]


class TestImportances:
    @pytest.mark.parametrize("metric", ["accuracy", "auroc", "log_loss"])
    def test_the_parameter_that_decides_comes_first(self, tmp_path: Path, metric: str) -> None:
        info = importances_of(fake_search(tmp_path, 60, metric=metric))
        assert next(iter(info.shares)) == "learning_rate"
        assert sum(info.shares.values()) == pytest.approx(1)
        assert 0 < info.n_active["momentum"] < info.n_active["learning_rate"]
        (bars,) = search.draw_importances(info).data
        assert bars.y[-1] == "learning_rate"
        assert bars.x[-1] == max(bars.x)

    def test_means_count_and_not_the_luckiest_repeats(self, tmp_path: Path) -> None:
        # The batch size raises both repeats alike, the learning rate drives them apart.
        fake = studied(tmp_path, "batch_size", "learning_rate", "hidden", n_repeats=2)
        for cell in space.cells(fake.record.space, fake.record.names):
            middle = 0.7 + 0.001 * float(cell.params["batch_size"])
            apart = 5 * float(cell.params["learning_rate"])
            for repeat, score in enumerate((middle - apart, middle + apart)):
                fake.complete(fake.ask(cell.params, cell.config, repeat), [score], has_run=False)
        shares = importances_of(fake).shares
        assert next(iter(shares)) == "batch_size"
        assert shares["batch_size"] > 0.5

    def test_repeats_count_once(self, tmp_path: Path) -> None:
        fake = fake_search(tmp_path, 30)
        once = importances_of(fake)
        first = fake.summary.configurations[0]
        for repeat in range(1, 8):
            trial = fake.ask(first.params, first.config, repeat)
            fake.complete(trial, list(first.repeats[0].reported.values()))
        assert importances_of(fake).shares == once.shares

    @pytest.mark.parametrize(
        ("names", "reason"),
        [
            (["batch_size", "hidden"], "9 configurations"),
            (["batch_size", "hidden", "learning_rate"], "same score"),
        ],
    )
    def test_where_they_mean_nothing_there_are_none(
        self, tmp_path: Path, names: list[str], reason: str
    ) -> None:
        fake = studied(tmp_path, *names)
        for cell in space.cells(fake.record.space, fake.record.names):
            fake.complete(fake.ask(cell.params, cell.config, 0), [0.75], has_run=False)
        info = importances_of(fake)
        assert info.shares == {}
        assert reason in info.caption


class TestSlices:
    def test_each_searched_parameter_has_one_with_its_axis(self, found: FakeStudy) -> None:
        infos, _ = search.slice_infos(found.summary)
        drawn = {info.parameter.name: search.draw_slice(info) for info in infos}
        assert list(drawn) == list(found.record.names)
        assert drawn["learning_rate"].layout.xaxis.type == "log"
        assert drawn["dropout"].layout.xaxis.type != "log"
        assert drawn["optimizer"].layout.xaxis.ticktext == ("adam", "sgd")
        assert drawn["layers"].layout.xaxis.ticktext == ("1", "2", "3")
        assert drawn["layers"].layout.yaxis.title.text == found.record.score.title

    def test_a_conditional_parameter_shows_only_where_it_was_active(
        self, found: FakeStudy
    ) -> None:
        infos, _ = search.slice_infos(found.summary)
        active = {info.parameter.name: info.configurations for info in infos}["momentum"]
        n_sgd = sum(c.params["optimizer"] == "sgd" and c.score is not None
                    for c in found.summary.configurations)  # fmt: skip
        assert len(active) == n_sgd

    def test_the_best_is_the_one_large_point(self, found: FakeStudy) -> None:
        best = found.summary.best
        for info in search.slice_infos(found.summary)[0]:
            (trace,) = search.draw_slice(info).data
            shown = zip(trace.hovertext, trace.marker.size, strict=True)
            large = [text.partition(":")[0] for text, size in shown if size > 8]
            assert large == [f"#{best.number}"] * (info.parameter.name in best.params)


class TestCurves:
    @staticmethod
    def two_repeats(folder: Path, first: list[float], second: list[float]) -> FakeStudy:
        fake = studied(folder, n_repeats=2)
        for repeat, curve in enumerate((first, second)):
            fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, repeat), curve)
        return fake

    @staticmethod
    def curve(info: CurvesInfo, metric: str, split: str) -> Curve:
        return next(c for c in info.curves if (c.metric, c.split) == (metric, split))

    def test_a_curve_is_the_mean_of_the_repeats_that_reached_an_epoch(
        self, tmp_path: Path
    ) -> None:
        info = curves_of(self.two_repeats(tmp_path, [0.5, 0.75, 0.875], [0.75]))
        assert {(c.metric, c.split) for c in info.curves} == {
            (metric, split)
            for metric in ("accuracy", "loss")
            for split in ("training", "validation")
        }
        curve = self.curve(info, "accuracy", "validation")
        assert curve.mean == pytest.approx((0.625, 0.75, 0.875))
        assert (curve.low, curve.high) == ((0.5, 0.75, 0.875), (0.75, 0.75, 0.875))
        assert "different epochs" in info.caption
        assert sum(trace.fill == "toself" for trace in draw_curves(info).data) == 4

    @pytest.mark.parametrize("metric", ["accuracy", "stress_accuracy", "log_loss"])
    def test_without_run_files_only_the_reported_scores_are_left(
        self, tmp_path: Path, metric: str
    ) -> None:
        fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=2, metric=metric)
        for file in tmp_path.iterdir():
            file.unlink()
        info = curves_of(fake)
        own = "accuracy" if metric == "accuracy" else "score"
        assert {(c.metric, c.split) for c in info.curves} == {(own, "validation")}
        assert "6 of 6 trainings are missing" in info.caption
        assert f"only their validation {SCORES[metric].title} is left" in info.caption
        assert "yaxis2" not in draw_curves(info).layout

    def test_one_lost_run_file_costs_only_the_curves_of_its_training(self, tmp_path: Path) -> None:
        fake = self.two_repeats(tmp_path, [0.5, 0.5], [0.75, 0.75])
        first = fake.summary.configurations[0].repeats[0]
        (tmp_path / f"{first.run}.json").unlink()
        info = curves_of(fake)
        accuracy, loss = (self.curve(info, m, "validation") for m in ("accuracy", "loss"))
        assert accuracy.mean == pytest.approx((0.625, 0.625))
        assert loss.mean == pytest.approx((0.4, 0.4))

    def test_of_a_large_search_the_best_five_and_the_base_are_shown(self, tmp_path: Path) -> None:
        fake = fake_search(tmp_path, 40)
        summary = fake.summary
        first, *others = summary.configurations
        worst = replace(first, score=replace(first.score, mean=0.1))
        info = curves_info(replace(summary, configurations=(worst, *others)), fake.runs)
        names = list(dict.fromkeys(curve.label for curve in info.curves))
        assert (len(names), names[0]) == (6, "#1")
        assert f"#{summary.best.number}" in names
        assert "best 5 and the base configuration" in info.caption

    def test_the_score_of_the_study_is_above_accuracy_and_loss(self, swept: FakeStudy) -> None:
        figure, score = draw_curves(curves_of(swept)), swept.record.score
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

    def test_a_loss_that_explodes_gets_a_log_axis(self, tmp_path: Path) -> None:
        # The loss of a fake run is 1.15 - score.
        plain = self.two_repeats(tmp_path / "a", [0.5, 0.6], [0.5, 0.6])
        exploded = self.two_repeats(tmp_path / "b", [-99.0, 0.6, 0.7], [-99.0, 0.6, 0.7])
        assert draw_curves(curves_of(plain)).layout.yaxis2.type != "log"
        assert draw_curves(curves_of(exploded)).layout.yaxis2.type == "log"

    def test_an_epoch_without_a_finite_value_is_a_gap(self, tmp_path: Path) -> None:
        nan = float("nan")
        info = curves_of(self.two_repeats(tmp_path, [0.5, nan, 0.7], [0.6, nan, 0.8]))
        assert str(self.curve(info, "accuracy", "validation").mean[1]) == "nan"
        bands = [trace for trace in draw_curves(info).data if trace.fill == "toself"]
        assert bands
        assert all(2 not in band.x for band in bands)


class TestStress:
    @STRESSED
    def test_it_is_the_best_configuration_over_its_repeats_the_worst_change_first(
        self, swept: FakeStudy
    ) -> None:
        info, best = stress_of(swept), swept.summary.best
        runs = [run for repeat in best.repeats if (run := swept.runs.read(repeat.run or ""))]
        metric = swept.record.score.metric
        assert info.unchanged == pytest.approx(fmean(r.kept.validation[metric] for r in runs))
        assert list(info.scores) == ["noisy", "blurred", "shifted"]
        for change, scores in info.scores.items():
            assert scores == tuple(run.stress[change][metric] for run in runs)
        # The score of the study is the mean over the changes.
        assert fmean(map(fmean, info.scores.values())) == pytest.approx(best.score.mean)
        one, other = (metrics_of(accuracy)[metric] for accuracy in (0.5, 0.62))
        mean, loss = (float(text.split()[0].rstrip("\u00a0%")) for text in info.texts("noisy"))
        scale = 100 if info.score.kind.is_share else 1
        assert loss == pytest.approx(scale * abs(one - other), abs=0.06)
        assert info.sentence.startswith(f'The worst change for {best.label} is "noisy": ')
        assert str(mean) in info.sentence

    @STRESSED
    def test_the_figure_has_a_row_per_change_and_the_unchanged_images(
        self, swept: FakeStudy
    ) -> None:
        info = stress_of(swept)
        figure = draw_stress(info)
        assert figure.layout.yaxis.ticktext == ("shifted", "blurred", "noisy")
        assert figure.layout.xaxis.title.text == f"validation {info.score.title}"
        assert list(figure.data[-1].x) == [fmean(x) for x in info.scores.values()][::-1]
        (line,) = [trace for trace in figure.data if trace.name]
        assert set(line.x) == {info.unchanged}

    def test_a_finalist_is_shown_by_its_new_repeats(self, tmp_path: Path) -> None:
        fake = fake_search(tmp_path, 14, metric="stress_accuracy")
        info = stress_of(add_finalists(fake, 0.90, 0.95, 0.88))
        assert len(info.scores["noisy"]) == 4
        assert info.unchanged == pytest.approx(0.95, abs=0.01)

    def test_only_runs_that_hold_the_battery_are_shown(self, tmp_path: Path) -> None:
        # A study without a stress score shows the battery of another study's equal trainings.
        fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=3)
        assert stress_info(fake.summary, fake.runs) is None
        fake_grid(tmp_path, ["learning_rate"], n_repeats=3, metric="stress_accuracy")
        best = fake.summary.best
        (tmp_path / f"{best.repeats[0].run}.json").unlink()
        info = stress_of(fake)
        assert len(info.scores["noisy"]) == 2
        assert "1 more repeat has no battery on record" in info.caption

    def test_a_model_that_stands_everything_is_said_to(self, tmp_path: Path) -> None:
        fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=1, metric="stress_accuracy")
        best = fake.summary.best
        path = tmp_path / f"{best.repeats[0].run}.json"
        document = json.loads(path.read_text())
        stress = {"noisy": document["epochs"][-1]["validation"]}
        path.write_text(json.dumps(document | {"stress": stress}))
        assert stress_of(fake).sentence.startswith("No change makes the accuracy")


def test_without_a_score_there_is_no_figure_and_of_one_parameter_no_importance(
    tmp_path: Path,
) -> None:
    fake = studied(tmp_path)
    fake.prune(fake.ask({"batch_size": 32}, fake.record.space.base, 0), [])
    assert sweep_info(fake.summary) is None
    assert search.history_info(fake.summary) is None
    assert curves_info(fake.summary, fake.runs) is None
    assert stress_info(fake.summary, fake.runs) is None
    finished = fake_grid(tmp_path, ["batch_size"], n_repeats=1)
    assert search.importance_info(finished.study, finished.summary) is None
    assert search.slice_infos(finished.summary) == ([], "")


def test_json_of_a_figure_cannot_end_its_script_and_has_null_for_what_is_not_finite() -> None:
    figure = axes.empty(height=90, x_title="", y_title="").add_scatter(y=[1.0, float("nan")])
    text = axes.figure_json(figure.update_layout(title_text=HOSTILE))
    assert not set("<>") & set(text)
    document = json.loads(text)
    assert document["layout"]["title"]["text"] == HOSTILE
    assert document["data"][0]["y"] == [1.0, None]
