"""The verdict of a sweep: numbers, answers and sentences."""

import json
import math
import random
from pathlib import Path
from statistics import fmean

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

STEADY = [0.9525, 0.9475, 0.9550, 0.9500, 0.9450]
BETTER = [0.9725, 0.9700, 0.9725, 0.9725, 0.9650]
MIXED = [0.9475, 0.9550, 0.9525, 0.9475, 0.9500]
NOISY = [0.99, 0.80, 0.93, 0.85, 0.90]
LOSS = ScoreKind(direction="minimize", is_share=False, margin=0.02)


@st.composite
def sweeps(draw: st.DrawFn) -> dict[int, list[float]]:
    n = draw(st.integers(2, 8))
    column = st.lists(st.integers(300, 400), min_size=n, max_size=n)
    return {v: [k / 400 for k in draw(column)] for v in (32, 64, 128)}


def sentence(scores: dict, **options: object) -> str:
    return compare_sweep(scores, **options).pairs[0].sentence


def shifted(by: float) -> list[float]:
    """Return scores that differ from STEADY by almost the same in each repeat."""
    return [score + by + 0.0005 * (-1) ** i for i, score in enumerate(STEADY)]


@pytest.mark.parametrize(
    ("scores", "answer", "text"),
    [
        (
            {32: STEADY, 128: shifted(0.03)},
            "better",
            "128 is better than 32 by 3.0 points (95 % interval 2.9 to 3.1).",
        ),
        (
            {32: STEADY, 64: shifted(0)},
            "same",
            "32 and 64: no difference that matters, at most 0.06 points (95 % confidence).",
        ),
        (
            {32: STEADY, 64: shifted(0.005)},
            "same",
            "64 is better than 32 by 0.5 points (95 % interval 0.4 to 0.6). That is too little to "
            "matter: at most 0.6 points (95 % confidence).",
        ),
        (
            {32: [0.9, None], 64: [0.8, 0.9]},
            "untested",
            "32 and 64: not compared, only 1 repeat of both. It takes 2",
        ),
        ({32: STEADY[:3], 64: NOISY[:3]}, "undecided", "32 and 64: undecided with 3 repeats (95"),
        (
            {32: STEADY, 64: NOISY},
            "undecided",
            "32 and 64: undecided (95 % interval -14.4 to +3.2 points). About 10 to 90 repeats",
        ),
        (
            {32: [0.5] * 5, 64: [0.5] * 5},
            "same",
            "32 and 64: the same score in each of 5 repeats.",
        ),
    ],
)
def test_a_pair_has_one_of_three_answers(scores: dict, answer: str, text: str) -> None:
    (pair,) = compare_sweep(scores).pairs
    assert pair.answer == answer
    assert pair.sentence.startswith(text)


def test_losses_have_their_own_direction_unit_and_margin() -> None:
    assert sentence({32: STEADY, 128: shifted(0.03)}, kind=LOSS) == (
        "32 is better than 128 by 0.030 (95 % interval 0.029 to 0.031)."
    )
    small = sentence({32: STEADY, 128: shifted(0.01)}, kind=LOSS)
    assert small.endswith("too little to matter: at most 0.011 (95 % confidence).")
    never = ScoreKind(margin=None)
    assert compare_sweep({32: STEADY, 64: shifted(0)}, kind=never).pairs[0].answer == "undecided"


def test_a_repeat_without_partner_is_left_out() -> None:
    (pair,) = compare_sweep({32: [0.1, *STEADY, 0.2], 128: [None, *BETTER, math.inf]}).pairs
    (whole,) = compare_sweep({32: STEADY, 128: BETTER}).pairs
    assert pair.n_pairs == 5
    assert (pair.low, pair.high) == pytest.approx((whole.low, whole.high))
    assert pair.sentence.endswith(" 2 repeats of one value alone left out.")


