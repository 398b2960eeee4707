"""Which differences between configurations are significant."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from hpo.evaluate.intervals import Answers, compare, draw_weights
from hpo.stats import PairComparison, mcnemar, share

N = 200
WEIGHTS = draw_weights(np.arange(N), seed=0)


def answered(right: np.ndarray, repeats: Sequence[int] = range(9)) -> Answers:
    """Return what is compared, from correctness `(repeats, images)`."""
    rows = zip(repeats, right, strict=False)
    return {repeat: ({"accuracy": share(one)(WEIGHTS)}, one) for repeat, one in rows}


def right(share_right: float, n_repeats: int, seed: int = 0) -> np.ndarray:
    """Return correctness where the same images are hard in every repeat."""
    rng = np.random.default_rng(seed)
    ease = np.random.default_rng(99).uniform(0, 1, N)
    return ease + 0.1 * rng.standard_normal((n_repeats, N)) > 1 - share_right


def pair(a: Answers, b: Answers) -> PairComparison:
    (found,) = compare({32: a, 64: b}, [(32, 64)], overlap=0.25, n_patients=N)
    return found


def width(found: PairComparison) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_a_large_difference_in_every_repeat_is_significant_in_either_order() -> None:
    a, b = answered(right(0.7, 5)), answered(right(0.9, 5, seed=1))
    found, turned = pair(a, b), pair(b, a)
    assert found.is_real
    assert found.p_value == pytest.approx(turned.p_value)
    assert found.p_value < 0.05
    assert found.difference == pytest.approx(0.2, abs=0.05)
    assert found.sentence.startswith("64 has a higher test accuracy than 32, by ")
    assert (found.difference, found.low, found.high) == pytest.approx(
        (-(turned.difference or 0), -(turned.high or 0), -(turned.low or 0))
    )


def test_equal_configurations_show_no_significant_difference() -> None:
    found = pair(answered(right(0.8, 5)), answered(right(0.8, 5, seed=1)))
    assert not found.is_real
    assert found.low < 0 < found.high  # type: ignore[operator]
    assert found.sentence.startswith("32 vs 64: no significant difference on the test")
    same = pair(answered(right(0.8, 1)), answered(right(0.8, 1)))
    assert (same.is_real, same.difference) == (False, 0.0)
    assert "equally many correct answers" in same.sentence


def test_three_repeats_use_the_variance_of_the_noisiest_pair_in_the_sweep() -> None:
    unsteady = np.concatenate([right(0.9, 1), right(0.2, 1, seed=1), right(0.9, 1, seed=2)])
    steady = {32: answered(right(0.7, 3)), 64: answered(right(0.9, 3, seed=1))}
    (alone,) = compare(steady, [(32, 64)], overlap=0.0, n_patients=N)
    sweep = steady | {128: answered(unsteady)}
    among = compare(sweep, list(combinations(sweep, 2)), overlap=0.0, n_patients=N)
    assert alone.is_real
    assert not any(one.is_real for one in among)


def test_mcnemar_compares_single_trainings_and_agrees_with_the_interval() -> None:
    for n_only_b in range(1, 12):
        a, b = np.zeros((1, N), bool), np.zeros((1, N), bool)
        b[0, :n_only_b] = True
        found = pair(answered(a), answered(b))
        assert "compares two models" in found.sentence
        assert found.p_value is not None
        assert found.p_value >= mcnemar(a[0], b[0])
        if found.low is not None and found.high is not None:
            assert found.is_real == (not found.low <= 0 <= found.high)
            assert not found.is_real or n_only_b >= 6


def test_only_common_repeats_are_compared() -> None:
    a, b = right(0.7, 5), right(0.9, 5, seed=1)
    found = pair(answered(a), answered(b[1:4], repeats=(1, 2, 3)))
    assert found.n_pairs == 3
    assert found.difference == pytest.approx((b[1:4].mean(axis=1) - a[1:4].mean(axis=1)).mean())
    none = pair(answered(a), answered(b, repeats=(7, 8)))
    assert (none.difference, none.p_value, none.is_real, none.n_pairs) == (None, None, False, 0)
    assert "they share no repeat" in none.sentence
    assert compare({32: answered(a)}, [], overlap=0.25, n_patients=N) == ()


def test_selected_pairs_are_corrected_for_all_pairs() -> None:
    answers = {v: answered(right(0.7 + 0.1 * v, 5, seed=v)) for v in range(3)}
    (alone,) = compare(answers, [(0, 2)], overlap=0.0, n_patients=N)
    found = compare(answers, [(0, 1), (0, 2)], overlap=0.0, n_patients=N, n_tests=5_000)
    assert found[1].p_value == pytest.approx(min(1.0, 5_000 * (alone.p_value or 0.0)))
    assert found[1].is_real == (not found[1].low <= 0 <= found[1].high)  # type: ignore[operator]
    assert width(found[1]) > width(alone)


def test_two_repeats_that_disagree_are_too_few_for_an_interval() -> None:
    split = np.stack([np.zeros(N, bool), np.ones(N, bool)])
    found = pair(answered(right(0.5, 2)), answered(split))
    sentence = "no significant difference on the test with 2 repeats, too few for a useful"
    assert found.sentence == f"32 vs 64: {sentence} interval."


def test_images_of_one_patient_are_never_significant() -> None:
    one = draw_weights(np.zeros(N, int), seed=0)
    a, b = (
        {i: ({"accuracy": share(row)(one)}, row) for i, row in enumerate(right(s, 3))}
        for s in (0.6, 0.9)
    )
    (found,) = compare({32: a, 64: b}, [(32, 64)], overlap=0.25, n_patients=1)
    assert (found.p_value, found.is_real, found.answer) == (None, False, "undecided")
    assert "two patients or more" in found.sentence
