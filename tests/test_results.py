"""`make results`: the file, and that nothing is trained twice."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo import space
from hpo.evaluate.learning_curves import compare_curves
from hpo.run.plan import SearchSettings
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunStore
from hpo.study.gathering import summarize_all
from hpo.study.record import Goal
from hpo.study.summary import Configuration
from hpo.training.stack import StackedStack
from studies.results import search
from studies.results.__main__ import RESULTS, main
from studies.results.claims import (
    GAP,
    OPEN,
    SEEN,
    VALIDATION,
    VALIDATION_LOSS,
    Claim,
    above,
    better,
)
from studies.results.document import document
from studies.results.evidence import Result, conclude
from studies.results.reports import Sweep
from studies.results.rows import overview
from tests.fake_studies import FakeStudy, fake_record

TINY = ("--epochs", "2", "--set", "hidden=8", "--set", "image_size=16")


BATCHES = Sweep(
    report="X",
    name="batch_size",
    found="128 is best",
    split=VALIDATION,
    figures={32: 90, 128: 92},
    claims=(
        Claim("128 beats 32", better(VALIDATION, 128, 32)),
        Claim("32 beats 128", better(VALIDATION, 32, 128)),
        Claim("all overfit", above(GAP, 0.01, 32, 64, 128)),
    ),
)


def concluded(fake: FakeStudy) -> Result:
    curves = compare_curves(fake.summary, fake.runs)
    return conclude(BATCHES, fake.summary, evaluation=None, curves=curves)


def study(folder: Path, *tops: float, wobble: float = 0.001, failed: int = 0) -> FakeStudy:
    """Return a grid over the batch size with five repeats around a top for each value.

    The first so many trainings fail.
    """
    fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(folder), Goal(5))
    cells = space.cells(fake.record.space, fake.record.names)
    jobs = [
        (cell, top, repeat) for cell, top in zip(cells, tops, strict=True) for repeat in range(5)
    ]
    for number, (cell, top, repeat) in enumerate(jobs):
        trial = fake.ask(cell.params, cell.config, repeat)
        if number < failed:
            fake.fail(trial, "its loss | was not finite in epoch 2.")
        else:
            noise = wobble * ((repeat * cell.config.batch_size // 32) % 3)
            fake.complete(trial, [round(top - 0.1 / epoch + noise, 4) for epoch in range(1, 9)])
    return fake


class TestFile:
    def test_it_begins_with_what_to_take_from_it(self, tmp_path: Path) -> None:
        result = concluded(study(tmp_path, 0.80, 0.85, 0.95))
        lines = document([result]).splitlines()
        assert lines[2] == "## What to take from it"
        assert lines[4] == "**What made a real difference on validation: 1 of 1 sweeps.**"
        assert len([pair for pair in result.pairs if pair.is_real]) == 3
        assert all(pair.sentence in lines[6] for pair in result.pairs)

    def test_differences_that_cannot_be_told_are_bounded(self, tmp_path: Path) -> None:
        result = concluded(study(tmp_path, 0.95, 0.95, 0.95, wobble=0.01))
        bounds = [max(abs(pair.low or 0), abs(pair.high or 0)) for pair in result.pairs]
        expected = f"if there is a difference, it is at most {100 * max(bounds):.1f} points."
        assert f"- batch_size (report X): {expected}" in document([result]).splitlines()

    def test_a_row_says_what_became_of_each_claim(self, tmp_path: Path) -> None:
        row = overview([concluded(study(tmp_path, 0.80, 0.85, 0.95))])[-1]
        assert "128 beats 32: **seen here**; 32 beats 128: **not seen here**" in row
        # the training accuracy of the fake study is always two points above
        assert "all overfit: **seen here**" in row

    def test_a_row_says_what_failed_and_that_the_test_is_sealed(self, tmp_path: Path) -> None:
        row = overview([concluded(study(tmp_path, 0.9, 0.9, 0.9, failed=2))])[-1]
        assert r"[2 of 5 repeats failed: its loss \| was not finite in epoch 2]" in row
        assert "| sealed: 2 trainings failed |" in row

    def test_a_value_that_never_trains_has_a_row_nevertheless(self, tmp_path: Path) -> None:
        text = document([concluded(study(tmp_path, 0.9, 0.9, 0.9, failed=5))])
        assert "32: – [5 of 5 repeats failed" in text

    def test_every_row_of_a_table_has_as_many_cells(self, tmp_path: Path) -> None:
        text = document([concluded(study(tmp_path, 0.80, 0.85, 0.95, failed=2))])
        blocks = text.replace(r"\|", "").split("\n\n")
        tables = [block.splitlines() for block in blocks if block.startswith("|")]
        assert len(tables) == 3
        for rows in tables:
            assert len({row.count("|") for row in rows}) == 1

    def test_the_lower_loss_is_found_by_repeat(self, tmp_path: Path) -> None:
        summary = study(tmp_path, 0.80, 0.85, 0.95).summary
        lossy = replace(summary, configurations=tuple(map(with_loss, summary.configurations)))
        claim = Claim("128 has the lower loss", better(VALIDATION_LOSS, 128, 32))
        sweep = Sweep(report="X", name="batch_size", found="", claims=(claim,))
        found, nothing = (
            conclude(sweep, s, evaluation=None, curves=None).verdicts[0] for s in (lossy, summary)
        )
        assert found.outcome == SEEN
        assert nothing.outcome == OPEN


def with_loss(configuration: Configuration) -> Configuration:
    """Return the configuration with a log loss that falls as its scores rise."""
    repeats = (
        replace(r, metrics={"validation": {"log_loss": 1 - (r.score or 0.0)}})
        for r in configuration.repeats
    )
    return replace(configuration, repeats=tuple(repeats))


class TestCommand:
    def test_the_run_store_alone_gives_the_same_file_again(
        self, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        out = tmp_path / "out.md"
        asked = ["--data", str(xrays), "--only", "report_a:loss", *TINY, "--out", str(out)]
        assert main(asked) == 0
        first = out.read_bytes()
        assert b"| A | [loss](#report-a-loss) |" in first
        out.unlink()
        for path in (tmp_path / "studies").glob("hpo.db*"):
            path.unlink()

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("something was trained")

        monkeypatch.setattr(StackedStack, "step", refuse)
        assert main(asked) == 0
        assert out.read_bytes() == first
        out.unlink()
        assert main(asked) == 0
        assert out.read_bytes() == first

    def test_a_search_stands_beside_the_reports_and_its_test_is_opened_once(
        self, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        small = SearchSettings(trials=3, finalists=2, final_repeats=2)
        monkeypatch.setattr(search, "SETTINGS", small)
        out = tmp_path / "out.md"
        part = ["--only", "report_a:loss", *TINY, "--set", "augment_pose=0.1", "--search"]
        asked = ["--data", str(xrays), *part, "--out", str(out)]
        assert main(asked) == 0
        first = out.read_text()
        told = first[first.index("## A search beside the reports") :]
        assert "| the winner, #" in told
        assert "| its ensemble of 2 | – | " in told
        assert "is the best of 2 finalists" in told
        assert main(asked) == 0
        assert out.read_text() == first
        storage = open_storage("sqlite:///studies/hpo.db", create=False)
        summaries, _, _ = summarize_all(storage)
        assert [len(s.openings) for s in summaries if s.record.kind == "search"] == [1]

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--epochs", "2", "--out", str(RESULTS)], "give --out another file"),
            (["--only", "report_f"], "There are: report_a:loss"),
            (["--only", "report_a:epochs", "--epochs", "2"], "drop one of the two"),
            (["--lanes", "0"], "--lanes takes auto or 1 to 256"),
            (["--set", "hidden"], "is not of the form NAME=VALUE"),
        ],
    )
    def test_a_wrong_request_gets_one_message(
        self, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--data", "nowhere", *arguments]) == 2
        assert told in capsys.readouterr().err

    def test_it_takes_x_rays(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 2
        assert "make results DATA=PATH" in capsys.readouterr().err
