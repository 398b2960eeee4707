"""Studies of thousands of trials: a page that a browser can bear, and what it leaves out, said."""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.cli.output import print_table
from hpo.plots.axes import thinned
from hpo.report.page import render
from hpo.storage.runs import RunStore
from hpo.study.gathering import summarize
from hpo.study.summary import StudySummary, to_document
from hpo.views.studies import study_tables
from tests.fake_studies import fake_grid, fake_search
from tests.long_studies import LongStudy, in_memory, long_grid, long_search, save_runs

N_SEARCH = 3_000
N_CELLS = 400


@dataclass(frozen=True)
class Long:
    """A long study with its page."""

    summary: StudySummary
    runs: RunStore
    page: str

    @property
    def text(self) -> str:
        return words_of(self.page)


def words_of(page: str) -> str:
    without_scripts = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", without_scripts).split())


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Long:
    return _long("search", long_search(N_SEARCH), tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Long:
    return _long("grid", long_grid(N_CELLS, n_repeats=2), tmp_path_factory.mktemp("runs"))


@pytest.fixture(params=["search", "grid"])
def long(request: pytest.FixtureRequest) -> Long:
    found: Long = request.getfixturevalue(request.param)
    return found


def _long(name: str, made: LongStudy, folder: Path) -> Long:
    runs = RunStore(folder)
    save_runs(made, runs)
    study = in_memory(made, name)
    summary = summarize(study, storage_url="sqlite:///studies/hpo.db")
    return Long(summary, runs, render(summary, study, runs))


def test_the_page_is_small_and_asks_little_of_a_browser(long: Long) -> None:
    assert len(long.page.encode()) < 10_000_000
    found = re.findall(r"<script[^>]*data-figure>(.*?)</script>", long.page, flags=re.S)
    assert sum(len(trace["x"]) for text in found for trace in json.loads(text)["data"]) < 10_000


def test_a_search_says_what_its_figures_and_tables_leave_out(search: Long) -> None:
    for said in (
        "Of 1,800 scores 600 are drawn: the best 200 and one in 4 of the others.",
        "Of 1,050 crosses 189 are drawn: the best 66 and one in 8 of the others.",
        "Of 1,800 configurations 237 are drawn: the best 80 and one in 11 of the others.",
        "Of 1800 configurations, the best 5 are shown.",
        "1600 more configurations are left out here",
        "Pruned (1050)",
        "850 more are left out here; hpo show search --json has all of them.",
    ):
        assert said in search.text


def test_a_grid_says_what_its_figures_its_verdict_and_its_signs_leave_out(grid: Long) -> None:
    for said in (
        "Of 400 configurations the best 81 are drawn.",
        "Only the 15 values with the best means are compared, corrected for all 79,800 pairs",
        "corrected for the number of pairs (Bonferroni)",
        "Only the best 100 of 400 configurations were checked.",
        "200 more configurations are left out here",
    ):
        assert said in grid.text


def test_the_terminal_shows_the_best_and_where_the_others_are(
    long: Long, capsys: pytest.CaptureFixture[str]
) -> None:
    for table in study_tables(long.summary, long.runs):
        print_table(table)
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 80
    n = len([c for c in long.summary.configurations if c.score])
    assert (
        f"The best 15 of {n:,} are shown; `hpo report` has the best 200, "
        f"`hpo show {long.summary.name} --json` all."
    ) in out


def test_json_has_every_configuration_and_counts_the_pairs_it_has_not(long: Long) -> None:
    document = to_document(long.summary)
    assert len(document["configurations"]) == len(long.summary.configurations)
    if document["verdict"]:
        assert len(document["verdict"]["pairs"]) == 15 * 14 // 2
        assert document["verdict"]["n_pairs_left_out"] == 400 * 399 // 2 - 105


def test_of_a_small_study_nothing_is_left_out(tmp_path: Path) -> None:
    for fake in (fake_search(tmp_path, 40), fake_grid(tmp_path, ["batch_size", "hidden"])):
        text = words_of(render(fake.summary, fake.study, fake.runs))
        for said in ("are drawn", "left out here", "Bonferroni", "were checked", "Only the 15"):
            assert said not in text


@given(n=st.integers(1, 3_000), most=st.integers(3, 300))
def test_what_is_drawn_is_as_many_as_is_said_with_the_best_among_them(n: int, most: int) -> None:
    items = list(range(n))
    random.Random(n).shuffle(items)
    drawn, said = thinned(items, lambda i: (i,), most=most, noun="scores")
    assert drawn == [i for i in items if i in set(drawn)]
    assert len(drawn) <= most
    assert set(drawn) >= set(range(n - most // 3, n)) & set(items)
    assert (f"Of {n:,} scores {len(drawn):,} are drawn" in said) == (n > most)
