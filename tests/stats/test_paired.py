"""The arithmetic of paired comparisons."""

import math
from itertools import combinations

import numpy as np
import pytest

from hpo.stats.images import image_variance, mcnemar
from hpo.stats.paired import PairedTests, paired_tests, step_down

ONE_PAIR = np.array([[0, 1]])


def judge(*values: list[float], **options: object) -> PairedTests:
    pairs = np.array(list(combinations(range(len(values)), 2)))
    return paired_tests(np.array(values), pairs, level=0.95, **options)


def test_the_holm_correction_matches_a_published_example() -> None:
    # The example of Wikipedia's "Holm-Bonferroni method"; R: p.adjust(p, "holm").
    corrected, divisors = step_down(np.array([0.01, 0.04, 0.03, 0.005]), alpha=0.05)
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert list(divisors) == [3, 2, 2, 4]


@pytest.mark.parametrize(
    ("n_values", "expected"),
    [(3, [3, 1, 1]), (4, [6, 3, 3, 3, 2, 1]), (5, [10, 6, 6, 6, 6, 4, 4, 3, 2, 1])],
)
def test_the_step_down_divisors_match_those_of_shaffer(n_values: int, expected: list[int]) -> None:
    # Shaffer 1986, Modified sequentially rejective multiple test procedures, table 1.
    _, divisors = step_down(np.zeros(len(expected)), alpha=0.05, n_values=n_values)
    assert sorted(divisors, reverse=True) == expected


def test_two_values_match_students_paired_test() -> None:
    # Student 1908, sleep data: R's t.test(..., paired = TRUE) prints t = 4.0621, df = 9,
    # p-value = 0.002833.
    found = judge([0.0] * 10, [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4], step=0.1)
    assert found.p_value[0] == pytest.approx(0.002833, abs=5e-7)
    assert (found.low[0], found.high[0]) == pytest.approx((0.7001142, 2.4598858), abs=1e-7)


def test_the_bound_of_two_values_matches_students_one_sided_test() -> None:
    # The same data, alternative = "less": R's interval ends at 1.58 + 1.833113 * 0.388961.
    sleep = ([0.0] * 10, [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert judge(*sleep, step=0.1, margin=2.0).bound[0] == pytest.approx(2.293005, abs=1e-6)
    assert np.isnan(judge(*sleep, step=0.1).bound[0])


def test_the_shared_variance_matches_a_published_block_design() -> None:
    # Montgomery, Design and Analysis of Experiments, vascular grafts: four pressures in six
    # batches; the error has a mean square of 7.33 and 15 degrees of freedom.
    found = judge(
        [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
        [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
        [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
        [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
    )
    assert set(found.degrees) == {15}
    assert found.variance.min() / 2 == pytest.approx(7.33, abs=0.005)


def test_the_shared_variance_allows_a_missing_score() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 6))
    scores[0, 5] = np.nan
    is_there = np.isfinite(scores)
    values, repeats = np.nonzero(is_there)
    design = np.hstack([values[:, None] == np.arange(3), repeats[:, None] == np.arange(6)])
    residual = scores[is_there] - design @ np.linalg.pinv(design) @ scores[is_there]
    found = judge(*scores)
    # 17 scores; three values and six repeats take eight degrees of freedom.
    assert set(found.degrees) == {9}
    assert found.variance.min() == pytest.approx(2 * (residual**2).sum() / 9, rel=1e-6)


def test_two_repeats_are_never_significant() -> None:
    assert not judge([0.0, 0.0], [0.45, 0.4525], step=1 / 400).is_real[0]
    assert not judge([0.0, 0.0], [0.0, 0.001], [0.9, 0.9], step=1 / 400).is_real.any()


def test_equal_differences_get_a_least_variance() -> None:
    # Without a least variance, the variance and p would be 0.
    one_image = judge([0.0] * 3, [1 / 400] * 3, step=1 / 400)
    assert one_image.p_value[0] == pytest.approx(0.1340, abs=5e-5)
    assert not judge([0.0] * 3, [1 / math.e] * 3).is_real[0]


def test_scores_over_folds_alone_get_the_largest_possible_image_variance() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 20))
    alone = paired_tests(scores, ONE_PAIR, level=0.95)
    folds = paired_tests(scores, ONE_PAIR, level=0.95, share=0.2)
    assert alone.floor[0] == 0
    assert folds.floor[0] == pytest.approx((0.2 - 1 / 20 + 0.05) * folds.variance[0])


def answers(persistent: float, *, n_rounds: int, n_folds: int, seed: int) -> np.ndarray:
    """Return answers `(2, repeats, 1000)` of two values that differ on the same images."""
    rng = np.random.default_rng(seed)
    chance = np.full((2, 1000), 0.7)
    chance[1] += persistent * rng.choice([-1, 1], 1000)
    right = np.full((2, n_rounds * n_folds, 1000), np.nan)
    for a_round in range(n_rounds):
        for i, images in enumerate(np.split(rng.permutation(1000), n_folds)):
            drawn = rng.random((2, len(images))) < chance[:, images]
            right[:, a_round * n_folds + i, images] = drawn
    return right


@pytest.mark.parametrize("n_folds", [1, 5])
def test_the_persistent_difference_between_images_is_measured(n_folds: int) -> None:
    found = [
        image_variance(
            answers(0.2, n_rounds=4, n_folds=n_folds, seed=seed), ONE_PAIR, np.arange(1000)
        )[0][0]
        for seed in range(40)
    ]
    seen_already = 1 / 4 if n_folds > 1 else 0
    assert np.mean(found) == pytest.approx(0.2**2 / 1000 * (1 - seen_already), rel=0.05)


def test_images_of_one_patient_count_together() -> None:
    right = np.repeat(answers(0.2, n_rounds=8, n_folds=1, seed=0), 2, axis=-1)
    by_image = image_variance(right, ONE_PAIR, np.arange(2000))[0][0]
    by_patient = image_variance(right, ONE_PAIR, np.arange(2000) // 2)[0][0]
    assert by_patient == pytest.approx(2 * by_image, rel=0.01)


def test_mcnemar_matches_a_published_example() -> None:
    # Fay, "Exact McNemar's Test and Matching Confidence Intervals", vignette of R's exact2x2:
    # 21 and 12 agree, 2 and 9 do not; p-value = 0.06543, by hand 2 (1 + 11 + 55) / 2^11
    a = [True] * 21 + [False] * 12 + [True] * 2 + [False] * 9
    b = [True] * 21 + [False] * 12 + [False] * 2 + [True] * 9
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(134 / 2048)
    assert mcnemar(a, a) == 1
