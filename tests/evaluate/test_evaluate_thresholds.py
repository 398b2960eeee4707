"""Thresholds: what may be typed, where the chosen ones lie, and what is said of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from hpo.errors import UsageError
from hpo.evaluate.thresholds import (
    FALL,
    ThresholdRule,
    best_accuracy,
    choose,
    gap_sentence,
    read_rule,
    threshold_sentence,
    youden,
)
from hpo.stats import Interval


def make_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 20 probabilities, some of them equal, and labels that they do not know."""
    probabilities = np.round(np.random.default_rng(seed).random(20), 2)
    return probabilities, (np.arange(20) % 2).astype(np.uint8)


cases = st.integers(0, 10**6).map(make_case)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "between 0 and 1"),
        ("nan", "between 0 and 1"),
        ("youden=3", "youden or sensitivity=X"),
        ("sensitivity", "sensitivity=0.95"),
        ("sensitivity=1.2", "up to 1, but got '1.2'"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: str, words: str) -> None:
    for allowed in ("0.25", "youden", "sensitivity=1"):
        assert read_rule(allowed).text == allowed
    with pytest.raises(UsageError, match="--threshold") as error:
        read_rule(text)
    assert words in str(error.value)


@given(cases)
@example(make_case(106))
def test_youden_is_the_largest_of_scikit_learns_roc_curve(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    probabilities, labels = case
    false_alarms, found, _ = roc_curve(labels, probabilities, drop_intermediate=False)
    called = probabilities > youden(probabilities, labels)
    gain = called[labels == 1].mean() - called[labels == 0].mean()
    # Of equally good ones the nearest to one half; without two probabilities one half.
    assert youden(np.array([0.1, 0.2, 0.55, 0.9]), np.array([0, 1, 0, 1])) == pytest.approx(0.725)
    assert youden(np.full(4, 0.7), np.array([0, 0, 1, 1])) == 0.5
    # The two corners of the curve, all or nothing, gain nothing and are not offered.
    assert gain == pytest.approx((found - false_alarms)[1:-1].max())


@given(cases, st.floats(0.01, 1))
def test_a_sensitivity_is_reached_with_the_largest_threshold(
    case: tuple[np.ndarray, np.ndarray], wanted: float
) -> None:
    probabilities, labels = case
    threshold = choose(ThresholdRule("sensitivity", wanted), probabilities, labels)
    positive = probabilities[labels == 1]
    assert (positive > threshold).mean() >= wanted - 1e-9
    higher = probabilities[probabilities > threshold].min()
    assert (positive > higher).mean() < wanted


def about(mean: float, half: float = 0.02) -> Interval:
    return Interval(mean, mean - half, mean + half, 0.01, 5)


NOTHING = Interval(None, None, None, None, 5)
# Report A's base on the real files: good ranking, wrong threshold.
METRICS = {
    "accuracy": about(0.73),
    "auroc": about(0.91),
    "sensitivity": about(0.98),
    "specificity": about(0.48),
}
GAP = {"accuracy": about(0.23), "auroc": about(0.07)}


def test_a_ranking_that_holds_and_a_threshold_that_does_not_fit_are_said() -> None:
    said = threshold_sentence(METRICS, GAP, best_accuracy=0.84)
    assert said is not None
    for words in ("AUROC 0.910, on validation 0.980", "98.0 %", "48.0 %", "84.0 %; do not report"):
        assert words in said


@pytest.mark.parametrize(
    "change",
    [
        {"gap": {"accuracy": about(0.23), "auroc": about(0.2)}},
        {"gap": {"accuracy": about(FALL - 0.01), "auroc": about(0.0)}},
        {"gap": {"accuracy": about(0.23, half=0.3), "auroc": about(0.07)}},
        {"gap": {"accuracy": Interval(0.23, None, None, None, 1), "auroc": about(0.07)}},
        {"best_accuracy": 0.75},
        {"metrics": METRICS | {"specificity": about(0.95)}},
        {"metrics": METRICS | {"auroc": NOTHING}, "gap": GAP | {"auroc": NOTHING}},
    ],
    ids=["ranking lost", "small fall", "not significant", "no interval", "not to be mended",
         "not lopsided", "no ranking"],
)  # fmt: skip
def test_otherwise_the_threshold_is_not_blamed(change: dict[str, Any]) -> None:
    case = {"metrics": METRICS, "gap": GAP, "best_accuracy": 0.84} | change
    assert threshold_sentence(**case) is None


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (about(0.23), "96.0 % on validation, 73.0 % on the test, which is 23.0 points lower"),
        (about(-0.05), "68.0 % on validation, 73.0 % on the test, which is 5.0 points higher"),
        (about(0.01), "No significant gap (95 % interval -1.0 to +3.0 points)"),
        (Interval(0.1, None, None, None, 1), "no interval"),
        (NOTHING, "not defined"),
    ],
)
def test_the_gap_is_said_with_its_interval(gap: Interval, words: str) -> None:
    assert words in gap_sentence(METRICS["accuracy"], gap)


def test_the_best_accuracy_is_that_at_the_youden_point_of_the_images_themselves() -> None:
    labels = np.array([0, 0, 1, 1], np.uint8)
    too_high, lost = np.array([0.8, 0.9, 0.95, 0.99]), np.array([0.9, 0.1, 0.2, 0.8])
    assert best_accuracy(labels, [too_high]) == 1.0
    assert best_accuracy(labels, [too_high, lost]) == pytest.approx((1.0 + 0.75) / 2)
