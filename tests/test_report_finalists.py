"""Finalists as they are shown: the winner by its new repeats, and what luck there was."""

import dataclasses
import re
from pathlib import Path

import pytest

from hpo.report.page import render
from hpo.study.record import Goal
from hpo.study.summary import sentences, to_document
from hpo.views.listing import studies_table
from hpo.views.studies import finalists_table, study_tables
from tests.fake_studies import FakeStudy, add_finalists, fake_grid, fake_search

# The second of the search wins, by far.
TOPS = (0.90, 0.95, 0.88)


@pytest.fixture(scope="module", params=["accuracy", "stress_accuracy", "log_loss"])
def decided(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A search with finalists by a share, under stress, and by a loss; the trainings are equal."""
    fake = fake_search(tmp_path_factory.mktemp("runs"), 14, metric=request.param)
    return add_finalists(fake, *TOPS)


@pytest.fixture
def undecided(tmp_path: Path) -> FakeStudy:
    """A search with one of twelve new repeats still to be trained."""
    fake = add_finalists(fake_search(tmp_path, 14), *TOPS)
    goal = Goal(1, 14, n_finalists=3, n_final_repeats=5)
    fake.study.set_user_attr("goal", dataclasses.asdict(goal))
    assert fake.summary.finalists is None
    return fake


def page(fake: FakeStudy) -> str:
    """Return the words of the page."""
    html = render(fake.summary, fake.study, fake.runs)
    html = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_page_terminal_and_document_name_the_winner_by_its_new_score(decided: FakeStudy) -> None:
    summary, score, finalists = decided.summary, decided.record.score, decided.summary.finalists
    winner, text = finalists.winner, page(decided)
    assert winner is not finalists.favorite(score)
    mean = " ".join(score.text(winner.fresh.mean).split())
    assert f"Winner of 3 finalists: {winner.tag}" in text
    assert f"Validation {score.title}, retrained {mean}" in text
    assert "winner's curse" in text
    pairs = [pair.sentence for pair in finalists.verdict.pairs]
    for said in (*sentences(summary), *pairs):
        assert " ".join(said.split()) in text
    *_, shown = study_tables(summary, decided.runs)
    assert set(sentences(summary)) <= set(shown.notes)
    document = to_document(summary)
    assert document["finalists"]["winner"] == winner.number
    assert document["best"]["score"] == winner.fresh.mean


def test_the_table_has_the_finalists_best_first_with_both_scores(decided: FakeStudy) -> None:
    table, finalists = finalists_table(decided.summary), decided.summary.finalists
    number = decided.record.score.number
    rows = [row for row in table.rows if row.kind != "reference"]
    assert [row.kind for row in rows] == ["best", "plain", "plain"]
    for row, member in zip(rows, finalists.members, strict=True):
        assert row.cells[:3] == (member.tag, number(member.searched), number(member.fresh.mean))
    assert (len(table.rows) > 3) is decided.record.score.is_accuracy


def test_the_bases_of_the_reports_are_in_the_table_and_compared(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 14, metric="log_loss"), *TOPS)
    for repeat in range(1, 5):
        base = fake.record.space.base.replace(batch_size=16)
        fake.complete(fake.ask({}, base, repeat, report="report_a"), [0.5, 0.6 + 0.001 * repeat])
    table = finalists_table(fake.summary)
    assert (table.rows[-1].kind, table.rows[-1].cells[0]) == ("reference", "report_a")
    (pair,) = fake.summary.report_pairs
    assert pair.is_real
    assert " ".join(pair.sentence.split()) in page(fake)


def test_while_finalists_are_missing_the_best_is_called_lucky(undecided: FakeStudy) -> None:
    text = page(undecided)
    assert "The best of many scores is partly luck." in text
    assert finalists_table(undecided.summary) is None


def test_a_finalist_that_fails_keeps_its_place_in_the_search(undecided: FakeStudy) -> None:
    before = undecided.summary.best
    undecided.fail(undecided.ask(before.params, before.config, 5), "it was interrupted.")
    after = undecided.summary.best
    assert (after.config, after.state) == (before.config, "complete")


def test_the_list_of_studies_says_what_each_is_scored_by(tmp_path: Path) -> None:
    plain = fake_grid(tmp_path / "a", ["batch_size"], n_repeats=1).summary
    stressed = fake_grid(tmp_path / "b", ["batch_size"], n_repeats=1, metric="log_loss").summary
    table = studies_table({1: plain, 3: stressed})
    place = [column.name for column in table.columns].index("metric")
    assert [(row.cells[0], row.cells[place]) for row in table.rows] == [
        ("1", "accuracy"),
        ("3", "log loss"),
    ]
