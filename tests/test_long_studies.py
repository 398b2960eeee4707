"""Studies of thousands of trials: a page of limited size that reports what it leaves out."""

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.long_studies import in_memory, long_grid, long_search, save_runs
from hpo.cli.output import print_table
from hpo.plots.axes import thinned
from hpo.report.page import render
from hpo.storage.runs import RunStore
from hpo.study.gathering import summarize
from hpo.study.summary import to_document
from hpo.views.studies import study_tables

NOTES = {
    "search": (
        "Of 900 scores 550 are drawn: the best 200 and one in 2 of the others.",
        "Of 525 crosses 181 are drawn: the best 66 and one in 4 of the others.",
        "Of 900 configurations 217 are drawn: the best 80 and one in 6 of the others.",
        "Of 900 configurations, the best 5 are shown.",
        "700 more configurations are not shown",
        "Pruned (525)",
        "325 more are not shown; hpo show search --json lists all.",
    ),
    "grid": (
        "Of 400 configurations the best 81 are drawn.",
        "Only the 15 values with the best means are compared, corrected for all 79,800 pairs",
        "corrected for the number of pairs (Bonferroni)",
        "Only the best 100 of 400 configurations were checked.",
        "200 more configurations are not shown",
    ),
}


@pytest.mark.parametrize("name", NOTES)
def test_a_long_study_is_shortened_with_notes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = long_search(1_500) if name == "search" else long_grid(400, n_repeats=2)
    study, runs = in_memory(made, name), RunStore(tmp_path)
    save_runs(made, runs)
    summary = summarize(study)
    page = render(summary, study, runs)
    assert len(page.encode()) < 10_000_000
    figures = re.findall(r"<script[^>]*data-figure>(.*?)</script>", page, flags=re.S)
    assert sum(len(trace["x"]) for one in figures for trace in json.loads(one)["data"]) < 10_000
    page = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.S)
    words = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert [note for note in NOTES[name] if note not in words] == []
    for table in study_tables(summary, runs):
        print_table(table)
    out = capsys.readouterr().out
    n = len([c for c in summary.configurations if c.score])
    shown = f"The best 15 of {n:,} are shown; `hpo report` has the best 200, `hpo show {name}"
    assert (shown in out, len(out.splitlines()) < 80) == (True, True)
    document = to_document(summary)
    assert len(document["configurations"]) == len(summary.configurations)
    if name == "grid":
        assert document["verdict"]["n_pairs_left_out"] == 400 * 399 // 2 - 105


@given(n=st.integers(1, 3_000), most=st.integers(3, 300))
def test_thinned_points_match_their_note_and_include_the_best(n: int, most: int) -> None:
    items = list(range(n))
    random.Random(n).shuffle(items)
    drawn, note = thinned(items, lambda i: (i,), most=most, noun="scores")
    assert drawn == [i for i in items if i in set(drawn)]
    assert len(drawn) <= most
    assert set(drawn) >= set(range(n - most // 3, n)) & set(items)
    assert (f"Of {n:,} scores {len(drawn):,} are drawn" in note) == (n > most)
