"""Holm's procedure, the paired t test, and the step of scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.stats.paired import PairedTests, find_resolution, holm, paired_tests


def test_holm_corrects_the_published_example() -> None:
    # the example of Wikipedia's "Holm-Bonferroni method"; R: p.adjust(p, "holm")
    corrected, _ = holm(np.array([0.01, 0.04, 0.03, 0.005]), alpha=0.05)
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_divides_alpha_by_what_is_left_until_it_stops() -> None:
    _, divisors = holm(np.array([0.01, 0.04, 0.03, 0.005]), alpha=0.05)
    assert list(divisors) == [3, 2, 2, 4]


def test_holm_leaves_out_what_could_not_be_tested() -> None:
    corrected, _ = holm(np.array([0.02, math.nan, 0.01]), alpha=0.05)
    assert corrected[[0, 2]] == pytest.approx([0.02, 0.02])
    assert math.isnan(corrected[1])


def test_holm_works_on_many_sweeps_at_once() -> None:
    p_values = np.random.default_rng(0).random((50, 3)) ** 4
    corrected, _ = holm(p_values, alpha=0.05)
    alone = [holm(row, alpha=0.05)[0] for row in p_values]
    assert corrected == pytest.approx(np.array(alone))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_never_lowers_a_p_value(p_values: list[float]) -> None:
    corrected, _ = holm(np.array(p_values), alpha=0.05)
    assert (corrected >= p_values).all()
    assert (corrected <= 1).all()


def test_one_pair_is_students_paired_test() -> None:
    # Student 1908, sleep data: R's t.test(..., paired = TRUE) prints t = 4.0621, df = 9,
    # p-value = 0.002833
    differences = np.array([[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]])
    tests = _test(differences, resolution=0.1)
    assert tests.p_value[0] == pytest.approx(0.002833, abs=5e-7)
    assert (tests.low[0], tests.high[0]) == pytest.approx((0.7001142, 2.4598858), abs=1e-7)


def test_two_repeats_never_prove_a_difference() -> None:
    assert not _test(np.array([[0.4500, 0.4525]]), resolution=1 / 400).is_real[0]


def test_equal_differences_of_one_image_are_not_proof() -> None:
    # without a least deviation the deviation would be 0, and p as well
    differences = np.full((1, 3), 1 / 400)
    assert _test(differences, resolution=1 / 400).p_value[0] == pytest.approx(0.1340, abs=5e-5)


def test_equal_differences_are_not_proof_where_no_step_is_known() -> None:
    difference = 1 / math.e
    assert not _test(np.full((1, 3), difference)).is_real[0]
    almost = np.full((1, 3), difference) * (1 + np.array([0, 1e-15, -1e-15]))
    assert not _test(almost).is_real[0]


def test_a_small_deviation_is_raised_to_that_of_one_step() -> None:
    tests = _test(np.array([[0.0500, 0.0501, 0.0500]]), resolution=0.0025)
    assert tests.deviation[0] == pytest.approx(np.std([0, 0.0025], ddof=1))


def test_three_repeats_are_judged_by_the_least_steady_pair() -> None:
    steady, unsteady = [0.05, 0.06, 0.05], [0.10, -0.20, 0.30]
    tests = _test(np.array([steady, unsteady]))
    assert tests.deviation == pytest.approx(np.full(2, np.std(unsteady, ddof=1)))
    four = _test(np.array([[*steady, 0.05], [*unsteady, 0.1]]))
    assert four.deviation[0] == pytest.approx(np.std([*steady, 0.05], ddof=1))


def test_a_large_deviation_is_left_alone() -> None:
    tests = _test(np.array([[0.05, 0.06, 0.10]]), resolution=0.0025)
    assert tests.deviation[0] == pytest.approx(np.std([0.05, 0.06, 0.10], ddof=1))


@pytest.mark.parametrize(
    ("differences", "step"),
    [
        ([[0.0025, -0.0075], [0.01, 0.0]], 1 / 400),
        ([[3 / 398, 5 / 401]], 1 / 401),
        ([[0.95 - 0.93, 0.96 - 0.91]], 1 / 50),
        ([[1 / math.e, 1 / math.pi]], 0.0),
        ([[0.0, 0.0]], 0.0),
        ([[math.nan, 0.0125]], 1 / 80),
        ([[math.nan, math.nan]], 0.0),
    ],
)
def test_the_step_of_scores_is_found(differences: list[list[float]], step: float) -> None:
    assert find_resolution(np.array(differences)) == pytest.approx(step)


@given(st.data(), st.integers(2, 1000), st.integers(-100, 100))
def test_the_step_does_not_change_when_scores_are_shifted(
    data: st.DataObject, n: int, shift: int
) -> None:
    counts = data.draw(st.lists(st.integers(0, n), min_size=4, max_size=4))
    a, b = np.array(counts[:2]) / n, np.array(counts[2:]) / n
    shifted = (b + shift / 7) - (a + shift / 7)
    assert find_resolution(shifted[None]) == find_resolution((b - a)[None])


def _test(differences: np.ndarray, *, resolution: float = 0.0) -> PairedTests:
    return paired_tests(differences, overlap=0.0, level=0.95, resolution=resolution)