def test_equal_differences_of_counts_are_real_beyond_their_step() -> None:
    epochs = {32: [25.0] * 5, 64: [14.0] * 5, 128: [25.0, 24.0, 25.0, 25.0, 25.0]}
    kind = ScoreKind("minimize", is_share=False, margin=None)
    found = compare_sweep(epochs, kind=kind, step=1.0).pairs
    assert [pair.answer for pair in found] == ["better", "undecided", "better"]
    unknown = compare_sweep(epochs, kind=kind).pairs
    assert (unknown[0].p_value or 0) > 100 * (found[0].p_value or 0)


@given(sweeps(), st.sampled_from([0.0, 0.25]), st.sampled_from([0.8, 0.95, 0.99]))
def test_answer_interval_and_p_value_never_contradict(
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


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        (
            {32: STEADY, 64: shifted(0.02), 128: shifted(0.04)},
            "The best batch_size is 128: it is better than every other value.",
        ),
        (
            {32: STEADY, 64: shifted(0.02)},
            "batch_size 64 is better than 32 by 2.0 points (95 % interval 1.9 to 2.1).",
        ),
        (
            {32: STEADY, 64: shifted(0), 128: shifted(-0.3)},
            "For batch_size, 32 and 64 are best, with no difference between them that matters; "
            "128 is worse.",
        ),
        (
            {32: STEADY, 64: shifted(0), 128: [None] * 5},
            "batch_size does not matter here: all differences are below 1 point. 128 is not "
            "compared.",
        ),
        (
            {32: STEADY, 64: NOISY},
            "It is undecided whether batch_size matters. About 10 to 90 repeats would decide.",
        ),
        (
            {32: STEADY, 64: NOISY, 128: [score - 0.6 for score in NOISY]},
            "128 is worse. 1 of 3 pairs is undecided.",
        ),
    ],
)
def test_a_sweep_has_one_sentence(scores: dict, text: str) -> None:
    assert (headline(compare_sweep(scores), "batch_size") or "").startswith(text)
    assert headline(compare_sweep({32: STEADY}), "batch_size") is None


def test_the_best_of_many_are_compared_and_corrected_for_every_pair() -> None:
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


def test_of_many_pairs_the_better_ones_are_listed_and_the_others_counted() -> None:
    chance = random.Random(0)
    means = [0.5] * 5 + [0.6]
    scores = {i: [m + chance.gauss(0, 0.001) for _ in range(5)] for i, m in enumerate(means)}
    found = outcome(compare_sweep(scores), most_real=2)
    assert [getattr(said, "answer", said) for said in found] == [
        "better",
        "better",
        "Different pairs that are not listed: 3.",
        "Pairs without a difference that matters: 10.",
    ]


@pytest.mark.parametrize(
    "name",
    ["five folds of 80 images", "one value 6 times as noisy"],
)
def test_a_difference_that_is_not_there_is_rarely_claimed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "N_SWEEPS", 300)
    monkeypatch.setattr(power, "MAX_REPEATS", 10)
    monkeypatch.setattr(power, "REPEATS", (3, 5, 10))
    (scenario,) = (s for s in power.WITHOUT_DIFFERENCE if s.name == name)
    found = power.row_without(scenario)["now"]
    # A rate of 5 % in 300 sweeps, and three standard errors for what another seed would bring.
    assert max(found.values()) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_the_committed_error_rates_are_at_most_five_percent() -> None:
    path = Path(power.RESULTS) / "power.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    names = [row["scenario"] for row in document["without_difference"]]
    assert names == [scenario.name for scenario in power.WITHOUT_DIFFERENCE]
    too_many = {
        row["scenario"]: row["now"]
        for row in document["without_difference"]
        if max(row["now"].values()) > 0.05
    }
    assert too_many == {}
    at_margin = [row for row in document["with_difference"] if row["points"] == 1]
    assert len(at_margin) == len(power.WITH_DIFFERENCE)
    assert max(max(row["false_same"].values()) for row in at_margin) <= 0.05
