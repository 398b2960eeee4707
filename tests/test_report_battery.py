"""What the best model cannot stand, on its page."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

from hpo import plots
from hpo.plots import BatteryInfo
from hpo.report.battery import CHANGES, battery_section
from hpo.report.page import render
from hpo.study.score import SCORES
from hpo.training import battery
from tests.fake_studies import CHANGES as LOSSES
from tests.fake_studies import FakeStudy, add_finalists, fake_grid, fake_search, metrics_of

HEADING = "What this model cannot stand"
STRESSED = [name for name, score in SCORES.items() if score.is_stressed]


@pytest.fixture(scope="module", params=STRESSED)
def stressed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> FakeStudy:
    """A grid by each score under stress; the trainings are the same."""
    folder = tmp_path_factory.mktemp("runs")
    return fake_grid(folder, ["learning_rate"], n_repeats=3, metric=request.param)


def info_of(fake: FakeStudy) -> BatteryInfo:
    info = plots.battery_info(fake.summary, fake.runs)
    assert info is not None
    return info


def test_the_worst_change_stands_first_whichever_way_the_metric_is_better(
    stressed: FakeStudy,
) -> None:
    info = info_of(stressed)
    assert [row.change for row in info.rows] == ["noisy", "blurred", "shifted"]
    one, other = (metrics_of(accuracy)[info.axis.score.metric] for accuracy in (0.5, 0.62))
    assert info.rows[0].loss == pytest.approx(abs(one - other))
    assert [row.loss > 0 for row in info.rows] == [True] * 3
    best = stressed.summary.best
    assert best is not None
    assert info.sentence.startswith(f'The worst change for {best.label} is "noisy": ')
    told = re.findall(r"\d+\.\d+", info.sentence)
    changed, unchanged, loss = map(float, told[-3:])
    assert loss == pytest.approx(abs(unchanged - changed))


def test_it_is_the_mean_of_the_best_configuration_over_its_repeats(stressed: FakeStudy) -> None:
    info, best = info_of(stressed), stressed.summary.best
    assert best is not None
    runs = [stressed.runs.read(repeat.run or "") for repeat in best.repeats]
    metric = stressed.record.score.metric
    assert info.unchanged == pytest.approx(fmean(r.kept.validation[metric] for r in runs if r))
    for row in info.rows:
        assert row.mean == pytest.approx(fmean(row.scores))
        assert row.scores == tuple(run.stress[row.change][metric] for run in runs if run)
    # The study's score is the mean over the changes.
    assert best.score is not None
    assert fmean(row.mean for row in info.rows) == pytest.approx(best.score.mean)


def test_the_figure_has_a_row_per_change_and_the_unchanged_images(stressed: FakeStudy) -> None:
    info = info_of(stressed)
    figure = plots.draw_battery(info)
    assert list(figure.layout.yaxis.ticktext) == ["shifted", "blurred", "noisy"]
    assert figure.layout.xaxis.title.text == f"validation {info.axis.score.title}"
    means = figure.data[-1]
    assert list(means.x) == [row.mean for row in info.rows[::-1]]
    (line,) = [trace for trace in figure.data if trace.showlegend]
    assert set(line.x) == {info.unchanged}
    low, high = figure.layout.xaxis.range
    assert all(low < value < high for row in info.rows for value in row.scores)


def test_a_finalist_is_shown_by_its_fresh_repeats(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 14, metric="stress_accuracy")
    info = info_of(add_finalists(fake, 0.90, 0.95, 0.88))
    assert len(info.rows[0].scores) == 4
    assert info.unchanged == pytest.approx(0.95, abs=0.01)


def test_the_page_tells_the_worst_change_and_what_the_changes_are(stressed: FakeStudy) -> None:
    page = render(stressed.summary, stressed.study, stressed.runs)
    section = battery_section(stressed.summary, stressed.runs)
    assert section is not None
    assert HEADING in page
    assert section.sentence.replace('"', "&#34;") in page
    for change, _, loss, meaning in section.rows:
        assert change in LOSSES
        assert loss in page
        assert meaning in page


def test_every_change_of_the_battery_is_explained() -> None:
    assert tuple(CHANGES) == battery.names()
    assert all(CHANGES.values())


def test_only_runs_that_hold_the_battery_are_shown(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=3, metric="stress_accuracy")
    best = fake.summary.best
    assert best is not None
    (tmp_path / f"{best.repeats[0].run}.json").unlink()
    info = info_of(fake)
    assert len(info.rows[0].scores) == 2
    assert "1 more repeat of it has no battery on record" in info.caption
    for repeat in best.repeats[1:]:
        (tmp_path / f"{repeat.run}.json").unlink()
    assert plots.battery_info(fake.summary, fake.runs) is None
    assert HEADING not in render(fake.summary, fake.study, fake.runs)


def test_a_plain_study_has_no_battery_unless_its_runs_hold_one(tmp_path: Path) -> None:
    plain = fake_grid(tmp_path, ["learning_rate"], n_repeats=2)
    assert plots.battery_info(plain.summary, plain.runs) is None
    # Another study trained the same with a stress score: the run files are the same.
    fake_grid(tmp_path, ["learning_rate"], n_repeats=2, metric="stress_accuracy")
    assert len(info_of(plain).rows) == 3


def test_a_model_that_stands_everything_is_said_to(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["learning_rate"], n_repeats=1, metric="stress_accuracy")
    best = fake.summary.best
    assert best is not None
    run = fake.runs.read(best.repeats[0].run or "")
    assert run is not None
    path = tmp_path / f"{best.repeats[0].run}.json"
    document = json.loads(path.read_text()) | {"stress": {"noisy": run.kept.validation}}
    path.write_text(json.dumps(document))
    assert info_of(fake).sentence.startswith("No change makes the accuracy")
