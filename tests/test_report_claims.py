"""The section of the page that says what the curves say."""

from pathlib import Path

from hpo.report.claims import claims_table
from hpo.report.page import render
from hpo.runs import RunStore
from hpo.study_record import Goal
from tests.fake_studies import FakeStudy, fake_grid, fake_record, fake_search

HEADING = "What the curves say"


def test_a_grid_has_a_row_per_claim_and_a_column_per_value(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"])
    found = claims_table(fake.summary, fake.runs)
    assert found is not None
    assert found.names == ("32", "64", "128")
    assert len(found.rows) == 6
    assert {len(row.cells) for row in found.rows} == {3}
    page = render(fake.summary, fake.study, fake.runs)
    for text in (HEADING, "epochs to 93 %", "fluctuation, points", "is a point below the lowest"):
        assert text in page
    assert found.rows[0].pairs[0] in page
    assert found.others in page


def test_a_search_of_one_repeat_has_numbers_and_no_verdict(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 12)
    found = claims_table(fake.summary, fake.runs)
    assert found is not None
    assert (found.real, found.others) == ((), "")
    page = render(fake.summary, fake.study, fake.runs)
    assert HEADING in page
    assert "Every pair" not in page


def test_a_study_without_a_score_has_no_such_section(tmp_path: Path) -> None:
    fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path), Goal(5))
    assert HEADING not in render(fake.summary, fake.study, fake.runs)
