"""`make results`: pages follow from their figures, and nothing is trained twice."""

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from hpo import space
from hpo.storage.opening import open_storage
from hpo.study.gathering import summarize_all
from hpo.training.stack import StackedStack
from studies.results import __main__ as results
from studies.results import work
from studies.results.__main__ import main
from studies.results.claims import MEASURES
from studies.results.reports import SWEEPS
from studies.scores import __main__ as scores


@pytest.mark.parametrize(
    ("program", "page"), [(results, results.RESULTS), (scores, scores.SCORES)]
)
def test_a_page_follows_from_its_figures(program: ModuleType, page: Path, tmp_path: Path) -> None:
    shutil.copy(page.with_suffix(".json"), tmp_path / "here.json")
    assert program.main(["--out", str(tmp_path / "here.md")]) == 0
    assert (tmp_path / "here.md").read_bytes() == page.read_bytes()
    assert program.main(["--out", str(tmp_path / "there.md")]) == 2


def test_sweeps_claims_and_figures_match_the_space_files() -> None:
    spaces = [name for name in space.space_names() if name.startswith("report_")]
    shipped = [f"{name}:{sweep}" for name in spaces for sweep in space.load_space(name).sweeps]
    assert sorted(sweep.key for sweep in SWEEPS) == sorted(shipped)
    assert len(SWEEPS) == 16
    for sweep in SWEEPS:
        labels = set(space.load_space(sweep.space).sweeps[sweep.name].labels)
        parts = [part for claim in sweep.claims for part in claim.parts]
        assert set(sweep.figures) <= labels
        assert {v for p in parts for v in (p.a, p.b) if v != ""} <= labels
        assert {part.measure for part in parts} <= set(MEASURES)


def test_the_stored_figures_give_the_same_page_without_training(
    xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATA", raising=False)
    monkeypatch.setattr(work, "SEARCH", {"trials": 3, "finalists": 2, "final_repeats": 2})
    out = ["--out", str(tmp_path / "out.md")]
    tiny = ("--epochs", "2", "--set", "hidden=8", "--set", "image_size=16", "--max-repeats", "5")
    asked = ["--data", str(xrays), "--only", "report_a:loss", *tiny, "--search", *out]
    assert main(asked) == 0
    first = Path("out.md").read_text()
    assert "| A | [loss](#report-a-loss) | 5 |" in first
    assert "Not run again yet: epochs (report A), hidden (report A), loss (report B)" in first
    searched = first[first.index("## The default search") :]
    assert "| the winner, #" in searched
    assert "| its ensemble of 2 | – | " in searched

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(StackedStack, "step", refuse)
    Path("out.md").unlink()
    assert main(out) == 0
    assert Path("out.md").read_text() == first
    assert main(asked) == 0
    assert Path("out.md").read_text() == first
    summaries, _, _ = summarize_all(open_storage("sqlite:///studies/hpo.db", create=False))
    assert [len(s.openings) for s in summaries.values()] == [1, 1]
