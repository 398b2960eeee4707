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
    CurveComparison,
    LearningCurves,
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


def measure(found: LearningCurves, name: str) -> CurveComparison:
    return next(c for c in found.comparisons if c.measure.name == name)


class TestMeasures:
    def test_the_first_epoch_at_the_target_counts(self) -> None:
        assert epochs_to([0.5, 0.93, 0.8, 0.95], 0.93) == 2
        assert epochs_to([0.5, 0.6], 0.93) == math.inf

    def test_a_straight_line_does_not_fluctuate(self) -> None:
        assert fluctuation([0.1 * n for n in range(10)]) == pytest.approx(0, abs=1e-12)

    def test_fluctuation_is_the_residual_deviation_of_the_last_half(self) -> None:
        rng = np.random.default_rng(0)
        first, last = rng.random(20), rng.random(20)
        slope, offset = np.polyfit(np.arange(20), last, 1)
        residuals = last - slope * np.arange(20) - offset
        expected = math.sqrt((residuals**2).sum() / 18)
        assert fluctuation([*first, *last]) == pytest.approx(expected)

    def test_fluctuation_needs_three_epochs_in_the_last_half(self) -> None:
        assert fluctuation([0.1, 0.2, 0.3, 0.4]) is None
        assert fluctuation([0.1, 0.2, 0.3, 0.4, 0.6]) is not None

    @given(accuracies, st.floats(-1, 1), st.floats(-0.1, 0.1))
    def test_no_trend_counts_as_fluctuation(
        self, values: list[float], offset: float, slope: float
    ) -> None:
        tilted = [value + offset + slope * n for n, value in enumerate(values)]
        assert fluctuation(tilted) == pytest.approx(fluctuation(values), abs=1e-9)

    def test_a_loss_turns_where_it_is_lowest(self) -> None:
        assert turning_epoch([0.5, 0.3, 0.4, 0.35]) == 2

    def test_a_loss_that_still_falls_has_not_turned(self) -> None:
        assert turning_epoch([0.5, 0.3, 0.2]) == math.inf
        assert turning_epoch([0.5, 0.2, 0.3, 0.2]) == math.inf

    def test_nothing_is_known_without_losses(self) -> None:
        assert turning_epoch([]) is None


class TestConvergence:
    def test_the_faster_one_is_named_with_its_epochs(self, tmp_path: Path) -> None:
        found = said(study(tmp_path, rising(2), rising(8)))
        (pair,) = measure(found, "epochs_to_target").pairs
        assert pair.is_real
        assert pair.difference == pytest.approx(6)
        assert pair.sentence.startswith(
            "32 reaches 93 % accuracy earlier than 64, by 6.0 epochs ("
        )

    def test_the_target_is_a_point_below_the_lowest_mean(self, tmp_path: Path) -> None:
        found = said(study(tmp_path, rising(2, to=0.96), rising(8, to=0.943)))
        assert found.target == 0.93
        assert "lowest mean accuracy (94.1 %, 64)" in found.target_reason

    def test_a_collapsed_configuration_does_not_choose_the_target(self, tmp_path: Path) -> None:
        found = said(study(tmp_path, rising(2), rising(8), lambda *_: [0.5] * 12))
        assert found.target == 0.93
        assert "at least half way" in found.target_reason

    def test_a_given_target_counts(self, tmp_path: Path) -> None:
        found = said(study(tmp_path, rising(2), rising(8)), target=0.6)
        assert measure(found, "epochs_to_target").measured[1].interval.mean == 1

    def test_a_training_that_never_arrives_counts_as_the_last_epoch_and_is_said(
        self, tmp_path: Path
    ) -> None:
        def late(repeat: int, n: int) -> list[float]:
            return rising(8 if repeat else 99)(repeat, n)

        converged = measure(said(study(tmp_path, rising(2), late)), "epochs_to_target")
        slow = converged.measured[1]
        assert (slow.n_never, slow.repeats[0]) == (1, 12)
        assert converged.cells[1][0] == "9.2 or more"
        assert converged.cells[1][-1] == "1 of 5 never"
        assert converged.pairs[0].sentence.endswith(" 64 does not reach it in 1 of 5 repeats.")

    def test_where_none_arrives_there_is_no_verdict(self, tmp_path: Path) -> None:
        found = said(study(tmp_path, rising(2), rising(8)), target=0.99)
        converged = measure(found, "epochs_to_target")
        assert converged.cells == [("never",)] * 2
        (pair,) = converged.pairs
        assert not pair.is_real
        assert pair.sentence == "32 vs 64: both never reach it in any repeat."

    def test_epochs_count_as_far_as_every_configuration_trains(self, tmp_path: Path) -> None:
        fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
        summary = fake.summary
        short, long, _ = summary.configurations
        long = replace(long, config=replace(long.config, epochs=40))
        found = compare_curves(replace(summary, configurations=(short, long)), fake.runs)
        assert found is not None
        assert found.horizon == 12
        assert "different numbers of epochs" in " ".join(found.notes)


