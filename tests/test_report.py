"""The page of a study: what it says, what it escapes, how it is written."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hpo.errors import HpoError
from hpo.report import write_report
from hpo.report.page import render
from hpo.report.table import table
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from hpo.study.summary import StudySummary
from tests.fake_studies import (
    PAYLOAD,
    PHANTOM,
    FakeStudy,
    fake_grid,
    fake_record,
    fake_search,
    hostile,
)

VOID = {"meta", "img", "br", "link"}


class Outline(HTMLParser):
    """Reads a page, checks that its elements nest, and keeps tags, ids, references and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split()).replace("\u00a0", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has the handler {name}"
            assert name not in {"src", "href"}, f"{tag} loads {value}"
            self.ids += [value or ""] if name == "id" else []
            self.references += (value or "").split() if name == "aria-labelledby" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.words.append(data)


def outline(fake: FakeStudy, summary: StudySummary | None = None) -> Outline:
    return Outline(render(summary or fake.summary, fake.study, fake.runs))


def empty_study(folder: Path, kind: str = "grid") -> FakeStudy:
    names = ["batch_size"] if kind == "grid" else ["learning_rate", "dropout"]
    return FakeStudy(fake_record(kind, names), RunStore(folder), Goal(5, 30))


def test_a_grid_has_its_short_answer_figures_table_and_commands(tmp_path: Path) -> None:
    page = outline(fake_grid(tmp_path, ["batch_size"]))
    for heading in ("In short", "The sweep", "History", "Curves", "Configurations"):
        assert heading in page.text
    assert "3 configurations of batch_size, 5 repeats each, on chest_xray" in page.text
    assert "1600 training and 400 validation" in page.text
    assert "15 finished" in page.text
    assert "hpo show fake" in page.text
    assert "hpo grid --param batch_size --data data/chest_xray" in page.text


def test_the_best_is_told_with_its_interval_and_the_baselines(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"])
    best = fake.summary.best
    assert best is not None
    assert best.score is not None
    assert best.score.mean is not None
    assert best.score.low is not None
    text = outline(fake).text
    assert f"Best configuration by mean batch_size {best.params['batch_size']}" in text
    assert f"Validation accuracy {100 * best.score.mean:.1f} %" in text
    assert f"95 % interval {100 * best.score.low:.1f} to" in text
    assert f"{100 * (best.score.mean - 0.734):.1f} points above majority class" in text
    assert "baseline: logistic regression" in text


def test_a_grid_states_its_verdict_on_every_pair(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"])
    verdict = fake.summary.verdict
    assert verdict is not None
    text = outline(fake).text
    assert len(verdict.pairs) == 3
    for pair in verdict.pairs:
        assert pair.sentence in text
    assert "Intervals that overlap tell no winner" not in text


def test_without_a_verdict_no_sentence_calls_a_difference_real(tmp_path: Path) -> None:
    text = outline(fake_search(tmp_path, 30)).text
    assert "Verdict" not in text
    # What is said of one configuration alone compares its validation with its training.
    before, _, rest = text.partition("Warnings")
    text = before + rest[rest.index("History") :]
    assert not re.search(r"significan|beats|better than|really|proves|winner is", text)


def test_a_search_names_its_sampler_and_says_that_the_best_is_lucky(tmp_path: Path) -> None:
    text = outline(fake_search(tmp_path, 30)).text
    assert "tpe, pruner: median" in text
    assert "Score by parameter" in text
    assert "Importance of the parameters" in text
    assert "part of that score is luck" in text
    assert "With one repeat there is no interval" in text


def test_the_rows_of_a_search_stand_by_score_those_of_a_grid_in_its_order(tmp_path: Path) -> None:
    found, swept = fake_search(tmp_path, 20), fake_grid(tmp_path, ["learning_rate"], n_repeats=2)
    means = [row.cells[0] for row in table(found.summary).rows if row.kind != "baseline"]
    assert means == sorted(means, reverse=True)
    assert [row.cells[0] for row in table(swept.summary).rows][:3] == ["0.1", "0.01", "0.001"]


def test_pruned_and_failed_trainings_are_told_with_their_reasons(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 40)
    text = outline(fake).text
    assert fake.summary.count("failed") == 4
    assert text.count("its loss was not finite in epoch 3.") == 4
    assert fake.summary.count("pruned") > 0
    assert text.count("pruned in epoch 4 at") == fake.summary.count("pruned")


def test_a_conditional_parameter_has_a_dash_where_it_is_not(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 10)
    n_without = sum("momentum" not in c.params for c in fake.summary.configurations if c.scores)
    page = render(fake.summary, fake.study, fake.runs)
    assert n_without > 0
    assert len(re.findall(r"<td>–</td>", page)) >= n_without


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_a_study_without_a_finished_trial_has_a_page(tmp_path: Path, kind: str) -> None:
    text = outline(empty_study(tmp_path, kind)).text
    assert "none yet" in text
    assert "0 finished" in text
    assert "hpo resume fake" in text


def test_an_unfinished_grid_says_how_to_finish_it(tmp_path: Path) -> None:
    fake = empty_study(tmp_path)
    fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, 0), [0.8, 0.9])
    text = outline(fake).text
    assert "No configuration has all its repeats yet" in text
    assert "1 of 5" in text
    assert "hpo resume fake" in text
    assert "hpo resume" not in outline(fake_grid(tmp_path, ["batch_size"])).text


def test_the_phantom_is_said_loudly_and_real_data_are_not_called_that(tmp_path: Path) -> None:
    phantom = fake_grid(tmp_path / "a", ["batch_size"], n_repeats=1, data=PHANTOM)
    real = fake_grid(tmp_path / "b", ["batch_size"], n_repeats=1)
    assert "Synthetic data." in outline(phantom).text
    assert "Synthetic data." not in outline(real).text


def test_what_the_last_call_did_is_told(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=1)
    summary = dataclasses.replace(fake.summary, n_trained=2, n_reused=1)
    assert "the last call trained 2, reused 1" in outline(fake, summary).text


def test_another_database_is_named_in_every_command(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=1)
    summary = dataclasses.replace(fake.summary, storage="sqlite:///my studies/a.db")
    assert "hpo export fake --storage 'sqlite:///my studies/a.db'" in outline(fake, summary).text
    assert "--storage" not in outline(fake).text


def test_the_page_is_valid_enough_to_be_read_aloud(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 30)
    html = render(fake.summary, fake.study, fake.runs)
    page = Outline(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table")
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)


def test_the_page_holds_plotly_once_loads_nothing_and_is_small(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 50)
    html = render(fake.summary, fake.study, fake.runs)
    assert len(html.encode()) < 6_000_000
    assert html.count("plotly.js v") == 1
    assert "default-src 'none'" in html
    Outline(html)


def test_nothing_from_outside_gets_into_the_markup(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
    fake.fail(fake.ask({"batch_size": 32}, fake.record.space.base, 2), PAYLOAD)
    html = render(hostile(fake.summary), fake.study, fake.runs)
    Outline(html)
    assert html.count("&lt;script&gt;document.body") > 8
    assert "<img" not in html
    assert "<script>document" not in html


def test_the_report_is_written_whole_and_again(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    folder = tmp_path / "studies" / "fake"
    path = write_report(fake.summary, fake.study, fake.runs, folder)
    assert path == folder / "report.html"
    first = path.read_text(encoding="utf-8")
    assert first.rstrip().endswith("</html>")
    write_report(fake.summary, fake.study, fake.runs, folder)
    assert path.read_text(encoding="utf-8") == first
    assert [p.name for p in folder.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(HpoError, match=r"cannot be written: .*hpo report fake") as error:
        write_report(fake.summary, fake.study, fake.runs, tmp_path / "file" / "fake")
    assert "HPO_RUNS" not in str(error.value)


def test_a_very_large_study_shows_the_best_and_says_what_is_left_out(tmp_path: Path) -> None:
    fake = empty_study(tmp_path, "search")
    fake.complete(fake.ask({"dropout": 0.5}, fake.record.space.base, 0), [0.9], has_run=False)
    one = fake.summary.configurations[0]
    summary = dataclasses.replace(fake.summary, configurations=(one,) * 260)
    text = outline(fake, summary).text
    assert "200 configurations with a score" in text
    assert "60 more configurations are left out here" in text
