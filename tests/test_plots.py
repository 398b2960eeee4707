"""What the figures of scores show: sweep, history, importances, slices."""

import json
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hpo import plots, space
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from hpo.study.summary import StudySummary
from tests.fake_studies import FakeStudy, fake_grid, fake_record, fake_search

HOSTILE = "<img src=x onerror=alert(1)></script><b>&amp;"


def with_baselines(fake: FakeStudy, **baselines: float) -> StudySummary:
    fake.study.set_user_attr("baselines", baselines)
    return fake.summary


class TestSweep:
    def test_every_repeat_is_a_point_and_every_configuration_a_mean(self, tmp_path: Path) -> None:
        info = plots.sweep_info(fake_grid(tmp_path, ["batch_size"]).summary)
        assert info is not None
        assert info.values == ("32", "64", "128")
        assert [len(cell.scores) for cell in info.cells] == [5, 5, 5]
        points, means = plots.draw_sweep(info).data[-2:]
        assert len(points.x) == 15
        assert list(means.x) == [0, 1, 2]

    def test_the_bars_end_where_the_intervals_end(self, tmp_path: Path) -> None:
        # Two repeats only: the interval is cut where a share ends, and its halves differ.
        summary = fake_grid(tmp_path, ["batch_size"], n_repeats=2).summary
        info = plots.sweep_info(summary)
        assert info is not None
        means = plots.draw_sweep(info).data[-1]
        highs = [mean + part for mean, part in zip(means.y, means.error_y.array, strict=True)]
        lows = [mean - part for mean, part in zip(means.y, means.error_y.arrayminus, strict=True)]
        assert highs == pytest.approx([c.score.high for c in summary.configurations if c.score])
        assert lows == pytest.approx([c.score.low for c in summary.configurations if c.score])

    def test_a_second_parameter_groups_the_configurations(self, tmp_path: Path) -> None:
        info = plots.sweep_info(fake_grid(tmp_path, ["batch_size", "hidden"], n_repeats=2).summary)
        assert info is not None
        assert info.parameter == "batch_size"
        assert info.groups == ("hidden 64", "hidden 64-64-64", "hidden 512-256-256")
        figure = plots.draw_sweep(info)
        shown = [trace.name for trace in figure.data if trace.showlegend]
        assert shown[-3:] == list(info.groups)
        assert "hidden" in info.caption

    def test_configurations_without_the_second_parameter_are_a_group_of_their_own(
        self, tmp_path: Path
    ) -> None:
        summary = fake_grid(tmp_path, ["batch_size", "hidden"], n_repeats=2).summary
        first, *others = summary.configurations
        first = replace(first, params={"batch_size": 32})
        info = plots.sweep_info(replace(summary, configurations=(first, *others)))
        assert info is not None
        assert (info.cells[0].value, info.cells[0].group) == ("32", "no hidden")
        assert len(info.groups) == 4

    def test_groups_stand_side_by_side(self, tmp_path: Path) -> None:
        info = plots.sweep_info(fake_grid(tmp_path, ["batch_size", "hidden"], n_repeats=2).summary)
        assert info is not None
        means = [trace for trace in plots.draw_sweep(info).data if trace.error_y.array is not None]
        places = [x for trace in means for x in trace.x]
        assert len(set(places)) == 9

    def test_one_repeat_has_no_interval_and_says_so(self, tmp_path: Path) -> None:
        info = plots.sweep_info(fake_grid(tmp_path, ["batch_size"], n_repeats=1).summary)
        assert info is not None
        assert "no interval" in info.caption
        assert all(t.error_y.array is None for t in plots.draw_sweep(info).data)

    def test_without_a_finished_training_there_is_no_sweep(self, tmp_path: Path) -> None:
        fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path), Goal(5))
        assert plots.sweep_info(fake.summary) is None

    def test_a_far_baseline_does_not_squeeze_the_differences(self, tmp_path: Path) -> None:
        fake = fake_grid(tmp_path, ["batch_size"])
        info = plots.sweep_info(with_baselines(fake, majority=0.7, regression=0.935))
        assert info is not None
        assert [(r.name, r.in_view) for r in info.axis.references] == [
            ("majority", False),
            ("regression", True),
        ]
        assert "majority at 70.0" in info.caption
        low, high = info.axis.range
        assert 0.9 < low < 0.935
        assert high < 1
        names = [trace.name for trace in plots.draw_sweep(info).data]
        assert any("regression" in (name or "") for name in names)
        assert not any("majority" in (name or "") for name in names)


