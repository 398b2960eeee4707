"""The opened test in figures and on the page."""

from dataclasses import replace
from typing import Any

import pytest

from hpo.evaluate import Evaluation
from hpo.plots import axes
from hpo.plots.curves import curve_colors
from hpo.plots.test import plot_test
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
    assert "test" not in before.ids
    assert "Test images 16, not used" in before.text
    grid.open(command="hpo evaluate <script>alert(1)</script>")
    after = page(grid)
    assert "by `hpo evaluate <script>alert(1)</script>`: 6 trials, threshold 0.5" in after.text
    assert "8 normal and 8 pneumonia images, threshold 0.5" in after.text
    assert {"test", "roc", "calibration"} <= set(after.ids)
    assert len(after.ids) == len(set(after.ids))


def plots(found: Evaluation, colors: dict[str, int] | None = None) -> tuple[Any, Any]:
    """Return the figures of ROC and calibration."""
    roc, calibration = plot_test(found, colors or {})
    return roc.figures[0], calibration.figures[0]


def test_each_configuration_has_its_roc_curve_with_band_and_mark_and_its_calibration(
    found: Evaluation,
) -> None:
    first = found.configurations[0]
    assert "youden" in next(plot_test(found, {})).caption
    figure, calibration = plots(found)
    bins = found.configurations[1].calibration
    assert list(calibration.data[2].x) == [one.predicted for one in bins]
    assert list(calibration.data[2].y) == [one.observed for one in bins]
    assert len(figure.data) == 1 + 2 * 3
    _, band, line, mark, *_ = figure.data
    assert band.fill == "toself"
    assert line.name == f"batch_size 16, AUROC {first.metrics['auroc'].mean:.3f}"
    specificity, sensitivity = (first.metrics[m].mean for m in ("specificity", "sensitivity"))
    assert (1 - mark.x[0], mark.y[0]) == pytest.approx((specificity, sensitivity))
    roc = replace(first.roc, low=first.roc.mean, high=first.roc.mean)
    alone = replace(found, configurations=(replace(first, roc=roc),))
    assert len(plots(alone)[0].data) == 1 + 2


def test_a_configuration_has_one_color_in_all_figures(grid: Finished, found: Evaluation) -> None:
    colors = curve_colors(summarize(grid.study, storage_url=grid.storage.url))
    first, last = found.configurations
    # The last one alone, as the winner of a search is, would have had the first color.
    _, figure = plots(replace(found, configurations=(last,)), colors)
    assert figure.data[1].line.color == axes.color(colors[last.name]) != axes.color(0)
    renamed = replace(found, configurations=(replace(first, name="<b> <img src=x>"), last))
    roc, calibration = plots(renamed, colors)
    assert len({trace.line.color for trace in calibration.data[1:]}) == 2
    for figure in (roc, calibration):
        texts = [(t.name, t.hovertext, t.hovertemplate) for t in figure.data]
        assert "<img" not in str(texts)
