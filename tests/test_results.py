"""`make results`: the file, trainings side by side, and that nothing is trained twice."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hpo import space
from hpo.claims import claims
from hpo.runs import RunStore
from hpo.study_record import Goal
from hpo.summary import Configuration
from studies.results import side_by_side
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
from studies.results.side_by_side import Order, train
from tests.fake_studies import FakeStudy, fake_record

TINY = ("--epochs", "2", "--set", "hidden=8", "--set", "image_size=16", "--jobs", "1")


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
    curves = claims(fake.summary, fake.runs)
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


@dataclass(frozen=True)
class Files:
    """A run store of empty files."""

    folder: Path

    def read(self, name: str) -> str | None:
        return name if (self.folder / name).exists() else None


def order(name: str, folder: Path, runs: dict[str, int], *, code: int = 0) -> Order:
    """Return an order that leaves its files, and a line when it begins and when it ends."""
    program = (
        "import pathlib, sys, time; "
        f"log = open({str(folder / 'log')!r}, 'a'); "
        f"print('begin {name}', file=log, flush=True); time.sleep(0.1); "
        f"[pathlib.Path({str(folder)!r}, run).touch() for run in {sorted(runs)!r}]; "
        f"print('end {name}', file=log, flush=True); sys.exit({code})"
    )
    return Order(name=name, command=(sys.executable, "-S", "-c", program), runs=runs)


def carried_out(folder: Path, orders: list[Order], *, n_jobs: int) -> tuple[dict[str, int], str]:
    codes = train(orders, Files(folder), n_jobs=n_jobs, environment={})  # type: ignore[arg-type]
    log = folder / "log"
    return codes, log.read_text() if log.exists() else ""


class TestSideBySide:
    def test_the_longest_goes_first_and_codes_come_back(self, tmp_path: Path) -> None:
        orders = [order("short", tmp_path, {"a": 5}), order("long", tmp_path, {"b": 50}, code=1)]
        codes, log = carried_out(tmp_path, orders, n_jobs=1)
        assert codes == {"short": 0, "long": 1}
        assert log.split("\n")[:2] == ["begin long", "end long"]

    def test_two_that_lack_the_same_run_are_not_carried_out_at_once(self, tmp_path: Path) -> None:
        orders = [
            order("one", tmp_path, {"a": 5, "b": 5}),
            order("two", tmp_path, {"b": 5, "c": 4}),
        ]
        codes, log = carried_out(tmp_path, orders, n_jobs=2)
        assert log.split() == ["begin", "one", "end", "one", "begin", "two", "end", "two"]
        assert set(codes) == {"one", "two"}

    def test_what_the_store_has_is_not_carried_out(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        assert carried_out(tmp_path, [order("one", tmp_path, {"a": 5})], n_jobs=2) == ({}, "")


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

        monkeypatch.setattr(side_by_side.subprocess, "Popen", refuse)
        assert main(asked) == 0
        assert out.read_bytes() == first
        out.unlink()
        assert main(asked) == 0
        assert out.read_bytes() == first

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--epochs", "2", "--out", str(RESULTS)], "give --out another file"),
            (["--only", "report_f"], "There are: report_a:loss"),
            (["--only", "report_a:epochs", "--epochs", "2"], "drop one of the two"),
            (["--jobs", "0"], "--jobs takes a whole number"),
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