class TestHistory:
    def test_the_best_so_far_never_falls_and_ends_at_the_best(self, tmp_path: Path) -> None:
        summary = fake_search(tmp_path, 30).summary
        info = plots.history_info(summary)
        assert info is not None
        scores = [score for _, score in info.best]
        assert scores == sorted(scores)
        assert summary.best is not None
        assert summary.best.score is not None
        assert scores[-1] == summary.best.score.mean

    def test_pruned_ones_stand_where_they_were_cut_and_are_never_the_best(
        self, tmp_path: Path
    ) -> None:
        fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path))
        configs = [fake.record.space.base.replace(batch_size=n) for n in (32, 64)]
        fake.complete(fake.ask({"batch_size": 32}, configs[0], 0), [0.8, 0.9])
        fake.prune(fake.ask({"batch_size": 64}, configs[1], 0), [0.95, 0.97])
        info = plots.history_info(fake.summary)
        assert info is not None
        assert [(p.state, p.score) for p in info.points] == [("complete", 0.9), ("pruned", 0.97)]
        assert info.best == ((1, 0.9),)
        assert "Crosses (1) were pruned" in info.caption

    def test_failed_ones_are_listed(self, tmp_path: Path) -> None:
        info = plots.history_info(fake_search(tmp_path, 16).summary)
        assert info is not None
        assert "With a failed training: #6 and #15." in info.caption
        assert {6, 15}.isdisjoint(point.number for point in info.points)

    def test_a_configuration_with_missing_repeats_is_drawn_as_unfinished(
        self, tmp_path: Path
    ) -> None:
        fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path), Goal(2))
        fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, 0), [0.9])
        info = plots.history_info(fake.summary)
        assert info is not None
        assert [point.state for point in info.points] == ["unfinished"]
        assert info.best == ()
        assert plots.draw_history(info).data[-1].name == "with repeats missing"

    def test_without_a_score_there_is_no_history(self, tmp_path: Path) -> None:
        fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path))
        fake.fail(fake.ask({"batch_size": 32}, fake.record.space.base, 0), "no memory")
        assert plots.history_info(fake.summary) is None


