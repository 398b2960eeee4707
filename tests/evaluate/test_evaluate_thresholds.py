"""Thresholds: accepted texts, chosen values, and sentences about the gap."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from hpo.errors import UsageError
from hpo.evaluate.thresholds import (
    ThresholdRule,
    choose,
    gap_sentence,
    read_rule,
)
from hpo.stats import Interval
from tests.conftest import assert_snapshot


def make_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 20 probabilities with ties, and labels independent of them."""
    probabilities = np.round(np.random.default_rng(seed).random(20), 2)
    return probabilities, (np.arange(20) % 2).astype(np.uint8)


cases = st.integers(0, 10**6).map(make_case)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "between 0 and 1"),
        ("youden=3", "youden or sensitivity=X"),
        ("sensitivity=1.2", "at most 1, but got '1.2'"),
    ],
)
def test_invalid_thresholds_are_refused_with_what_is_allowed(text: str, words: str) -> None:
    for allowed in ("0.25", "youden", "sensitivity=1", "0.9999999"):
        assert read_rule(allowed).text == allowed
    with pytest.raises(UsageError, match="--threshold") as error:
        read_rule(text)
    assert words in str(error.value)


@given(cases)
@example(make_case(106))
def test_youden_is_the_maximum_of_the_roc_curve(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = case
    false_alarms, found, _ = roc_curve(labels, probabilities, drop_intermediate=False)
    rule = ThresholdRule("youden")
    called = probabilities > choose(rule, probabilities, labels)
    gain = called[labels == 1].mean() - called[labels == 0].mean()
    # Ties go to the value nearest to 0.5; a single probability gives 0.5.
    values = np.array([0.1, 0.2, 0.55, 0.9])
    assert choose(rule, values, np.array([0, 1, 0, 1])) == pytest.approx(0.725)
    assert choose(rule, np.full(4, 0.7), np.array([0, 0, 1, 1])) == 0.5
    # The two corners of the curve (all or none positive) gain nothing and are excluded.
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


def test_the_gap_is_reported_with_its_interval() -> None:
    one, wide = Interval(0.1, None, None, None, 1), Interval(0.1, -0.783, 1.0, 0.1, 2)
    gaps = (about(0.23), about(-0.05), about(0.01), wide, one, Interval(None, None, None, None, 5))
    assert_snapshot("gaps", (gap_sentence(about(0.73), gap) for gap in gaps))
