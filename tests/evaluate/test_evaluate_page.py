"""The opened test in figures and on the page."""

from dataclasses import replace

import pytest

from hpo import plots
from hpo.evaluate import Evaluation
from hpo.report.page import render
from hpo.study.gathering import summarize
from tests.evaluate.conftest import Finished
from tests.test_report import Outline


def page(made: Finished) -> Outline:
    summary = summarize(made.study, storage_url=made.storage.url)
    return Outline(render(summary, made.study, made.runs))


@pytest.fixture
def found(grid: Finished) -> Evaluation:
    return grid.open(threshold="youden")


def test_the_section_is_there_only_once_the_test_was_opened(grid: Finished) -> None:
    before = page(grid)
    assert "The test, opened" not in before.text
    assert "nothing on this page has seen them" in before.text
    grid.open(command="hpo evaluate study")
    after = page(grid)
    assert "The test, opened" in after.text
    assert "by `hpo evaluate study`: 6 trials, threshold 0.5" in after.text
    assert "8 normal and 8 pneumonia images, threshold 0.5" in after.text
    assert "opened once: see the test" in after.text
    assert {"test", "roc", "calibration"} <= set(after.ids)
    assert len(after.ids) == len(set(after.ids))


def test_an_opening_whose_results_were_never_kept_is_stated_all_the_same(grid: Finished) -> None:
    grid.open()
    grid.study.set_user_attr("test", None)
    text = page(grid).text
    assert "The test was opened on" in text
    assert "Calibration" not in text


def test_markup_in_a_recorded_command_is_escaped(grid: Finished) -> None:
    grid.open(command="hpo evaluate <script>alert(1)</script>")
    summary = summarize(grid.study, storage_url=grid.storage.url)
    assert "<script>alert" not in render(summary, grid.study, grid.runs)


def test_the_roc_figure_has_curve_band_and_mark_of_each_configuration(found: Evaluation) -> None:
    info = plots.roc_info(found)
    assert [curve.label for curve in info.curves] == ["batch_size 16", "batch_size 32"]
    assert "youden" in info.caption
    first = found.configurations[0]
    x, y = info.curves[0].at_threshold
    assert (1 - x, y) == pytest.approx(
        (first.metrics["specificity"].mean, first.metrics["sensitivity"].mean)
    )
    figure = plots.draw_roc(info)
    assert len(figure.data) == 1 + 2 * 3
    named = [trace.name for trace in figure.data if trace.name and "AUROC" in trace.name]
    assert named[0] == f"batch_size 16, AUROC {first.metrics['auroc'].mean:.3f}"


def test_one_repeat_has_no_band(found: Evaluation) -> None:
    curves = tuple(replace(c, low=c.mean, high=c.mean) for c in plots.roc_info(found).curves)
    figure = plots.draw_roc(replace(plots.roc_info(found), curves=curves))
    assert len(figure.data) == 1 + 2 * 2


def test_the_calibration_figure_has_a_point_per_bin(found: Evaluation) -> None:
    info = plots.calibration_info(found)
    figure = plots.draw_calibration(info)
    assert len(figure.data) == 3
    bins = found.configurations[1].calibration
    assert list(figure.data[2].x) == [one.predicted for one in bins]
    assert list(figure.data[2].y) == [one.observed for one in bins]


def test_of_many_configurations_those_best_on_validation_are_drawn(found: Evaluation) -> None:
    one = found.configurations[0]
    weak = replace(one, name="batch_size 99", gap=one.gap | {"accuracy": replace(
        one.gap["accuracy"], mean=-0.9)})  # fmt: skip
    many = replace(found, configurations=(weak, *[one] * 7))
    info = plots.roc_info(many)
    assert [curve.label for curve in info.curves] == ["batch_size 16"] * 6
    assert "Of 8 configurations, the 6 best on validation are shown" in info.caption
    assert len(plots.calibration_info(many).curves) == 6


def test_names_from_outside_are_harmless_in_the_figures(found: Evaluation) -> None:
    hostile = replace(found.configurations[0], name="<b> <img src=x>")
    evaluation = replace(found, configurations=(hostile,))
    for figure in (
        plots.draw_roc(plots.roc_info(evaluation)),
        plots.draw_calibration(plots.calibration_info(evaluation)),
    ):
        assert "<img" not in str([(trace.name, trace.hovertext) for trace in figure.data])


def test_a_configuration_has_one_color_in_all_figures_that_tell_them_apart(
    grid: Finished, found: Evaluation
) -> None:
    summary = summarize(grid.study, storage_url=grid.storage.url)
    curves = plots.curves_info(summary, grid.runs)
    assert curves
    wanted = {curve.label: curve.color for curve in curves.curves}
    colors = plots.curve_colors(summary)
    # The last one alone, as the winner of a search is, would have had the first color.
    alone = replace(found, configurations=found.configurations[-1:])
    for info in (plots.roc_info(alone, colors), plots.calibration_info(alone, colors)):
        (curve,) = info.curves
        assert curve.color == wanted[curve.label] > 0
    renamed = replace(found.configurations[0], name="another")
    both = replace(found, configurations=(renamed, found.configurations[-1]))
    assert len({curve.color for curve in plots.roc_info(both, colors).curves}) == 2
