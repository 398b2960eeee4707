"""The sentences on the gap between validation and test, and on the threshold."""

from dataclasses import replace

import numpy as np
import pytest

from hpo.evaluate.gaps import FALL, Fall, bound, gap_sentence, threshold_sentence
from hpo.stats import Interval


def told(mean: float, half: float = 0.02) -> Interval:
    return Interval(mean, mean - half, mean + half, 0.01, 5)


def fallen(**changes: object) -> Fall:
    """Return report A's base on the real files: good ranking, wrong threshold."""
    fall = Fall(
        metrics={
            "accuracy": told(0.73),
            "auroc": told(0.91),
            "sensitivity": told(0.98),
            "specificity": told(0.48),
        },
        gap={"accuracy": told(0.23), "auroc": told(0.07)},
        bound=0.84,
    )
    return replace(fall, **changes)  # type: ignore[arg-type]


def test_the_ranking_holds_and_the_threshold_is_off() -> None:
    sentence = threshold_sentence(fallen())
    assert sentence is not None
    assert "The ranking holds (AUROC 0.910 on the test, 0.980 on validation)" in sentence
    assert "sensitivity 98.0 %, specificity 48.0 %" in sentence
    assert "84.0 %: a bound, chosen on the test labels, and no result" in sentence


@pytest.mark.parametrize(
    "other",
    [
        fallen(gap={"accuracy": told(0.23), "auroc": told(0.2)}),
        fallen(gap={"accuracy": told(FALL - 0.01), "auroc": told(0.0)}),
        fallen(gap={"accuracy": told(0.23, half=0.3), "auroc": told(0.07)}),
        fallen(gap={"accuracy": told(-0.1), "auroc": told(-0.1)}),
        fallen(gap={"accuracy": Interval(0.23, None, None, None, 1), "auroc": told(0.07)}),
        fallen(bound=0.75),
        fallen(metrics=fallen().metrics | {"specificity": told(0.95)}),
        fallen(metrics=fallen().metrics | {"auroc": Interval(None, None, None, None, 5)},
               gap={"accuracy": told(0.23), "auroc": Interval(None, None, None, None, 5)}),
    ],
    ids=["ranking lost", "small fall", "fall not told", "no fall", "no interval",
         "not to be mended", "not lopsided", "no ranking"],
)  # fmt: skip
def test_otherwise_the_threshold_is_not_blamed(other: Fall) -> None:
    assert threshold_sentence(other) is None


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (told(0.23), "96.0 % on validation, 73.0 % on the test; the test is 23.0 points lower"),
        (told(-0.05), "68.0 % on validation, 73.0 % on the test; the test is 5.0 points higher"),
        (told(0.01), "no gap can be told (-1.0 to +3.0 points)"),
        (Interval(0.1, None, None, None, 1), "no interval"),
        (Interval(None, None, None, None, 0), "cannot be told"),
    ],
)
def test_the_gap_is_told_with_its_interval(gap: Interval, words: str) -> None:
    assert words in gap_sentence(fallen(gap={"accuracy": gap, "auroc": told(0.0)}))


def test_the_bound_is_the_accuracy_at_the_best_point_of_the_test_itself() -> None:
    labels = np.array([0, 0, 1, 1], np.uint8)
    too_high = np.array([0.8, 0.9, 0.95, 0.99])
    lost = np.array([0.9, 0.1, 0.2, 0.8])
    assert bound(labels, [too_high]) == 1.0
    assert bound(labels, [too_high, lost]) == pytest.approx((1.0 + 0.75) / 2)
