"""`make results`: claims of reports, the page, and that nothing is trained twice."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo import space
from hpo.evaluate.learning_curves import compare_curves
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
    Claim,
    Measure,
    Part,
    above,
    alike,
    better,
    check,
)
from studies.results.document import overview
from studies.results.figures import Result
from studies.results.reports import SWEEPS
from studies.results.takeaways import takeaways
from studies.results.work import conclude
from tests.fake_studies import FakeStudy, fake_record


def pair(low: float, high: float, *, is_real: bool) -> PairComparison:
    """Return the comparison of b minus a."""
    p = 0.01 if is_real else 0.5
    return PairComparison("a", "b", (low + high) / 2, low, high, p, is_real, 5, "what was found")


def outcome(parts: tuple[Part, ...], *found: PairComparison) -> str:
    return check(Claim("claimed", parts), {parts[0].measure.name: found}, {})[0]


@pytest.mark.parametrize(
    ("measure", "low", "high", "is_real", "of_b", "of_a"),
    [
        (TEST, 0.002, 0.030, True, SEEN, NOT_SEEN),
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
    [(0.001, 0.008, True, SEEN), (-0.02, 0.004, False, OPEN), (0.002, 0.03, True, NOT_SEEN)],
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
    assert check(Claim("overfits", above(GAP, 0.01, "a")), {}, values)[0] == expected


def test_all_parts_must_be_seen_and_one_that_is_not_decides() -> None:
    seen, unknown, wrong = (better(TEST, *names) for names in ("ba", "bc", "ab"))
    found = pair(0.002, 0.03, is_real=True)
    for parts, expected in (
        (seen, SEEN),
        (seen + unknown, OPEN),
        (seen + unknown + wrong, NOT_SEEN),
    ):
        assert outcome(parts, found) == expected


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


def swept(folder: Path, *tops: float, wobble: float = 0.001, n_failed: int = 0) -> Result:
    """Return a sweep of the batch size with five repeats around a top for each value."""
    fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(folder), Goal(5))
    cells = space.cells(fake.record.space, fake.record.names)
    for cell, top in zip(cells, tops, strict=True):
        for repeat in range(5):
            trial = fake.ask(cell.params, cell.config, repeat)
            if len(fake.study.trials) < n_failed:
                fake.fail(trial, "its loss | was not finite in epoch 2.")
                continue
            noise = wobble * ((repeat * cell.config.batch_size // 32) % 3)
            fake.complete(trial, [round(top - 0.1 / epoch + noise, 4) for epoch in range(1, 9)])
    (sweep,) = (sweep for sweep in SWEEPS if sweep.key == "report_c:batch_size")
    curves = compare_curves(fake.summary, fake.runs)
    verdicts = {"last": fake.summary.verdict}
    return conclude(sweep, fake.summary, verdicts, evaluation=None, curves=curves)


def test_the_page_begins_with_what_matters_what_does_not_and_what_is_undecided(
    tmp_path: Path,
) -> None:
    clear = swept(tmp_path / "clear", 0.80, 0.85, 0.95)
    equal = swept(tmp_path / "equal", 0.95, 0.95, 0.95)
    open_ = swept(tmp_path / "open", 0.95, 0.95, 0.95, wobble=0.05)
    lines = takeaways([clear, equal, open_])
    assert lines[0].startswith("**If you train such a network**: choose with care: batch_size")
    for result, title in ((clear, "Matters"), (equal, "Does not matter"), (open_, "Undecided")):
        place = lines.index(f"**{title}: 1 of 3 sweeps.**")
        assert result.verdict
        assert lines[place + 2] == (
            f"- batch_size (report C), 5 repeats: {result.verdict.headline}"
        )
    # The training accuracy of the fake study is always two points above.
    assert "64 and 128 overfit: **seen here**" in overview([clear])[-1]
    assert clear.verdict
    assert clear.verdict.headline in overview([clear])[-1]
    other = replace(clear, verdicts={"last": clear.verdict, "average": equal.verdicts["last"]})
    assert f"By the last weights: {clear.verdict.headline}" in "".join(takeaways([other]))
    assert "Verdict by averaged weights | Verdict by last weights" in overview([other])[0]


def test_the_page_says_what_failed_and_that_the_test_is_sealed(tmp_path: Path) -> None:
    rows = overview([swept(tmp_path, 0.9, 0.9, 0.9, n_failed=2)])
    assert r"[2 of 5 repeats failed: its loss \| was not finite in epoch 2]" in rows[-1]
    assert "| sealed: 2 trainings failed |" in rows[-1]
    assert len({row.replace(r"\|", "").count("|") for row in rows}) == 1


def test_the_figures_alone_give_the_same_page_and_nothing_is_trained_again(
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "2", "--out", str(RESULTS)], "give --out another file"),
        (["--only", "report_f"], "There are: report_a:loss"),
        (["--only", "report_a:epochs", "--epochs", "2"], "drop one of the two"),
        (["--lanes", "0"], "--lanes must be auto or from 1 to 256"),
        (["--set", "hidden"], "is not of the form NAME=VALUE"),
        (["--data", "", "--out", "nowhere.md"], "no figures in nowhere.json"),
    ],
)
def test_a_wrong_request_gets_one_message(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", "nowhere", *arguments]) == 2
    assert said in capsys.readouterr().err
