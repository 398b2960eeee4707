"""Finalists as they are shown: the winner by its new repeats, and what luck there was."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from hpo.cli.output import print_table
from hpo.evaluate.studies import compare
from hpo.report.page import render
from hpo.study.record import Goal
from hpo.study.score import SCORES
from hpo.study.summary import sentences, to_document
from hpo.views.studies import finalists_table, studies_table, study_tables
from tests.fake_studies import FakeStudy, add_finalists, fake_grid, fake_search

# The second of the search wins, by far.
TOPS = (0.90, 0.95, 0.88)
CURSE = "winner's curse"


@pytest.fixture(scope="module", params=SCORES)
def decided(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A search with finalists by each score; the trainings are the same."""
    fake = fake_search(tmp_path_factory.mktemp("runs"), 14, metric=request.param)
    return add_finalists(fake, *TOPS)


def undecided(folder: Path) -> FakeStudy:
    """Return a search with one of twelve new repeats still to be trained."""
    fake = fake_search(folder, 14)
    add_finalists(fake, *TOPS)
    goal = Goal(1, 14, n_finalists=3, n_final_repeats=5)
    fake.study.set_user_attr("goal", dataclasses.asdict(goal))
    assert fake.summary.finalists is None
    return fake


def page(fake: FakeStudy) -> str:
    """Return the words of the page."""
    html = re.sub(
        r"<script.*?</script>", "", render(fake.summary, fake.study, fake.runs), flags=re.S
    )
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\u00a0", " ").split())


def test_the_page_and_the_terminal_name_the_winner_and_say_every_sentence(
    decided: FakeStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, score, finalists = decided.summary, decided.record.score, decided.summary.finalists
    assert finalists is not None
    winner = finalists.winner
    assert winner is not finalists.favorite(score)
    assert winner.fresh.mean is not None
    text = page(decided)
    mean = score.text(winner.fresh.mean).replace("\u00a0", " ")
    assert f"Winner of 3 finalists: {winner.label}" in text
    assert f"Validation {score.title}, retrained {mean}" in text
    assert f"{winner.label} winner" in text
    assert CURSE in text
    pairs = [pair.sentence for pair in finalists.verdict.pairs]
    said = [*sentences(finalists, decided.record), *pairs]
    assert all(line.replace("\u00a0", " ") in text for line in said)
    for table in study_tables(summary, decided.runs):
        print_table(table)
    out = capsys.readouterr().out
    assert "is the best of 3 finalists" in out
    assert f"{winner.label} is better than" in out


def test_the_table_has_the_finalists_best_first_with_both_scores(decided: FakeStudy) -> None:
    table, finalists, score = (
        finalists_table(decided.summary),
        decided.summary.finalists,
        decided.record.score,
    )
    assert table is not None
    assert finalists is not None
    rows = [row for row in table.rows if row.kind != "reference"]
    assert [row.kind for row in rows] == ["best", "plain", "plain"]
    for row, member in zip(rows, finalists.members, strict=True):
        assert member.fresh.mean is not None
        scores = [score.number(member.searched), score.number(member.fresh.mean)]
        assert row.cells[:3] == (member.label, *scores)
    assert (len(table.rows) > 3) is score.is_accuracy


def test_the_document_names_the_winner_by_its_new_score(decided: FakeStudy) -> None:
    document = json.loads(json.dumps(to_document(decided.summary)))
    members = document["finalists"]["configurations"]
    assert document["finalists"]["winner"] == members[0]["number"]
    assert document["best"]["score"] == members[0]["fresh"]["score"]
    assert document["score"]["name"] == decided.record.metric


def test_a_winner_is_compared_by_its_new_repeats(tmp_path: Path) -> None:
    found = add_finalists(fake_search(tmp_path / "a", 14), *TOPS).summary
    grid = fake_grid(tmp_path / "b", ["batch_size"]).summary
    both = compare([found, grid], best=True)
    entry = both.entries[0]
    assert found.finalists is not None
    assert entry.configuration.number == found.finalists.winner.number
    assert entry.found == found.finalists.winner.fresh
    assert both.verdict.pairs[0].n_pairs == 4


def test_while_finalists_are_missing_the_best_is_called_lucky(tmp_path: Path) -> None:
    fake = undecided(tmp_path)
    text = page(fake)
    assert "so its score is partly luck" in text
    assert "The 3 finalists that show how much worse are not all retrained yet." in text
    assert "hpo resume search-1" in text
    assert finalists_table(fake.summary) is None
    assert CURSE not in text


def test_the_bases_of_the_reports_are_in_the_table_and_compared(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 14, metric="log_loss"), *TOPS)
    for repeat in range(1, 5):
        trial = fake.ask({}, fake.record.space.base.replace(batch_size=16), repeat)
        trial.set_user_attr("report", "report_a")
        fake.complete(trial, [0.5, 0.6 + 0.001 * repeat])
    table = finalists_table(fake.summary)
    assert table is not None
    assert table.rows[-1].kind == "reference"
    assert table.rows[-1].cells[0] == "report_a"
    (base,) = fake.summary.reports
    assert base.comparison is not None
    assert base.comparison.is_real
    assert base.comparison.sentence in page(fake)


def test_a_finalist_that_fails_keeps_its_place_in_the_search(tmp_path: Path) -> None:
    fake = undecided(tmp_path)
    before = fake.summary.best
    assert before is not None
    fake.fail(fake.ask(before.params, before.config, 5), "it was interrupted.")
    after = fake.summary.best
    assert after is not None
    assert (after.config, after.state) == (before.config, "complete")


def test_a_finalist_that_waits_or_runs_is_not_trained_again(tmp_path: Path) -> None:
    fake = undecided(tmp_path)
    goal = fake.summary.goal
    found = [c for c in fake.summary.configurations if len(c.repeats) == goal.n_final_repeats]
    assert len(found) == 3
    asked = [fake.ask(c.params, c.config, 5) for c in found]
    assert fake.summary.finalists is None
    for trial in asked:
        fake.complete(trial, [0.8, 0.9])
    assert fake.summary.finalists is not None


def test_the_list_of_studies_says_what_each_is_scored_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = fake_grid(tmp_path / "a", ["batch_size"], n_repeats=1).summary
    stressed = fake_grid(tmp_path / "b", ["batch_size"], n_repeats=1, metric="log_loss").summary
    print_table(studies_table([plain]))
    assert "log loss" not in capsys.readouterr().out
    print_table(studies_table([plain, stressed]))
    assert "The best of fake is its log loss." in capsys.readouterr().out


def test_how_far_the_search_was_off_is_the_difference_of_the_figures_beside_it(
    decided: FakeStudy,
) -> None:
    finalists = decided.summary.finalists
    assert finalists is not None
    (said,) = (s for s in sentences(finalists, decided.record) if "scored best in the search" in s)
    searched, fresh, off = map(float, re.findall(r"\d+\.\d+", said))
    assert off == pytest.approx(abs(searched - fresh))


def test_data_with_one_validation_split_have_no_other_folds(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 14), *TOPS)
    finalists, record = fake.summary.finalists, fake.record
    assert finalists is not None
    assert "on other folds: " in sentences(finalists, record)[0]
    data = dataclasses.replace(record.data, has_own_validation=True)
    assert "fold" not in " ".join(sentences(finalists, dataclasses.replace(record, data=data)))
