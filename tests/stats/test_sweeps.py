"""The verdict of a sweep."""

import math
import random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from hpo.errors import UsageError
from hpo.stats import (
    PairComparison,
    ScoreKind,
    compare_best,
    compare_pairs,
    compare_sweep,
    mean_interval,
    outcome,
)

STEADY = [0.9525, 0.9475, 0.9550, 0.9500, 0.9450]
BETTER = [0.9725, 0.9700, 0.9725, 0.9725, 0.9650]
MIXED = [0.9475, 0.9550, 0.9525, 0.9475, 0.9500]


@st.composite
def sweeps(draw: st.DrawFn) -> dict[int, list[float]]:
    n = draw(st.integers(2, 8))
    column = st.lists(st.integers(300, 400), min_size=n, max_size=n)
    return {v: [k / 400 for k in draw(column)] for v in (32, 64, 128)}


def test_one_pair_is_scipys_paired_t_test() -> None:
    (pair,) = compare_sweep({32: STEADY, 128: BETTER}).pairs
    expected = ttest_rel(BETTER, STEADY)
    interval = expected.confidence_interval(0.95)
    assert pair.p_value == pytest.approx(expected.pvalue)
    assert (pair.low, pair.high) == pytest.approx((interval.low, interval.high))
    assert pair.n_pairs == 5


def test_three_pairs_are_scipys_with_holms_correction() -> None:
    scores = {32: STEADY, 64: MIXED, 128: BETTER}
    found = {(p.a, p.b): p.p_value for p in compare_sweep(scores).pairs}
    raw = {pair: ttest_rel(scores[pair[0]], scores[pair[1]]).pvalue for pair in found}
    one, two, three = sorted(raw, key=raw.__getitem__)
    assert found[one] == pytest.approx(3 * raw[one])
    assert found[two] == pytest.approx(max(3 * raw[one], 2 * raw[two]))
    assert found[three] == pytest.approx(max(2 * raw[two], raw[three]))


def test_overlapping_folds_are_judged_as_scikit_learn_does() -> None:
    # scikit-learn, "Statistical comparison of models using grid search": 10 times 10 folds, rbf
    # against linear; it prints "Corrected t-value: 0.750, Corrected p-value: 0.227", one-sided
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    images, labels = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    scores = {
        kernel: cross_val_score(SVC(kernel=kernel), images, labels, scoring="roc_auc", cv=folds)
        for kernel in ("linear", "rbf")
    }
    (pair,) = compare_sweep(scores, overlap=10 / 90).pairs
    assert pair.p_value is not None
    assert round(pair.p_value / 2, 3) == 0.227


def test_the_difference_is_b_minus_a() -> None:
    (pair,) = compare_sweep({32: STEADY, 128: BETTER}).pairs
    assert (pair.a, pair.b) == (32, 128)
    assert pair.difference == pytest.approx(np.mean(BETTER) - np.mean(STEADY))


def test_every_value_has_its_mean_and_interval() -> None:
    comparison = compare_sweep({32: STEADY, 64: [0.9, None, 0.8]}, overlap=0.25, level=0.9)
    assert comparison.values == {
        32: mean_interval(STEADY, overlap=0.25, level=0.9),
        64: mean_interval([0.9, 0.8], overlap=0.25, level=0.9),
    }


def test_pairs_come_in_the_order_of_the_values() -> None:
    pairs = compare_sweep({64: STEADY, 32: MIXED, 128: BETTER}).pairs
    assert [(p.a, p.b) for p in pairs] == [(64, 32), (64, 128), (32, 128)]


def test_only_the_named_pairs_are_compared_and_corrected_for() -> None:
    scores = {"a": [0.5, 0.6, 0.55], "b": [0.7, 0.71, 0.8], "c": [0.6, 0.61, 0.5]}
    (pair,) = compare_pairs(scores, [("c", "b")], overlap=0.25).pairs
    (alone,) = compare_sweep({name: scores[name] for name in "cb"}, overlap=0.25).pairs
    assert pair == alone


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_a_repeat_without_partner_is_left_out(missing: float | None) -> None:
    (pair,) = compare_sweep({32: [0.1, *STEADY], 128: [missing, *BETTER]}).pairs
    (whole,) = compare_sweep({32: STEADY, 128: BETTER}).pairs
    assert pair.n_pairs == 5
    assert (pair.low, pair.high) == (whole.low, whole.high)
    assert pair.sentence.endswith("; 1 repeat without a partner left out")


