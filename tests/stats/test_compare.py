"""The verdict of a sweep: numbers, answers and sentences."""

import math
import random
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import power
from hpo.stats import (
    ScoreKind,
    compare_sweep,
    headline,
    outcome,
)
from tests.conftest import assert_snapshot

STEADY = [0.9525, 0.9475, 0.9550, 0.9500, 0.9450]
BETTER = [0.9725, 0.9700, 0.9725, 0.9725, 0.9650]
NOISY = [0.99, 0.80, 0.93, 0.85, 0.90]
LOSS = ScoreKind(direction="minimize", is_share=False, margin=0.02)


@st.composite
def sweeps(draw: st.DrawFn) -> dict[int, list[float]]:
    n = draw(st.integers(2, 8))
    column = st.lists(st.integers(300, 400), min_size=n, max_size=n)
    return {v: [k / 400 for k in draw(column)] for v in (32, 64, 128)}


def shifted(by: float) -> list[float]:
    """Return scores that differ from STEADY by almost the same in each repeat."""
    return [score + by + 0.0005 * (-1) ** i for i, score in enumerate(STEADY)]


SWEEPS: dict[str, dict[Any, list[float | None]]] = {
    "one is better": {32: STEADY, 128: shifted(0.03)},
    "the best of three": {32: STEADY, 64: shifted(0.02), 128: shifted(0.04)},
    "two are best": {32: STEADY, 64: shifted(0), 128: shifted(-0.3)},
    "alike": {32: STEADY, 64: shifted(0)},
    "too little to matter": {32: STEADY, 64: shifted(0.005)},
    "equal": {32: [0.5] * 5, 64: [0.5] * 5},
    "one repeat of both": {32: [0.9, None], 64: [0.8, 0.9]},
    "one is not there": {32: STEADY, 64: shifted(0), 128: [None] * 5},
    "few repeats": {32: STEADY[:3], 64: NOISY[:3]},
    "noisy": {32: STEADY, 64: NOISY},
    "one is worse": {32: STEADY, 64: NOISY, 128: [score - 0.6 for score in NOISY]},
    "many": {i: shifted(0.03 * (i == 5) + 0.0001 * i) for i in range(6)},
}


def test_sentences_of_the_verdict_of_a_sweep() -> None:
    lines = []
    for name, scores in SWEEPS.items():
        for kind in (ScoreKind(), LOSS, ScoreKind(margin=None)):
            found = compare_sweep(scores, kind=kind)
            lines += [f"{name}, {kind.direction}, {kind.margin}", f"  {headline(found, ['size'])}"]
            lines += [f"  {headline(found, ['size', 'rate'])}"]
            pairs = outcome(found, most_real=3)
            lines += [f"  {getattr(p, 'answer', '')} {getattr(p, 'sentence', p)}" for p in pairs]
    assert_snapshot("verdicts", lines)
    assert headline(compare_sweep({32: STEADY}), ["size"]) is None


def test_an_unpaired_repeat_is_left_out() -> None:
    (pair,) = compare_sweep({32: [0.1, *STEADY, 0.2], 128: [None, *BETTER, math.inf]}).pairs
    (whole,) = compare_sweep({32: STEADY, 128: BETTER}).pairs
    assert pair.n_pairs == 5
    assert (pair.low, pair.high) == pytest.approx((whole.low, whole.high))
    assert pair.sentence.endswith(" 2 repeats of only one value left out.")


def test_equal_differences_of_counts_are_significant_beyond_one_step() -> None:
    epochs = {32: [25.0] * 5, 64: [14.0] * 5, 128: [25.0, 24.0, 25.0, 25.0, 25.0]}
    kind = ScoreKind("minimize", is_share=False, margin=None)
    found = compare_sweep(epochs, kind=kind, step=1.0).pairs
    assert [pair.answer for pair in found] == ["better", "undecided", "better"]
    unknown = compare_sweep(epochs, kind=kind).pairs
    assert (unknown[0].p_value or 0) > 100 * (found[0].p_value or 0)


@given(sweeps(), st.sampled_from([0.0, 0.25]), st.sampled_from([0.8, 0.95, 0.99]))
def test_answer_interval_and_p_value_agree(
    scores: dict[int, list[float]], overlap: float, level: float
) -> None:
    for pair in compare_sweep(scores, overlap=overlap, level=level, n_images=400).pairs:
        assert pair.low is not None
        assert pair.high is not None
        assert pair.p_value is not None
        assert pair.is_real == (pair.low > 0 or pair.high < 0) == (pair.p_value <= 1 - level)
        assert pair.is_real == (" is better than " in pair.sentence)
        assert (pair.answer == "better") <= pair.is_real
        if pair.n_pairs > 2:
            assert pair.bound is not None
            assert pair.bound > abs(pair.difference or 0)
            assert (pair.answer == "same") == (pair.bound <= 0.01)
        if pair.is_real:
            winner = pair.b if (pair.difference or 0) > 0 else pair.a
            assert pair.sentence.startswith(f"{winner} is better")


def test_the_best_of_many_are_compared_but_corrected_for_every_pair() -> None:
    chance = random.Random(0)
    scores = {i: [0.5 + 0.001 * i + chance.gauss(0, 0.002) for _ in range(5)] for i in range(40)}
    best = compare_sweep(scores, most=4)
    assert set(best.values) == set(sorted(scores, key=lambda i: -fmean(scores[i]))[:4])
    assert (len(best.pairs), best.n_left_out, best.n_pairs) == (6, 774, 780)
    assert all(pair.is_real == ((pair.p_value or 0) < 0.05) for pair in best.pairs)
    best_by_loss = compare_sweep(scores | {"none": [None]}, most=2, kind=LOSS)
    assert set(best_by_loss.values) == set(sorted(scores, key=lambda i: fmean(scores[i]))[:2])
    *_, last = outcome(best)
    assert last == (
        "Only the 4 values with the best means are compared, corrected for all 780 pairs."
    )


def test_false_positives_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "N_SWEEPS", 300)
    monkeypatch.setattr(power, "MAX_REPEATS", 5)
    monkeypatch.setattr(power, "REPEATS", (3, 5))
    name = "one value 6 times as noisy"
    (scenario,) = (s for s in power.WITHOUT_DIFFERENCE if s.name == name)
    found = power.row_without(scenario)["now"]
    # A rate of 5 % in 300 sweeps, plus three standard errors for other seeds.
    assert max(found.values()) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
