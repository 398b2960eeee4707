"""Learning curves: their measures, and sentences that compare configurations."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo import space
from hpo.evaluate.learning_curves import (
    compare_curves,
    epochs_to,
    fluctuation,
    turning_epoch,
)
from hpo.storage.runs import RunStore
from hpo.study.record import Goal
from tests.conftest import assert_snapshot, rounded
from tests.fake_studies import FakeStudy, fake_record

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


def test_measures_of_a_learning_curve() -> None:
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


def late(repeat: int, n: int) -> list[float]:
    """Return curves, of which the first repeat never reaches the top."""
    return rising(8 if repeat else 99)(repeat, n)


CURVES: dict[str, tuple[Curve, ...]] = {
    "one arrives earlier": (rising(2), rising(8)),
    "one is steadier": (wobbling(0.02), wobbling(0.005)),
    "one turns later": (falling(9), falling(3)),
    "one top is lower": (rising(2, to=0.96), rising(8, to=0.943)),
    "one has not learned": (rising(2), rising(8), lambda *_: [0.5] * 12),
    "one never arrives": (rising(2), late),
    "alike": (rising(2), rising(2)),
}


def test_sentences_that_compare_learning_curves(tmp_path: Path) -> None:
    lines = []
    for name, curves in CURVES.items():
        fake = study(tmp_path / name, *curves)
        for target in (None, 0.6, 0.99):
            found = compare_curves(fake.summary, fake.runs, target=target)
            assert found is not None
            lines += [
                f"{name}, {found.target} {found.target_reason}",
                *found.notes,
                *found.outcome,
            ]
            for one in found.comparisons:
                lines += [f"  {one.name}: {one.n_never} {list(one.cells)}"]
                lines += [f"  {pair.sentence}" for pair in one.pairs]
    assert_snapshot("curves", map(rounded, lines))
