"""Which differences between configurations are claimed."""

from itertools import combinations

import numpy as np
import pytest

from hpo.evaluate.configurations import Answered
from hpo.evaluate.crossed import draw_weights, stack
from hpo.evaluate.pairs import compare
from hpo.stats import PairComparison, mcnemar, share

N = 200
PATIENTS = np.arange(N)
WEIGHTS = draw_weights(PATIENTS, seed=0)


def answered(right: np.ndarray, repeats: tuple[int, ...] | None = None) -> Answered:
    """Return what is compared, of right answers `(repeats, images)`."""
    return Answered(
        repeats=repeats or tuple(range(len(right))),
        accuracy=stack([share(one)(WEIGHTS) for one in right]),
        is_right=right,
    )


def right(share_right: float, n_repeats: int, seed: int = 0) -> np.ndarray:
    """Return answers of which the same images are hard in every repeat."""
    rng = np.random.default_rng(seed)
    ease = np.random.default_rng(99).uniform(0, 1, N)
    return ease + 0.1 * rng.standard_normal((n_repeats, N)) > 1 - share_right


def pair(a: Answered, b: Answered) -> PairComparison:
    (found,) = compare({32: a, 64: b}, [(32, 64)], overlap=0.25, n_patients=N)
    return found


def test_a_large_difference_in_every_repeat_is_told_with_the_winner_first() -> None:
    found = pair(answered(right(0.7, 5)), answered(right(0.9, 5, seed=1)))
    assert found.is_real
    assert found.p_value is not None
    assert found.p_value < 0.05
    assert found.difference == pytest.approx(0.2, abs=0.05)
    assert found.sentence.startswith("64 beats 32 on the test by ")


def test_the_order_of_a_pair_turns_its_sign() -> None:
    a, b = answered(right(0.7, 5)), answered(right(0.9, 5, seed=1))
    one, other = pair(a, b), pair(b, a)
    assert (one.difference, one.low, one.high) == pytest.approx(
        (-(other.difference or 0), -(other.high or 0), -(other.low or 0))
    )
    assert one.p_value == pytest.approx(other.p_value)


def test_no_difference_is_not_told() -> None:
    found = pair(answered(right(0.8, 5)), answered(right(0.8, 5, seed=1)))
    assert not found.is_real
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert "no difference between 32 and 64 can be told on the test (-" in found.sentence


def test_two_repeats_never_prove_a_difference() -> None:
    assert not pair(answered(right(0.3, 2)), answered(right(0.95, 2, seed=1))).is_real


def test_three_repeats_are_judged_by_the_unsteadiest_pair_of_their_sweep() -> None:
    unsteady = np.concatenate([right(0.9, 1), right(0.2, 1, seed=1), right(0.9, 1, seed=2)])
    steady = {32: answered(right(0.7, 3)), 64: answered(right(0.9, 3, seed=1))}
    (alone,) = compare(steady, [(32, 64)], overlap=0.0, n_patients=N)
    sweep = steady | {128: answered(unsteady)}
    among = compare(sweep, list(combinations(sweep, 2)), overlap=0.0, n_patients=N)
    assert alone.is_real
    assert not any(one.is_real for one in among)


def test_one_training_each_compares_two_models_by_mcnemar() -> None:
    a, b = right(0.8, 1), right(0.85, 1, seed=1)
    found = pair(answered(a), answered(b))
    assert found.p_value is not None
    assert found.p_value >= mcnemar(a[0], b[0])
    assert "the model of 32" in found.sentence
    assert "one training each says nothing of other trainings" in found.sentence
    assert found.is_real == (not found.low <= 0 <= found.high)  # type: ignore[operator]


def test_mcnemar_and_interval_never_contradict() -> None:
    for n_only_b in range(12):
        a, b = np.zeros((1, N), bool), np.zeros((1, N), bool)
        b[0, :n_only_b] = True
        found = pair(answered(a), answered(b))
        if found.low is not None and found.high is not None:
            assert found.is_real == (not found.low <= 0 <= found.high)
            assert not found.is_real or n_only_b >= 6


def test_only_common_repeats_are_compared() -> None:
    a, b = right(0.7, 5), right(0.9, 5, seed=1)
    found = pair(answered(a), answered(b[1:4], repeats=(1, 2, 3)))
    assert found.n_pairs == 3
    assert found.difference == pytest.approx((b[1:4].mean(axis=1) - a[1:4].mean(axis=1)).mean())


def test_without_a_common_repeat_there_is_no_verdict() -> None:
    found = pair(answered(right(0.7, 2)), answered(right(0.9, 2), repeats=(5, 6)))
    assert (found.difference, found.p_value, found.is_real) == (None, None, False)
    assert "no repeat of both" in found.sentence


def test_the_same_answers_make_no_difference() -> None:
    found = pair(answered(right(0.8, 1)), answered(right(0.8, 1)))
    assert not found.is_real
    assert "the same answers" in found.sentence


def test_more_pairs_ask_for_more_of_each() -> None:
    answers = {v: answered(right(0.8 + 0.01 * v, 5, seed=v)) for v in range(6)}
    (alone,) = compare(answers, [(0, 5)], overlap=0.25, n_patients=N)
    among = compare(answers, list(combinations(answers, 2)), overlap=0.25, n_patients=N)
    same = next(found for found in among if (found.a, found.b) == (0, 5))
    assert same.p_value > alone.p_value  # type: ignore[operator]
    assert same.high - same.low > alone.high - alone.low  # type: ignore[operator]


def test_pairs_that_stand_for_many_are_corrected_for_all_of_them() -> None:
    answers = {v: answered(right(0.7 + 0.1 * v, 5, seed=v)) for v in range(3)}
    pairs = [(0, 1), (0, 2)]
    for one, other in pairs:
        (alone,) = compare(answers, [(one, other)], overlap=0.0, n_patients=N)
        found = compare(answers, pairs, overlap=0.0, n_patients=N, n_tests=5_000)
        same = next(pair for pair in found if pair.b == other)
        assert same.p_value == pytest.approx(min(1.0, 5_000 * (alone.p_value or 0.0)))
        assert same.is_real == (not same.low <= 0 <= same.high)  # type: ignore[operator]
        assert same.high - same.low > alone.high - alone.low  # type: ignore[operator]


def test_no_pairs_are_no_comparisons() -> None:
    assert compare({32: answered(right(0.8, 3))}, [], overlap=0.25, n_patients=N) == ()


def test_sweeps_without_a_difference_are_rarely_told_to_have_one() -> None:
    rng = np.random.default_rng(3)
    claims = []
    for _ in range(120):
        answers = {}
        for value in (32, 64, 128):
            shifts = 0.15 * rng.standard_normal((4, 1))
            ease = np.random.default_rng(99).uniform(0, 1, N)
            noise = 0.2 * rng.standard_normal((4, N))
            answers[value] = answered(ease + noise + shifts > 0.25)
        found = compare(answers, list(combinations(answers, 2)), overlap=0.0, n_patients=N)
        claims.append(any(one.is_real for one in found))
    assert np.mean(claims) <= 0.08