class TestImportances:
    def test_the_parameter_that_decides_comes_first(self, tmp_path: Path) -> None:
        fake = fake_search(tmp_path, 60)
        info = plots.importance_info(fake.study, fake.summary)
        assert info.importances[0].name == "learning_rate"
        assert sum(i.share for i in info.importances) == pytest.approx(1)
        bars = plots.draw_importances(info).data[0]
        assert bars.y[-1] == "learning_rate"
        assert bars.x[-1] == max(bars.x)

    def test_conditional_parameters_are_kept_with_their_counts(self, tmp_path: Path) -> None:
        fake = fake_search(tmp_path, 60)
        info = plots.importance_info(fake.study, fake.summary)
        active = {i.name: i.n_active for i in info.importances}
        assert active["learning_rate"] == info.n_configurations
        assert 0 < active["momentum"] < info.n_configurations

    def test_means_count_and_not_the_luckiest_repeats(self, tmp_path: Path) -> None:
        # the batch size raises both repeats alike, the learning rate drives them apart
        names = ["batch_size", "learning_rate", "hidden"]
        fake = FakeStudy(fake_record("grid", names), RunStore(tmp_path), Goal(2))
        for cell in space.cells(fake.record.space, fake.record.names):
            middle = 0.7 + 0.001 * float(cell.params["batch_size"])
            apart = 5 * float(cell.params["learning_rate"])
            for repeat, score in enumerate((middle - apart, middle + apart)):
                fake.complete(fake.ask(cell.params, cell.config, repeat), [score], has_run=False)
        info = plots.importance_info(fake.study, fake.summary)
        assert info.importances[0].name == "batch_size"
        assert info.importances[0].share > 0.5

    def test_repeats_count_once(self, tmp_path: Path) -> None:
        fake = fake_search(tmp_path, 30)
        once = plots.importance_info(fake.study, fake.summary)
        first = fake.summary.configurations[0]
        for repeat in range(1, 8):
            trial = fake.ask(first.params, first.config, repeat)
            fake.complete(trial, list(first.repeats[0].reported.values()))
        often = plots.importance_info(fake.study, fake.summary)
        assert len(fake.summary.configurations[0].scores) == 8
        assert often.importances == once.importances

    def test_one_parameter_means_nothing_and_says_why(self, tmp_path: Path) -> None:
        fake = fake_grid(tmp_path, ["batch_size"])
        info = plots.importance_info(fake.study, fake.summary)
        assert info.importances == ()
        assert "Only batch_size varied" in info.caption

    def test_few_configurations_mean_nothing_however_many_repeats(self, tmp_path: Path) -> None:
        fake = fake_grid(tmp_path, ["batch_size", "hidden"], n_repeats=3)
        info = plots.importance_info(fake.study, fake.summary)
        assert info.importances == ()
        assert "9 configurations" in info.caption

    def test_equal_scores_mean_nothing(self, tmp_path: Path) -> None:
        names = ["batch_size", "hidden", "learning_rate"]
        fake = FakeStudy(fake_record("grid", names), RunStore(tmp_path))
        for cell in space.cells(fake.record.space, fake.record.names):
            fake.complete(fake.ask(cell.params, cell.config, 0), [0.75], has_run=False)
        info = plots.importance_info(fake.study, fake.summary)
        assert info.importances == ()
        assert "same score" in info.caption

    def test_nothing_finished_is_said(self, tmp_path: Path) -> None:
        fake = FakeStudy(fake_record("search", ["layers", "dropout"]), RunStore(tmp_path))
        info = plots.importance_info(fake.study, fake.summary)
        assert info.importances == ()
        assert "0 configurations" in info.caption

    def test_optuna_stays_silent_and_its_verbosity_as_it_was(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fake = fake_search(tmp_path, 30)
        optuna.logging.set_verbosity(optuna.logging.INFO)
        try:
            plots.importance_info(fake.study, fake.summary)
            assert optuna.logging.get_verbosity() == optuna.logging.INFO
        finally:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
        assert "study" not in capsys.readouterr().err


class TestSlices:
    def test_each_searched_parameter_has_one(self, tmp_path: Path) -> None:
        summary = fake_search(tmp_path, 30).summary
        infos = {info.parameter: info for info in plots.slice_infos(summary)}
        assert set(infos) == set(summary.record.names)
        assert infos["learning_rate"].is_log
        assert not infos["dropout"].is_log
        assert infos["optimizer"].choices == ("adam", "sgd")
        assert infos["layers"].choices == ("1", "2", "3")

    def test_log_ranges_have_log_axes(self, tmp_path: Path) -> None:
        infos = plots.slice_infos(fake_search(tmp_path, 30).summary)
        types = {info.parameter: plots.draw_slice(info).layout.xaxis.type for info in infos}
        assert types["learning_rate"] == "log"
        assert types["dropout"] != "log"

    def test_a_conditional_parameter_shows_only_where_it_was_active(self, tmp_path: Path) -> None:
        summary = fake_search(tmp_path, 30).summary
        infos = {info.parameter: info for info in plots.slice_infos(summary)}
        n_sgd = sum(c.params["optimizer"] == "sgd" and c.score is not None
                    for c in summary.configurations)  # fmt: skip
        assert len(infos["momentum"].points) == n_sgd
        assert len(infos["momentum"].points) < len(infos["dropout"].points)

    def test_one_point_is_ringed(self, tmp_path: Path) -> None:
        infos = plots.slice_infos(fake_search(tmp_path, 30).summary)
        for info in infos:
            assert sum(point.is_best for point in info.points) <= 1
        ring = plots.draw_slice(infos[0]).data[-1]
        assert len(ring.x) == 1

    def test_a_grid_has_none(self, tmp_path: Path) -> None:
        assert plots.slice_infos(fake_grid(tmp_path, ["batch_size"]).summary) == ()


def test_names_from_outside_are_harmless_in_labels(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"])
    info = plots.sweep_info(with_baselines(fake, **{HOSTILE: 0.935}))
    assert info is not None
    names = [trace.name for trace in plots.draw_sweep(info).data]
    assert any(name and name.startswith("&lt;img src=x") for name in names)
    assert not any("<" in (name or "") for name in names)


def test_json_of_a_figure_cannot_end_its_script_and_is_json() -> None:
    figure = plots.Figure(layout={"title": {"text": HOSTILE}})
    text = plots.figure_json(figure)
    assert not set("<>") & set(text)
    assert json.loads(text)["layout"]["title"]["text"] == HOSTILE


def test_numbers_that_are_not_finite_are_null_in_json() -> None:
    figure = plots.Figure(data=[{"type": "scatter", "y": [1.0, float("nan"), float("inf")]}])
    assert json.loads(plots.figure_json(figure))["data"][0]["y"] == [1.0, None, None]