class TestSteadiness:
    def test_the_steadier_one_is_named_in_points(self, tmp_path: Path) -> None:
        steady = measure(said(study(tmp_path, wobbling(0.02), wobbling(0.005))), "fluctuation")
        (pair,) = steady.pairs
        assert pair.is_real
        assert "64 is steadier than 32, by " in pair.sentence
        assert " points (" in pair.sentence

    def test_too_few_epochs_are_a_dash(self, tmp_path: Path) -> None:
        steady = measure(said(study(tmp_path, lambda *_: [0.8, 0.9])), "fluctuation")
        assert steady.cells == [("-",)]


class TestOverfitting:
    def test_the_gap_is_measured_with_the_kept_weights(self, tmp_path: Path) -> None:
        gap = measure(said(study(tmp_path, rising(2))), "accuracy_gap")
        assert gap.measured[0].repeats == pytest.approx([0.02] * 5)

    def test_the_smaller_gap_wins_and_the_later_turn(self, tmp_path: Path) -> None:
        fake = study(tmp_path, falling(9), falling(3))
        found = said(fake)
        (turn,) = measure(found, "loss_turn").pairs
        assert turn.sentence.startswith(
            "The validation loss of 32 turns later than that of 64, by 6.0 epochs"
        )
        (risen,) = measure(found, "loss_rise").pairs
        assert risen.sentence.startswith("The validation loss of 32 rises less than that of 64")

    def test_different_losses_are_compared_by_the_log_loss(self, tmp_path: Path) -> None:
        fake = study(tmp_path, rising(2), rising(8))
        one, other = fake.summary.configurations
        other = replace(other, config=replace(other.config, loss="mse"))
        found = compare_curves(replace(fake.summary, configurations=(one, other)), fake.runs)
        assert found is not None
        assert "log loss" in " ".join(found.notes)


class TestWhatIsMissing:
    def test_one_repeat_has_no_verdict(self, tmp_path: Path) -> None:
        found = said(study(tmp_path, rising(2), rising(8), n_repeats=1))
        assert found.outcome == []
        assert "One repeat allows no interval" in " ".join(found.notes)

    def test_gone_run_files_are_said_and_leave_what_the_trials_hold(self, tmp_path: Path) -> None:
        fake = study(tmp_path, rising(2), rising(8))
        before = said(fake)
        for path in sorted(tmp_path.glob("*.json"))[:4]:
            path.unlink()
        after = said(fake)
        assert "The run files of 4 of 10 trainings are missing" in " ".join(after.notes)
        assert measure(after, "epochs_to_target") == measure(before, "epochs_to_target")
        assert measure(after, "fluctuation") == measure(before, "fluctuation")
        losses = [m.interval.n for m in measure(after, "loss_turn").measured]
        assert sum(losses) == 6

    def test_a_failed_repeat_leaves_its_partner_out(self, tmp_path: Path) -> None:
        fake = study(tmp_path, rising(2), rising(8))
        one, other = fake.summary.configurations
        failed = replace(other.repeats[1], state="failed", score=None)
        other = replace(other, repeats=(other.repeats[0], failed, *other.repeats[2:]))
        found = compare_curves(replace(fake.summary, configurations=(one, other)), fake.runs)
        assert found is not None
        assert {pair.n_pairs for c in found.comparisons for pair in c.pairs} == {4}
        assert [m.interval.n for m in found.comparisons[0].measured] == [5, 4]

    def test_nothing_finished_says_nothing(self, tmp_path: Path) -> None:
        fake = FakeStudy(fake_record("grid", ["batch_size"]), RunStore(tmp_path), Goal(5))
        assert compare_curves(fake.summary, fake.runs) is None

    def test_of_a_search_the_best_are_compared_by_number(self, tmp_path: Path) -> None:
        fake = fake_search(tmp_path, 30, n_repeats=2)
        found = said(fake)
        assert len(found.configurations) == 6
        assert all(str(value).startswith("#") for value in found.configurations)
        assert fake.summary.best in found.configurations.values()
        assert "configurations with the best mean are compared" in " ".join(found.notes)


def test_the_outcome_names_what_is_real_and_counts_the_rest(tmp_path: Path) -> None:
    found = said(study(tmp_path, rising(2), rising(8)))
    *real, others = found.outcome
    assert real[0].startswith("32 reaches 93 % accuracy earlier than 64")
    n_pairs = sum(pair.low is not None for c in found.comparisons for pair in c.pairs)
    assert others == f"No significant difference in the other {n_pairs - len(real)} comparisons."


def test_equal_configurations_differ_in_nothing(tmp_path: Path) -> None:
    found = said(study(tmp_path, rising(2), rising(2)))
    pairs = [pair for c in found.comparisons for pair in c.pairs]
    assert not any(pair.is_real for pair in pairs)
    assert any(pair.sentence.endswith("the same in every repeat.") for pair in pairs)


def test_the_document_is_json_and_holds_every_pair(tmp_path: Path) -> None:
    document = json.loads(json.dumps(said(fake_grid(tmp_path, ["batch_size"])).to_document()))
    assert [c["name"] for c in document["claims"]] == [
        "epochs_to_target", "fluctuation", "accuracy_gap", "loss_gap", "loss_turn", "loss_rise",
    ]  # fmt: skip
    for one in document["claims"]:
        assert [c["params"]["batch_size"] for c in one["configurations"]] == [32, 64, 128]
        assert len(one["verdict"]["pairs"]) == 3
        assert ("n_never" in one["configurations"][0]) == (one["unit"] == "epochs")
