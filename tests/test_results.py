"""`make results`: claims of reports, the file, and that nothing is trained twice."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo import space
from hpo.evaluate.learning_curves import compare_curves
from hpo.run.plan import SearchSettings
from hpo.stats import Interval, PairComparison
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunStore
from hpo.study.gathering import summarize_all
from hpo.study.record import Goal
from hpo.training.stack import StackedStack
from studies.results import work
from studies.results.__main__ import RESULTS, main
from studies.results.claims import (
    CONVERGENCE,
    GAP,
    MEASURES,
    NOT_SEEN,
    OPEN,
    SEEN,
    TEST,
    VALIDATION,
    VALIDATION_LOSS,
    Claim,
    Measure,
    Part,
    above,
    alike,
    better,
    check,
)
from studies.results.document import document, overview
from studies.results.reports import SWEEPS, Sweep
from studies.results.work import Result, conclude
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


def pair(low: float, high: float, *, is_real: bool) -> PairComparison:
    """Return the comparison of b minus a."""
    p = 0.01 if is_real else 0.5
    return PairComparison("a", "b", (low + high) / 2, low, high, p, is_real, 5, "what was found")


def outcome(parts: tuple[Part, ...], found: PairComparison) -> str:
    return check(Claim("claimed", parts), {parts[0].measure.name: [found]}, {}).outcome


@pytest.mark.parametrize(
    ("measure", "low", "high", "is_real", "of_b", "of_a"),
    [
        (TEST, 0.002, 0.030, True, SEEN, NOT_SEEN),
        (TEST, -0.030, -0.002, True, NOT_SEEN, SEEN),
        (TEST, -0.020, 0.030, False, OPEN, OPEN),
        (TEST, -0.004, 0.006, False, NOT_SEEN, NOT_SEEN),
        (TEST, -0.030, 0.009, False, NOT_SEEN, OPEN),
        # Fewer epochs to converge are better.
        (CONVERGENCE, 3.0, 9.0, True, NOT_SEEN, SEEN),
    ],
)
def test_a_difference_is_seen_if_significant_and_not_if_none_that_matters_has_room(
    measure: Measure, low: float, high: float, is_real: bool, of_b: str, of_a: str
) -> None:
    found = pair(low, high, is_real=is_real)
    assert outcome(better(measure, "b", "a"), found) == of_b
    assert outcome(better(measure, "a", "b"), found) == of_a


@pytest.mark.parametrize(
    ("low", "high", "is_real", "expected"),
    [
        (-0.005, 0.004, False, SEEN),
        (0.001, 0.008, True, SEEN),
        (-0.020, 0.004, False, OPEN),
        (0.002, 0.030, True, NOT_SEEN),
    ],
)
def test_values_are_alike_within_the_margin(
    low: float, high: float, is_real: bool, expected: str
) -> None:
    assert outcome(alike(VALIDATION, "a", "b"), pair(low, high, is_real=is_real)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.02, 0.05, SEEN), (-0.02, 0.005, NOT_SEEN), (0.005, 0.05, OPEN), (None, None, OPEN)],
)
def test_an_amount_is_seen_above_and_not_seen_below(
    low: float | None, high: float | None, expected: str
) -> None:
    values = {GAP.name: {"a": Interval(0.02, low, high, None, 5)}}
    assert check(Claim("overfits", above(GAP, 0.01, "a")), {}, values).outcome == expected


def test_all_parts_must_be_seen_and_one_that_is_not_decides() -> None:
    pairs = {
        TEST.name: [pair(0.002, 0.03, is_real=True)],
        VALIDATION.name: [pair(-0.02, 0.03, is_real=False)],
    }
    seen, open_, wrong = (
        better(TEST, "b", "a"),
        better(VALIDATION, "b", "a"),
        better(TEST, "a", "b"),
    )
    for parts, expected in ((seen, SEEN), (seen + open_, OPEN), (seen + open_ + wrong, NOT_SEEN)):
        assert check(Claim("", parts), pairs, {}).outcome == expected
    unknown = check(Claim("", seen), {}, {})
    assert (unknown.outcome, unknown.grounds) == (
        OPEN,
        ("test accuracy: nothing is known of b and a",),
    )
    same = PairComparison("a", "b", 0.0, None, None, 1.0, False, 5, "the same answers")
    assert outcome(seen, same) == NOT_SEEN
    assert outcome(alike(TEST, "b", "a"), same) == SEEN


def test_sweeps_claims_and_figures_are_those_of_the_space_files() -> None:
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


def test_the_file_begins_with_what_to_take_from_it(tmp_path: Path) -> None:
    result = concluded(study(tmp_path / "one", 0.80, 0.85, 0.95))
    lines = document([result]).splitlines()
    assert lines[2] == "## What to take from it"
    assert lines[4] == "**What made a real difference on validation: 1 of 1 sweeps.**"
    assert len([pair for pair in result.pairs if pair.is_real]) == 3
    assert all(pair.sentence.rstrip(".") in lines[6] for pair in result.pairs)
    # The training accuracy of the fake study is always two points above.
    claims = "128 beats 32: **seen here**; 32 beats 128: **not seen here**; all overfit: **seen"
    assert claims in overview([result])[-1]
    equal = concluded(study(tmp_path / "two", 0.95, 0.95, 0.95, wobble=0.01))
    bounds = [max(abs(pair.low or 0), abs(pair.high or 0)) for pair in equal.pairs]
    expected = f"if there is a difference, it is at most {100 * max(bounds):.1f} points."
    assert f"- batch_size (report X): {expected}" in document([equal]).splitlines()


@pytest.mark.parametrize(
    ("n_failed", "words"),
    [
        (2, r"[2 of 5 repeats failed: its loss \| was not finite in epoch 2]"),
        (5, "32: – [5 of 5 repeats failed"),
    ],
)
def test_the_file_says_what_failed_and_that_the_test_is_sealed(
    tmp_path: Path, n_failed: int, words: str
) -> None:
    text = document([concluded(study(tmp_path, 0.9, 0.9, 0.9, failed=n_failed))])
    assert words in text
    assert f"| sealed: {n_failed} trainings failed |" in text
    tables = [b.splitlines() for b in text.replace(r"\|", "").split("\n\n") if b[:1] == "|"]
    assert len(tables) == 3
    for rows in tables:
        assert len({row.count("|") for row in rows}) == 1


def test_the_lower_loss_is_found_by_repeat(tmp_path: Path) -> None:
    summary = study(tmp_path, 0.80, 0.85, 0.95).summary
    lossy = []
    for configuration in summary.configurations:
        # A log loss that falls as the scores rise.
        repeats = (
            replace(r, metrics={"validation": {"log_loss": 1 - (r.score or 0.0)}})
            for r in configuration.repeats
        )
        lossy.append(replace(configuration, repeats=tuple(repeats)))
    claim = Claim("128 has the lower loss", better(VALIDATION_LOSS, 128, 32))
    sweep = Sweep(report="X", name="batch_size", found="", claims=(claim,))
    both = (replace(summary, configurations=tuple(lossy)), summary)
    found = [conclude(sweep, s, evaluation=None, curves=None).verdicts[0].outcome for s in both]
    assert found == [SEEN, OPEN]


def test_the_run_store_alone_gives_the_same_file_again(
    xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, "SEARCH", SearchSettings(trials=3, finalists=2, final_repeats=2))
    out = tmp_path / "out.md"
    part = ["--only", "report_a:loss", *TINY, "--set", "augment_pose=0.1", "--search"]
    asked = ["--data", str(xrays), *part, "--out", str(out)]
    assert main(asked) == 0
    first = out.read_text()
    assert "| A | [loss](#report-a-loss) |" in first
    told = first[first.index("## The default search") :]
    assert "| the winner, #" in told
    assert "| its ensemble of 2 | – | " in told

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(StackedStack, "step", refuse)
    assert main(asked) == 0
    assert out.read_text() == first
    summaries, _, _ = summarize_all(open_storage("sqlite:///studies/hpo.db", create=False))
    assert [len(s.openings) for s in summaries] == [1, 1]
    for path in (tmp_path / "studies").glob("hpo.db*"):
        path.unlink()
    assert main([*asked[:-3], "--out", str(out)]) == 0
    assert out.read_text().partition("## How")[2] == first.partition("## How")[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--epochs", "2", "--out", str(RESULTS)], "give --out another file"),
        (["--only", "report_f"], "There are: report_a:loss"),
        (["--only", "report_a:epochs", "--epochs", "2"], "drop one of the two"),
        (["--lanes", "0"], "--lanes must be auto or from 1 to 256"),
        (["--set", "hidden"], "is not of the form NAME=VALUE"),
        (["--data", ""], "make results DATA=PATH"),
    ],
)
def test_a_wrong_request_gets_one_message(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", "nowhere", *arguments]) == 2
    assert told in capsys.readouterr().err