def test_repeats_that_only_one_value_has_are_left_out() -> None:
    (pair,) = compare_sweep({32: STEADY, 128: [*BETTER, 0.1, 0.2]}).pairs
    assert pair.n_pairs == 5
    assert pair.sentence.endswith("; 2 repeats without a partner left out")


@pytest.mark.parametrize(
    ("a", "b"),
    [([0.9], [0.95]), ([], []), ([None, 0.9], [0.95, None]), ([0.9, None], [0.95, 0.9])],
)
def test_fewer_than_two_pairs_make_no_verdict(
    a: list[float | None], b: list[float | None]
) -> None:
    (pair,) = compare_sweep({32: a, 64: b}).pairs
    assert (pair.low, pair.high, pair.p_value, pair.is_real) == (None, None, None, False)
    assert pair.sentence.startswith("no verdict on 32 and 64: ")


def test_a_pair_without_verdict_costs_the_others_nothing() -> None:
    alone = compare_sweep({32: STEADY, 128: BETTER}).pairs[0]
    beside = compare_sweep({32: STEADY, 128: BETTER, 256: [0.9]}).pairs[0]
    assert beside == alone


def test_constant_scores_make_no_difference() -> None:
    (pair,) = compare_sweep({32: [0.5] * 5, 64: [0.5] * 5}).pairs
    assert not pair.is_real
    assert (pair.difference, pair.p_value) == (0, 1)
    assert pair.sentence == (
        "no difference between 32 and 64: the same score in each of 5 repeats"
    )


def test_one_value_has_no_pairs() -> None:
    assert compare_sweep({32: STEADY}).pairs == ()
    assert compare_sweep({}).pairs == ()


@pytest.mark.parametrize("wrong", [{"level": 1.5}, {"overlap": -1.0}])
def test_what_makes_no_verdict_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        compare_sweep({32: STEADY, 64: MIXED}, **wrong)


@given(sweeps(), st.sampled_from([0.0, 0.25]), st.sampled_from([0.8, 0.95, 0.99]))
def test_sentence_interval_and_p_value_never_contradict(
    scores: dict[int, list[float]], overlap: float, level: float
) -> None:
    for pair in compare_sweep(scores, overlap=overlap, level=level).pairs:
        assert pair.low is not None
        assert pair.high is not None
        assert pair.p_value is not None
        assert pair.is_real == (pair.low > 0 or pair.high < 0)
        assert pair.is_real == (pair.p_value <= 1 - level)
        assert pair.is_real == (" beats " in pair.sentence)
        if pair.is_real:
            assert pair.sentence.startswith(f"{_winner(pair)} beats")


@given(sweeps(), st.randoms(use_true_random=False))
def test_the_order_of_repeats_does_not_matter(
    scores: dict[int, list[float]], rng: random.Random
) -> None:
    order = list(range(len(scores[32])))
    rng.shuffle(order)
    shuffled = {value: [column[i] for i in order] for value, column in scores.items()}
    for one, two in zip(compare_sweep(scores).pairs, compare_sweep(shuffled).pairs, strict=True):
        assert _numbers(one) == pytest.approx(_numbers(two), abs=1e-9)


@given(sweeps())
def test_swapping_two_values_turns_the_sign(scores: dict[int, list[float]]) -> None:
    swapped = compare_sweep({64: scores[64], 32: scores[32]}).pairs[0]
    pair = compare_sweep({32: scores[32], 64: scores[64]}).pairs[0]
    assert (swapped.low, swapped.high) == pytest.approx((-(pair.high or 0), -(pair.low or 0)))
    assert swapped.p_value == pytest.approx(pair.p_value)
    assert swapped.is_real == pair.is_real


