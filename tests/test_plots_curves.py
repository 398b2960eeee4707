"""What the curves show: means and spread over repeats, and what to do without run files."""

import dataclasses
from pathlib import Path

import pytest

from hpo import plots
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from tests.fake_studies import FakeStudy, fake_grid, fake_record, fake_search


def info_of(fake: FakeStudy) -> plots.CurvesInfo:
    info = plots.curves_info(fake.summary, fake.runs)
    assert info is not None
    return info


def two_repeats(folder: Path, first: list[float], second: list[float]) -> FakeStudy:
    fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(folder), Goal(2))
    for repeat, curve in enumerate((first, second)):
        fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, repeat), curve)
    return fake


def curve_of(info: plots.CurvesInfo, metric: str, split: str) -> plots.Curve:
    return next(c for c in info.curves if (c.metric, c.split) == (metric, split))


def test_a_curve_is_the_mean_of_repeats_with_lowest_and_highest(tmp_path: Path) -> None:
    info = info_of(two_repeats(tmp_path, [0.5, 0.75], [0.75, 0.75]))
    curve = curve_of(info, "accuracy", "validation")
    assert curve.mean == pytest.approx((0.625, 0.75))
    assert (curve.low, curve.high) == ((0.5, 0.75), (0.75, 0.75))


def test_accuracy_and_loss_of_training_and_validation_are_there(tmp_path: Path) -> None:
    info = info_of(two_repeats(tmp_path, [0.5], [0.75]))
    assert {(c.metric, c.split) for c in info.curves} == {
        (metric, split) for metric in ("accuracy", "loss") for split in ("train", "validation")
    }


def test_repeats_of_different_length_are_averaged_over_those_that_are_there(
    tmp_path: Path,
) -> None:
    info = info_of(two_repeats(tmp_path, [0.5, 0.75, 0.875], [0.75]))
    curve = curve_of(info, "accuracy", "validation")
    assert curve.mean == pytest.approx((0.625, 0.75, 0.875))
    assert (curve.low[2], curve.high[2]) == (0.875, 0.875)
    assert "different epochs" in info.caption


def test_without_run_files_the_reported_scores_are_left_and_it_is_said(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
    for file in tmp_path.iterdir():
        file.unlink()
    info = info_of(fake)
    assert {(c.metric, c.split) for c in info.curves} == {("accuracy", "validation")}
    assert len(info.curves) == 3
    assert "6 of 6 trainings are gone" in info.caption
    figure = plots.draw_curves(info)
    assert figure.layout.yaxis.title.text == "accuracy"
    assert "yaxis2" not in figure.layout


def test_one_lost_run_file_costs_only_its_own_training_curve(tmp_path: Path) -> None:
    fake = two_repeats(tmp_path, [0.5, 0.5], [0.75, 0.75])
    first = fake.summary.configurations[0].repeats[0]
    (tmp_path / f"{first.run}.json").unlink()
    info = info_of(fake)
    assert curve_of(info, "accuracy", "validation").mean == pytest.approx((0.625, 0.625))
    assert curve_of(info, "loss", "validation").mean == pytest.approx((0.4, 0.4))
    assert "1 of 2 trainings" in info.caption


def test_of_a_large_search_the_best_five_and_the_base_are_shown(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 40)
    summary = fake.summary
    worst = dataclasses.replace(
        summary.configurations[0],
        score=dataclasses.replace(summary.configurations[0].score, mean=0.1),  # type: ignore[type-var]
    )
    summary = dataclasses.replace(summary, configurations=(worst, *summary.configurations[1:]))
    info = plots.curves_info(summary, fake.runs)
    assert info is not None
    labels = list(dict.fromkeys(curve.label for curve in info.curves))
    assert len(labels) == 6
    assert labels[0] == "#1"
    best = summary.configurations.index(summary.best)  # type: ignore[arg-type]
    assert f"#{best + 1}" in labels
    assert "best 5 and the base configuration" in info.caption


def test_training_is_dashed_in_the_color_of_its_configuration(tmp_path: Path) -> None:
    figure = plots.draw_curves(info_of(fake_grid(tmp_path, ["batch_size"], n_repeats=2)))
    of_first = [t for t in figure.data if t.legendgroup == "0" and t.fill is None]
    assert {t.line.dash for t in of_first} == {"solid", "dash"}
    assert len({t.line.color for t in of_first}) == 1
    shown = [t.name for t in figure.data if t.showlegend is not False]
    assert shown == ["batch_size 32", "batch_size 64", "batch_size 128", "validation", "training"]


def test_the_spread_is_a_band_and_one_repeat_has_none(tmp_path: Path) -> None:
    banded = plots.draw_curves(info_of(two_repeats(tmp_path / "a", [0.5, 0.7], [0.6, 0.8])))
    assert sum(trace.fill == "toself" for trace in banded.data) == 4
    alone = fake_grid(tmp_path / "b", ["batch_size"], n_repeats=1)
    assert not any(t.fill == "toself" for t in plots.draw_curves(info_of(alone)).data)


def test_a_loss_that_explodes_gets_a_log_axis(tmp_path: Path) -> None:
    # the loss of a fake run is 1.15 - score
    plain = info_of(two_repeats(tmp_path / "a", [0.5, 0.6, 0.7], [0.5, 0.6, 0.7]))
    exploded = info_of(two_repeats(tmp_path / "b", [-99.0, 0.6, 0.7], [-99.0, 0.6, 0.7]))
    assert plots.draw_curves(plain).layout.yaxis2.type != "log"
    assert plots.draw_curves(exploded).layout.yaxis2.type == "log"


def test_an_epoch_without_a_finite_value_is_a_gap(tmp_path: Path) -> None:
    info = info_of(two_repeats(tmp_path, [0.5, float("nan"), 0.7], [0.6, float("nan"), 0.8]))
    curve = curve_of(info, "accuracy", "validation")
    assert curve.mean[1] != curve.mean[1]
    bands = [t for t in plots.draw_curves(info).data if t.fill == "toself"]
    assert all(2 not in band.x for band in bands)


def test_without_a_finished_training_there_are_no_curves(tmp_path: Path) -> None:
    fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path))
    fake.prune(fake.ask({"batch_size": 32}, fake.record.space.base, 0), [0.5])
    assert plots.curves_info(fake.summary, fake.runs) is None
