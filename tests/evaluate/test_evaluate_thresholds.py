"""Thresholds: what may be typed, and where the chosen ones lie."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from hpo.errors import UsageError
from hpo.evaluate.thresholds import ThresholdRule, choose, read_rule, shared, youden

LABELS = np.array([0, 0, 0, 1, 1, 1], np.uint8)
CLEAR = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])


def make_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 20 probabilities, some of them equal, and labels that they do not know."""
    probabilities = np.round(np.random.default_rng(seed).random(20), 2)
    return probabilities, (np.arange(20) % 2).astype(np.uint8)


cases = st.integers(0, 10**6).map(make_case)


@pytest.mark.parametrize("text", ["0.5", "0.25", "youden", "sensitivity=0.95", "sensitivity=1"])
def test_a_rule_is_written_as_it_was_typed(text: str) -> None:
    assert read_rule(text).text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "between 0 and 1"),
        ("1", "between 0 and 1"),
        ("-0.2", "between 0 and 1"),
        ("nan", "between 0 and 1"),
        ("best", "youden or sensitivity=X"),
        ("youden=3", "youden or sensitivity=X"),
        ("", "youden or sensitivity=X"),
        ("sensitivity", "sensitivity=0.95"),
        ("sensitivity=1.2", "up to 1, but got '1.2'"),
        ("sensitivity=0", "above 0"),
        ("sensitivity=-0.5", "above 0"),
        ("sensitivity=high", "'high'"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_is(text: str, words: str) -> None:
    with pytest.raises(UsageError, match="--threshold") as error:
        read_rule(text)
    assert words in str(error.value)


def test_a_fixed_threshold_looks_at_nothing() -> None:
    assert choose(ThresholdRule("fixed", 0.3), CLEAR, LABELS) == 0.3


def test_youden_separates_what_can_be_separated() -> None:
    assert choose(ThresholdRule("youden"), CLEAR, LABELS) == pytest.approx(0.45)


@given(cases)
@example(make_case(106))
def test_youden_is_the_largest_of_scikit_learns_roc_curve(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    probabilities, labels = case
    # Every point: those on a straight piece beside a corner count too.
    false_alarms, found, _ = roc_curve(labels, probabilities, drop_intermediate=False)
    threshold = youden(probabilities, labels)
    called = probabilities > threshold
    gain = called[labels == 1].mean() - called[labels == 0].mean()
    # the two corners of the curve, all or nothing, gain nothing and are not offered
    inner = (found - false_alarms)[1:-1]
    assert gain == pytest.approx(inner.max())


def test_of_equally_good_thresholds_the_nearest_to_one_half_is_taken() -> None:
    probabilities = np.array([0.1, 0.2, 0.55, 0.9])
    labels = np.array([0, 1, 0, 1], np.uint8)
    assert youden(probabilities, labels) == pytest.approx((0.55 + 0.9) / 2)


def test_without_two_probabilities_there_is_nothing_to_choose() -> None:
    assert youden(np.full(4, 0.7), LABELS[1:5]) == 0.5


@given(cases, st.floats(0.01, 1))
def test_a_sensitivity_is_reached_with_the_largest_threshold(
    case: tuple[np.ndarray, np.ndarray], wanted: float
) -> None:
    probabilities, labels = case
    threshold = choose(ThresholdRule("sensitivity", wanted), probabilities, labels)
    ill = probabilities[labels == 1]
    assert (ill > threshold).mean() >= wanted - 1e-9
    higher = probabilities[probabilities > threshold].min()
    assert (ill > higher).mean() < wanted


def test_models_that_are_averaged_share_the_fixed_threshold_or_the_mean_of_the_chosen() -> None:
    assert shared(read_rule("0.1"), [0.1, 0.1, 0.1]) == 0.1
    assert shared(read_rule("youden"), [0.2, 0.3, 0.7]) == pytest.approx(0.4)
    assert shared(read_rule("sensitivity=0.9"), [0.25, 0.75]) == 0.5
