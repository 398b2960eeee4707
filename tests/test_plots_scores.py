"""Figures and tables follow the study's own score, whichever it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo import plots
from hpo.evaluate.checks import study_signs
from hpo.evaluate.learning_curves import compare_curves
from hpo.evaluate.studies import compare
from hpo.plots.history import HistoryInfo
from hpo.report.comparison import render_comparison
from hpo.report.headline import headline
from hpo.report.page import render
from hpo.report.table import table
from hpo.study.score import SCORES, Score
from tests.fake_studies import FakeStudy, fake_grid, fake_search

PLAIN_ACCURACY = "accuracy"
OTHERS = [name for name in SCORES if name != PLAIN_ACCURACY]


@pytest.fixture(scope="module", params=SCORES)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A search by each score; the trainings are the same."""
    return fake_search(tmp_path_factory.mktemp("runs"), 20, metric=request.param)


@pytest.fixture(scope="module", params=SCORES)
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A grid by each score; the trainings are the same."""
    folder = tmp_path_factory.mktemp("runs")
    return fake_grid(folder, ["learning_rate"], n_repeats=2, metric=request.param)


def score_of(fake: FakeStudy) -> Score:
    return fake.record.score


def history(fake: FakeStudy) -> HistoryInfo:
    info = plots.history_info(fake.summary)
    assert info is not None
    return info


def texts(values: Iterator[str | None]) -> str:
    return " ".join(value for value in values if value)


def test_the_best_so_far_gets_better_and_ends_at_the_best(found: FakeStudy) -> None:
    info = history(found)
    ranks = [score_of(found).rank(score) for _, score in info.best]
    assert ranks == sorted(ranks)
    assert len(ranks) > 1
    best = found.summary.best
    assert best is not None
    assert best.score is not None
    assert info.best[-1][1] == best.score.mean
    lower = score_of(found).kind.direction == "minimize"
    assert ("lower" in info.caption) is lower


def test_axes_are_named_and_written_as_the_score_is(found: FakeStudy) -> None:
    figure = plots.draw_history(history(found))
    assert figure.layout.yaxis.title.text == f"validation {score_of(found).title}"
    assert (figure.layout.yaxis.tickformat == ".1~%") is score_of(found).kind.is_share
    hover = texts(text for trace in figure.data for text in trace.hovertext or ())
    assert ("%" in hover) is score_of(found).kind.is_share
    slices = plots.slice_infos(found.summary)
    drawn = plots.draw_slice(slices[0])
    assert drawn.layout.yaxis.title.text == score_of(found).title
    ringed = {point.score for info in slices for point in info.points if point.is_best}
    assert len(ringed) == 1


def test_baselines_are_drawn_on_the_axis_of_plain_accuracy_alone(found: FakeStudy) -> None:
    names = texts(trace.name for trace in plots.draw_history(history(found)).data)
    caption = history(found).caption
    is_told = "logistic regression" in names + caption
    assert is_told is score_of(found).is_accuracy
    kinds = [row.kind for row in table(found.summary).rows]
    assert ("baseline" in kinds) is score_of(found).is_accuracy
    text = render(found.summary, found.study, found.runs)
    assert "Baseline: logistic regression" in text
    assert "92.1\u00a0%" in text


def test_the_headline_tells_the_score_and_the_accuracy_beside_baselines(found: FakeStudy) -> None:
    best, told = found.summary.best, headline(found.summary)
    assert best is not None
    assert best.score is not None
    assert best.score.mean is not None
    assert told.score_title == f"Validation {score_of(found).title}"
    assert told.score == score_of(found).text(best.score.mean)
    accuracy = best.repeats[0].accuracy
    assert accuracy is not None
    assert f"{100 * (accuracy - 0.734):.1f} points above majority class" in told.notes[0]
    assert "part of that score is luck" in told.notes[-1]


def test_the_best_row_stands_first(found: FakeStudy) -> None:
    shown = table(found.summary)
    rows = [row for row in shown.rows if row.kind != "baseline"]
    assert rows[0].kind == "best"
    means = [float(row.cells[0].rstrip("%\u00a0")) for row in rows]
    assert means == sorted(means, reverse=score_of(found).kind.direction == "maximize")
    assert ("%" in rows[0].cells[0]) is score_of(found).kind.is_share


@pytest.mark.parametrize("metric", ["log_loss", "auroc"])
def test_importances_do_not_change_with_the_direction(tmp_path: Path, metric: str) -> None:
    # Both are monotone in the accuracy, so the same configurations are the best.
    one = fake_search(tmp_path / "a", 40)
    other = fake_search(tmp_path / "b", 40, metric=metric)
    expected = plots.importance_info(one.study, one.summary).importances
    assert plots.importance_info(other.study, other.summary).importances == expected
    assert expected[0].name == "learning_rate"


def test_a_sweep_is_drawn_in_its_score(swept: FakeStudy) -> None:
    info = plots.sweep_info(swept.summary)
    assert info is not None
    figure = plots.draw_sweep(info)
    assert figure.layout.yaxis.title.text == f"validation {score_of(swept).title}"
    hover = texts(text for trace in figure.data for text in trace.hovertext or ())
    assert ("%" in hover) is score_of(swept).kind.is_share
    page = render(swept.summary, swept.study, swept.runs)
    assert ("of the difference in points" in page) is score_of(swept).kind.is_share
    assert ("A\n    lower" in page) is (score_of(swept).kind.direction == "minimize")


def test_accuracy_curves_stay_and_another_score_stands_above_them(swept: FakeStudy) -> None:
    info = plots.curves_info(swept.summary, swept.runs)
    assert info is not None
    figure = plots.draw_curves(info)
    titles = [axis.title.text for axis in figure.select_yaxes()]
    own = [] if score_of(swept).is_accuracy else [score_of(swept).title]
    assert titles == [*own, "accuracy", "loss"]
    shown = [trace for trace in figure.data if trace.showlegend and trace.legendgroup]
    assert len(shown) == 3
    if score_of(swept).is_stressed:
        assert list(shown[0].x) == [4, 8, 12]


def test_what_curves_and_runs_say_does_not_depend_on_the_score(
    swept: FakeStudy, tmp_path: Path
) -> None:
    plain = fake_grid(tmp_path, ["learning_rate"], n_repeats=2)
    expected, told = (compare_curves(fake.summary, fake.runs) for fake in (plain, swept))
    assert expected is not None
    assert told is not None
    assert told.target == expected.target
    assert told.comparisons == expected.comparisons
    assert study_signs(swept.summary, swept.runs) == study_signs(plain.summary, plain.runs)


@pytest.mark.parametrize("metric", ["stress_accuracy", "log_loss"])
def test_without_run_files_no_accuracy_is_made_of_another_score(
    tmp_path: Path, metric: str
) -> None:
    fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=2, metric=metric)
    for path in tmp_path.glob("*.json"):
        path.unlink()
    told = compare_curves(fake.summary, fake.runs)
    assert told is not None
    speed, *_ = told.comparisons
    assert all(measured.interval.n == 0 for measured in speed.measured)
    assert "are missing, and their curve." in " ".join(told.notes)
    info = plots.curves_info(fake.summary, fake.runs)
    assert info is not None
    assert {curve.metric for curve in info.curves} == {"score"}
    assert f"only the validation {SCORES[metric].title} is left" in info.caption


def test_a_loss_far_above_the_others_gets_a_log_axis(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=1, metric="log_loss")
    far = fake.record.space.base.replace(batch_size=16)
    trial = fake.ask({"learning_rate": 0.1}, far, 0)
    assert plots.draw_history(history(fake)).layout.yaxis.type != "log"
    fake.complete(trial, [0.5, -9.0], has_run=False)
    axis = plots.draw_history(history(fake)).layout.yaxis
    assert axis.type == "log"
    assert axis.range[0] < -0.6 < 1 < axis.range[1]


def test_the_better_study_of_two_is_named_in_the_right_direction(
    swept: FakeStudy, tmp_path: Path
) -> None:
    metric = score_of(swept).name
    worse = fake_grid(tmp_path, ["batch_size"], n_repeats=2, metric=metric)
    both = compare([worse.summary, swept.summary])
    assert both.score == score_of(swept)
    ranks = [entry.rank for entry in both.entries]
    assert both.best.rank == max(ranks)
    page = render_comparison(both, swept.runs)
    assert f"Mean validation {both.score.title}" in page
    rows = page[page.index("<tbody>") : page.index("</tbody>")]
    assert ("%" in rows) is both.score.kind.is_share
    sentences = " ".join(pair.sentence for pair in both.verdict.pairs)
    assert ("points" in sentences) is both.score.kind.is_share
