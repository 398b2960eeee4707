"""Learning curves: what is read off them, and what is said of two configurations."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo import space
from hpo.evaluate.learning_curves import (
    LearningCurves,
    Measure,
    compare_curves,
    epochs_to,
    fluctuation,
    turning_epoch,
)
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from tests.fake_studies import FakeStudy, fake_grid, fake_record, fake_search

Curve = Callable[[int, int], list[float]]

accuracies = st.lists(st.integers(0, 400).map(lambda n: n / 400), min_size=6, max_size=30)


def study(folder: Path, *curves: Curve, n_repeats: int = 5) -> FakeStudy:
    """Return a grid over the batch size; `curves[i](repeat, n_epochs)` are its accuracies."""
    fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(folder), Goal(n_repeats))
    cells = space.cells(fake.record.space, fake.record.names)
    for cell_, curve in zip(cells, curves, strict=False):
        for repeat in range(n_repeats):
            trial = fake.ask(cell_.params, cell_.config, repeat)
            fake.complete(trial, curve(repeat, cell_.config.epochs))
    return fake


def rising(start: int, *, to: float = 0.95) -> Curve:
    """Return curves that reach the top at an epoch that differs a little between repeats."""
    return lambda repeat, n: [
        to - 0.001 * repeat if epoch >= start + repeat % 2 else 0.7 for epoch in range(1, n + 1)
    ]


def wobbling(size: float) -> Curve:
    return lambda repeat, n: [
        0.9 + 0.001 * epoch + size * (1 + 0.1 * repeat) * (-1) ** epoch for epoch in range(n)
    ]


def falling(turn: int) -> Curve:
    """Return accuracies whose losses, 1.15 less the accuracy, turn at an epoch."""
    return lambda repeat, n: [
        0.9 - (0.01 + 0.0001 * repeat) * abs(epoch - turn) for epoch in range(1, n + 1)
    ]


def said(fake: FakeStudy, **options: float) -> LearningCurves:
    found = compare_curves(fake.summary, fake.runs, **options)
    assert found is not None
    return found


def measure(found: LearningCurves, name: str) -> Measure:
    return next(c for c in found.comparisons if c.name == name)


def test_the_measures_of_a_curve() -> None:
    assert epochs_to([0.5, 0.93, 0.8, 0.95], 0.93) == 2
    assert epochs_to([0.5, 0.6], 0.93) == math.inf
    assert turning_epoch([0.5, 0.3, 0.4, 0.35]) == 2
    assert turning_epoch([0.5, 0.3, 0.2]) == turning_epoch([0.5, 0.2, 0.3, 0.2]) == math.inf
    assert fluctuation([0.1, 0.2, 0.3, 0.4]) is None
    assert fluctuation([0.1, 0.2, 0.3, 0.4, 0.6]) is not None


@given(accuracies, st.floats(-1, 1), st.floats(-0.1, 0.1))
def test_fluctuation_is_the_residual_deviation_of_the_last_half(
    values: list[float], offset: float, slope: float
) -> None:
    half = values[len(values) // 2 :]
    epochs = np.arange(len(half))
    residuals = half - np.polyval(np.polyfit(epochs, half, 1), epochs)
    expected = math.sqrt((residuals**2).sum() / (len(half) - 2))
    assert fluctuation(values) == pytest.approx(expected, abs=1e-9)
    tilted = [value + offset + slope * n for n, value in enumerate(values)]
    assert fluctuation(tilted) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("curves", "name", "difference", "words"),
    [
        ((rising(2), rising(8)), "epochs_to_target", 6.0,
         "32 reaches 93 % accuracy earlier than 64, by 6.0 epochs ("),
        ((wobbling(0.02), wobbling(0.005)), "fluctuation", None, "64 is steadier than 32, by "),
        ((falling(9), falling(3)), "loss_turn", -6.0,
         "The validation loss of 32 turns later than that of 64, by 6.0 epochs"),
        ((falling(9), falling(3)), "loss_rise", None,
         "The validation loss of 32 rises less than that of 64"),
    ],
)  # fmt: skip
def test_a_significant_difference_is_said_with_the_winner_first(
    tmp_path: Path, curves: tuple[Curve, Curve], name: str, difference: float | None, words: str
) -> None:
    found = said(study(tmp_path, *curves))
    (pair,) = measure(found, name).pairs
    assert pair.is_real
    assert pair.sentence.startswith(words)
    assert difference is None or pair.difference == pytest.approx(difference)
    *real, others = found.outcome
    assert pair.sentence in real
    n_pairs = sum(pair.low is not None for c in found.comparisons for pair in c.pairs)
    assert others == f"No significant difference in the other {n_pairs - len(real)} comparisons."


def test_the_target_is_a_point_below_the_lowest_mean_that_has_learned(tmp_path: Path) -> None:
    found = said(study(tmp_path / "one", rising(2, to=0.96), rising(8, to=0.943)))
    assert found.target == 0.93
    assert "lowest mean accuracy (94.1 %, 64)" in found.target_reason
    collapsed = study(tmp_path / "two", rising(2), rising(8), lambda *_: [0.5] * 12)
    assert said(collapsed).target == 0.93
    assert "at least half way" in said(collapsed).target_reason
    given_one = measure(said(collapsed, target=0.6), "epochs_to_target")
    assert given_one.intervals[64].mean == 1


def test_a_training_that_never_arrives_counts_as_the_last_epoch_and_is_said(
    tmp_path: Path,
) -> None:
    def late(repeat: int, n: int) -> list[float]:
        return rising(8 if repeat else 99)(repeat, n)

    fake = study(tmp_path, rising(2), late)
    converged = measure(said(fake), "epochs_to_target")
    assert (converged.n_never[64], converged.repeats[64][0]) == (1, 12)
    _, cell = converged.cells
    assert cell[0] == "9.2 or more"
    assert cell[-1] == "1 of 5 never"
    assert converged.pairs[0].sentence.endswith(" 64 does not reach it in 1 of 5 repeats.")
    none = measure(said(fake, target=0.99), "epochs_to_target")
    assert list(none.cells) == [["never"]] * 2
    (pair,) = none.pairs
    assert not pair.is_real
    assert pair.sentence == "32 vs 64: both never reach it in any repeat."


def test_configurations_that_differ_in_epochs_or_loss_are_compared_by_what_they_share(
    tmp_path: Path,
) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
    short, long, _ = fake.summary.configurations
    long = replace(long, config=long.config.replace(epochs=40, loss="mse"))
    found = compare_curves(replace(fake.summary, configurations=(short, long)), fake.runs)
    assert found is not None
    assert found.horizon == 12
    assert "different numbers of epochs" in " ".join(found.notes)
    assert "log loss" in " ".join(found.notes)


def test_missing_run_files_are_said_and_left_out(tmp_path: Path) -> None:
    fake = study(tmp_path, rising(2), rising(8))
    for path in sorted(tmp_path.glob("*.json"))[:4]:
        path.unlink()
    found = said(fake)
    assert "The run files of 4 trainings are missing" in " ".join(found.notes)
    for one in found.comparisons:
        assert sum(i.n for i in one.intervals.values()) == 6


def test_equal_configurations_do_not_differ_and_a_failed_repeat_leaves_its_partner_out(
    tmp_path: Path,
) -> None:
    fake = study(tmp_path, rising(2), rising(2))
    one, other = fake.summary.configurations
    failed = replace(other.repeats[1], state="failed", score=None)
    other = replace(other, repeats=(other.repeats[0], failed, *other.repeats[2:]))
    found = compare_curves(replace(fake.summary, configurations=(one, other)), fake.runs)
    assert found is not None
    pairs = [pair for c in found.comparisons for pair in c.pairs]
    assert {pair.n_pairs for pair in pairs} == {4}
    assert not any(pair.is_real for pair in pairs)
    assert any(pair.sentence.endswith("the same in every repeat.") for pair in pairs)
    gap = measure(found, "accuracy_gap").repeats[64]
    assert gap == pytest.approx([0.02, None, 0.02, 0.02, 0.02])


def test_one_repeat_has_no_verdict_and_of_a_search_the_best_are_shown_by_number(
    tmp_path: Path,
) -> None:
    fake = fake_search(tmp_path, 30)
    found = said(fake)
    assert len(found.configurations) == 6
    assert all(str(value).startswith("#") for value in found.configurations)
    assert fake.summary.best in found.configurations.values()
    notes = " ".join(found.notes)
    assert "configurations with the best mean are compared" in notes
    assert "One repeat allows no interval" in notes
    assert found.outcome == []
    empty = FakeStudy(fake_record("grid", ["batch_size"]), fake.runs, Goal(5))
    assert compare_curves(empty.summary, empty.runs) is None


def test_the_document_is_json_and_holds_every_pair(tmp_path: Path) -> None:
    document = json.loads(json.dumps(said(fake_grid(tmp_path, ["batch_size"])).to_document()))
    assert [c["name"] for c in document["claims"]] == [
        "epochs_to_target", "fluctuation", "accuracy_gap", "loss_gap", "loss_turn", "loss_rise",
    ]  # fmt: skip
    for one in document["claims"]:
        assert [c["params"]["batch_size"] for c in one["configurations"]] == [32, 64, 128]
        assert len(one["verdict"]["pairs"]) == 3
        assert ("n_never" in one["configurations"][0]) == (one["unit"] == "epochs")