@given(sweeps(), st.floats(-1, 1))
def test_a_constant_added_to_all_scores_changes_no_pair(
    scores: dict[int, list[float]], constant: float
) -> None:
    shifted = {value: [score + constant for score in column] for value, column in scores.items()}
    for one, two in zip(compare_sweep(scores).pairs, compare_sweep(shifted).pairs, strict=True):
        assert _numbers(one) == pytest.approx(_numbers(two), abs=1e-6)


@given(sweeps(), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_a_higher_level_claims_no_more_and_is_never_narrower(
    scores: dict[int, list[float]], one: float, two: float
) -> None:
    low, high = sorted((one, two))
    bold, careful = compare_sweep(scores, level=low), compare_sweep(scores, level=high)
    for pair, wider in zip(bold.pairs, careful.pairs, strict=True):
        assert pair.is_real >= wider.is_real
        assert _width(pair) <= _width(wider) + 1e-12


@given(sweeps())
def test_overlap_claims_no_more(scores: dict[int, list[float]]) -> None:
    plain, overlapping = compare_sweep(scores), compare_sweep(scores, overlap=0.25)
    for pair, wider in zip(plain.pairs, overlapping.pairs, strict=True):
        assert pair.is_real >= wider.is_real


@given(sweeps())
def test_a_score_to_minimize_has_the_other_winner(scores: dict[int, list[float]]) -> None:
    losses = {value: [-score for score in column] for value, column in scores.items()}
    kind = ScoreKind(direction="minimize")
    for gain, loss in zip(
        compare_sweep(scores).pairs, compare_sweep(losses, kind=kind).pairs, strict=True
    ):
        assert gain.is_real == loss.is_real
        if gain.is_real:
            assert gain.sentence == loss.sentence


def _winner(pair: PairComparison) -> object:
    return pair.b if (pair.difference or 0) > 0 else pair.a


def _numbers(pair: PairComparison) -> list[float]:
    return [value or 0.0 for value in (pair.difference, pair.low, pair.high, pair.p_value)]


def _width(pair: PairComparison) -> float:
    return (pair.high or 0.0) - (pair.low or 0.0)


def test_the_best_of_many_are_compared_and_corrected_for_every_pair() -> None:
    chance = random.Random(0)
    scores = {i: [0.5 + 0.001 * i + chance.gauss(0, 0.002) for _ in range(5)] for i in range(40)}
    every = compare_sweep(scores)
    best = compare_best(scores, most=4)
    assert set(best.values) == set(sorted(scores, key=lambda i: -fmean(scores[i]))[:4])
    assert len(best.pairs) == 6
    assert best.n_left_out == 40 * 39 // 2 - 6
    by_names = {(pair.a, pair.b): pair for pair in every.pairs}
    for pair in best.pairs:
        whole = by_names[pair.a, pair.b]
        assert pair.difference == whole.difference
        # Bonferroni's correction is never below Holm's.
        assert pair.p_value >= whole.p_value - 1e-12
        assert pair.is_real == (pair.p_value < 0.05)
        assert pair.is_real == (pair.low > 0 or pair.high < 0)


def test_which_are_best_follows_the_direction_and_needs_a_score() -> None:
    scores = {i: [float(i), i + 0.5] for i in range(5)} | {"none": [None, None]}
    lower = ScoreKind("minimize", is_share=False)
    found = compare_best(scores, most=2, kind=lower)
    assert set(found.values) == {0, 1}
    assert found.n_left_out == 9
    assert set(compare_best(scores, most=2).values) == {3, 4}


def test_the_luckiest_of_many_equal_values_seldom_beats_another() -> None:
    n_wrong = 0
    for seed in range(100):
        chance = random.Random(seed)
        scores = {i: [chance.gauss(0.9, 0.01) for _ in range(5)] for i in range(60)}
        n_wrong += any(pair.is_real for pair in compare_best(scores, most=10).pairs)
    assert n_wrong <= 8


def test_of_the_best_alone_it_is_said_that_they_are() -> None:
    scores = {i: [0.5 + 0.1 * i, 0.5 + 0.1 * i + 0.01] for i in range(5)}
    *_, last = outcome(compare_best(scores, most=2))
    assert last == "only the 2 with the best means are compared here, corrected for all 10 pairs"
