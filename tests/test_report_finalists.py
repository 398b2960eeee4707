"""Finalists as they are shown: the winner by fresh repeats, and what luck there was."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from hpo.cli.output import print_table
from hpo.evaluate.studies import compare
from hpo.plots.search import history_info, slice_infos
from hpo.report.facts import facts
from hpo.report.finalists import finalists_section
from hpo.report.headline import headline
from hpo.report.page import render
from hpo.report.table import table
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from hpo.study.score import SCORES
from hpo.study.summary import StudySummary, sentences, to_document
from hpo.views.studies import studies_table, study_tables
from tests.fake_studies import (
    PAYLOAD,
    FakeStudy,
    add_finalists,
    fake_grid,
    fake_search,
    hostile,
)

# The second of the search wins, by far.
TOPS = (0.90, 0.95, 0.88)
CURSE = "winner's curse"


def print_study(summary: StudySummary, runs: RunStore) -> None:
    """Print a study as the terminal shows it."""
    for shown in study_tables(summary, runs):
        print_table(shown)


@pytest.fixture(scope="module", params=SCORES)
def decided(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A search with finalists by each score; the trainings are the same."""
    fake = fake_search(tmp_path_factory.mktemp("runs"), 14, metric=request.param)
    return add_finalists(fake, *TOPS)


def undecided(folder: Path) -> FakeStudy:
    """Return a search with one of twelve fresh repeats still to be trained."""
    fake = fake_search(folder, 14)
    add_finalists(fake, *TOPS)
    goal = Goal(1, 14, n_finalists=3, n_final_repeats=5)
    fake.study.set_user_attr("goal", dataclasses.asdict(goal))
    assert fake.summary.finalists is None
    return fake


def page(fake: FakeStudy) -> str:
    """Return the page with the breaks of its lines as spaces."""
    return re.sub(r"\s*\n\s*", " ", render(fake.summary, fake.study, fake.runs))


def test_the_headline_names_the_winner_with_its_fresh_score(decided: FakeStudy) -> None:
    summary, score = decided.summary, decided.record.score
    assert summary.finalists is not None
    winner = summary.finalists.winner
    assert winner is not summary.finalists.favorite(score)
    assert winner.fresh.mean is not None
    assert winner.fresh.low is not None
    assert winner.fresh.high is not None
    told = headline(summary)
    assert told.best_title == f"Winner of 3 finalists: {winner.label}"
    assert told.score_title == f"Validation {score.title}, fresh repeats"
    assert told.score == score.text(winner.fresh.mean)
    assert told.interval == score.range_text(winner.fresh.low, winner.fresh.high)
    assert "is luck" not in page(decided)


def test_the_section_holds_every_finalist_best_first_and_every_sentence(
    decided: FakeStudy,
) -> None:
    section, finalists = finalists_section(decided.summary), decided.summary.finalists
    assert section is not None
    assert finalists is not None
    assert [row.name for row in section.rows] == [member.label for member in finalists.members]
    assert [row.is_winner for row in section.rows] == [True, False, False]
    assert [row.cells[-1] for row in section.rows] == ["4", "4", "4"]
    assert ("%" in section.rows[0].cells[0]) is decided.record.score.kind.is_share
    text = page(decided)
    assert CURSE in text
    for said in (*section.sentences, *(sentence for sentence, _ in section.verdict)):
        assert said in text
    assert len(section.verdict) == 3
    assert any(is_real for _, is_real in section.verdict)


def test_the_table_keeps_the_scores_of_the_search_and_marks_the_winner(
    decided: FakeStudy,
) -> None:
    shown, best = table(decided.summary), decided.summary.best
    assert best is not None
    assert best.score is not None
    assert best.score.mean is not None
    (winner,) = [row for row in shown.rows if row.kind == "best"]
    assert winner is not shown.rows[0]
    assert winner.cells[0] == decided.record.score.text(best.score.mean)
    assert winner.cells[2] == "1"
    assert shown.badge == "winner"


def test_the_history_has_a_point_for_what_was_left_of_each(decided: FakeStudy) -> None:
    info, finalists = history_info(decided.summary), decided.summary.finalists
    assert info is not None
    assert finalists is not None
    fresh = {point.number: point.score for point in info.points if point.state == "finalist"}
    assert fresh == {member.number: member.fresh.mean for member in finalists.members}
    assert "Diamonds" in info.caption
    infos, _ = slice_infos(decided.summary)
    assert {i.best.number for i in infos if i.best} == {finalists.winner.number}


