"""The section of the page on learning curves."""

from pathlib import Path

from hpo.evaluate.learning_curves import compare_curves
from hpo.report.page import render
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from tests.fake_studies import FakeStudy, fake_grid, fake_record, fake_search

HEADING = "Learning curves"


def test_a_grid_has_a_row_per_measure_and_a_column_per_value(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"])
    found = compare_curves(fake.summary, fake.runs)
    assert found is not None
    page = render(fake.summary, fake.study, fake.runs)
    for text in (HEADING, "epochs to 93 %", "fluctuation, points", "one point below the lowest"):
        assert text in page
    assert found.comparisons[0].pairs[0].sentence in page
    assert found.outcome[-1] in page


def test_a_search_of_one_repeat_has_numbers_and_no_comparison(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 12)
    page = render(fake.summary, fake.study, fake.runs)
    assert HEADING in page
    assert "All comparisons" not in page


def test_a_study_without_a_score_has_no_such_section(tmp_path: Path) -> None:
    fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path), Goal(5))
    assert HEADING not in render(fake.summary, fake.study, fake.runs)