def test_the_terminal_has_a_row_per_finalist_and_the_sentences(
    decided: FakeStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, score = decided.summary, decided.record.score
    print_study(summary, decided.runs)
    out = capsys.readouterr().out
    table = out[out.index("Finalists") :].splitlines()
    rows = [[cell.strip() for cell in row.strip("│").split("│")] for row in table if "│" in row]
    rows = [cells for cells in rows if cells[0][:1] == "#"]
    assert summary.finalists is not None
    for cells, member in zip(rows, summary.finalists.members, strict=True):
        assert cells[0] == member.label
        assert member.fresh.mean is not None
        assert cells[1:3] == [score.number(member.searched), score.number(member.fresh.mean)]
        assert cells[4] == "4"
    assert "is the best of 3 finalists" in out
    assert f"{summary.finalists.winner.label} beats" in out
    assert all(word in out for word in score.column.split())
    assert ("Accuracy of the baselines" in out) is not score.is_accuracy


def test_the_document_tells_the_winner_by_its_fresh_score(decided: FakeStudy) -> None:
    document = json.loads(json.dumps(to_document(decided.summary)))
    members = document["finalists"]["configurations"]
    assert document["finalists"]["winner"] == members[0]["number"]
    assert document["best"]["score"] == members[0]["fresh"]["score"]
    assert document["score"]["name"] == decided.record.metric


def test_a_winner_is_compared_by_its_fresh_repeats(tmp_path: Path) -> None:
    found = add_finalists(fake_search(tmp_path / "a", 14), *TOPS).summary
    grid = fake_grid(tmp_path / "b", ["batch_size"]).summary
    both = compare([found, grid], best=True)
    entry = both.entries[0]
    assert found.finalists is not None
    assert entry.configuration.number == found.finalists.winner.number
    assert entry.found == found.finalists.winner.fresh
    assert both.verdict.pairs[0].n_pairs == 4
    (note,) = [note for note in both.notes if "search-1" in note]
    assert "by its fresh repeats" in note
    assert "luck" not in note


def test_while_finalists_are_missing_the_best_is_said_to_be_lucky(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = undecided(tmp_path)
    text = page(fake)
    assert "part of that score is luck" in text
    assert "3 finalists that will tell how much are not all trained yet" in text
    assert CURSE not in text
    assert "hpo resume search-1" in text
    assert finalists_section(fake.summary) is None
    best, told = fake.summary.best, headline(fake.summary)
    assert best is not None
    assert best.score is not None
    assert best.score.mean is not None
    assert told.score == fake.record.score.text(best.score.mean)
    print_study(fake.summary, fake.runs)
    out = capsys.readouterr().out
    assert "This ranking is provisional: the best 3 still have to be retrained." in out
    assert "fresh mean" not in out


def test_the_bases_of_the_reports_stand_beside_the_finalists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = add_finalists(fake_search(tmp_path, 14, metric="log_loss"), *TOPS)
    for repeat in range(1, 5):
        trial = fake.ask({}, fake.record.space.base.replace(batch_size=16), repeat)
        trial.set_user_attr("report", "report_a")
        fake.complete(trial, [0.5, 0.6 + 0.001 * repeat])
    section = finalists_section(fake.summary)
    assert section is not None
    (row,) = section.reports
    assert (row.name, row.cells[-1]) == ("report_a", "4")
    sentence, is_real = section.verdict[-1]
    assert is_real
    assert sentence.startswith("the winner beats report_a by 0.3")
    assert sentence in page(fake)
    print_study(fake.summary, fake.runs)
    out = capsys.readouterr().out
    assert sentence in out
    assert "report_a" in out[: out.index(sentence)]


def test_a_finalist_that_fails_or_trains_again_keeps_its_place_in_the_search(
    tmp_path: Path,
) -> None:
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


def test_a_search_without_finalists_and_a_grid_have_no_such_section(tmp_path: Path) -> None:
    for fake in (fake_search(tmp_path / "a", 14), fake_grid(tmp_path / "b", ["batch_size"])):
        assert finalists_section(fake.summary) is None
        assert CURSE not in page(fake)


def test_how_many_finalists_were_asked_for_is_a_fact_of_the_study(decided: FakeStudy) -> None:
    told = dict(facts(decided.summary))
    assert told["Finalists"] == "3, each with 4 fresh repeats"
    assert told["Score"].startswith(decided.record.metric)


def test_the_list_of_studies_says_what_each_is_scored_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = fake_grid(tmp_path / "a", ["batch_size"], n_repeats=1).summary
    stressed = fake_grid(tmp_path / "b", ["batch_size"], n_repeats=1, metric="log_loss").summary
    print_table(studies_table([plain]))
    assert "log loss" not in capsys.readouterr().out
    print_table(studies_table([plain, stressed]))
    out = capsys.readouterr().out
    table = [line for line in out.splitlines() if line.startswith("│ fake")]
    rows = [[cell.strip() for cell in line.split("│")] for line in table]
    assert [row[4].endswith("%") for row in rows] == [True, False]
    assert "The best of fake is its log loss." in out


def test_names_from_outside_are_escaped_among_finalists(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 14), *TOPS)
    summary = hostile(fake.summary)
    # A name of a searched parameter comes from the space file, which is read; these do not.
    record = dataclasses.replace(summary.record, kind="grid", names=("batch_size",))
    text = render(dataclasses.replace(summary, record=record), fake.study, fake.runs)
    assert 'id="finalists"' in text
    assert PAYLOAD not in text
    assert "<script>document" not in text


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
    assert "retrained with new seeds on other folds: " in sentences(finalists, record)[0]
    own = dataclasses.replace(
        record, data=dataclasses.replace(record.data, has_own_validation=True)
    )
    assert "retrained with new seeds: " in sentences(finalists, own)[0]
    assert "fold" not in " ".join(sentences(finalists, own))
