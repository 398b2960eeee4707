"""How many repeats would tell a difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import UsageError
from hpo.stats import needed_repeats
from hpo.stats.paired import paired_tests
from hpo.stats.repeats import smallest_difference

sizes = st.floats(0.001, 0.1)


def test_the_textbook_number_of_pairs() -> None:
    # R: power.t.test(delta = 0.5, sd = 1, power = 0.8, type = "paired") prints n = 33.36713
    assert needed_repeats(0.5, deviation=1.0) == 34


@pytest.mark.parametrize("overlap", [0.0, 0.25])
@pytest.mark.parametrize("difference", [0.008, 0.016, 0.03])
def test_so_many_repeats_tell_it_in_four_of_five_sweeps(difference: float, overlap: float) -> None:
    n = needed_repeats(difference, deviation=0.01, overlap=overlap)
    if n is None:
        assert difference < smallest_difference(deviation=0.01, overlap=overlap)
        return
    rng = np.random.default_rng(0)
    shared = overlap / (1 + overlap)
    own = rng.normal(0, 0.01, (4000, 1, n))
    # the deviation within a sweep is 0.01, the correlation between repeats `shared`
    common = rng.normal(0, 0.01 * np.sqrt(shared / (1 - shared)), (4000, 1, 1))
    tests = paired_tests(difference + own + common, overlap=overlap, level=0.95, resolution=0)
    assert 0.77 < tests.is_real.mean() < 0.98


def test_overlap_sets_a_floor_that_repeats_do_not_lower() -> None:
    floor = smallest_difference(deviation=0.01, overlap=0.25)
    assert floor == pytest.approx((1.959964 + 0.841621) * 0.01 * 0.5, rel=1e-5)
    assert needed_repeats(floor * 0.999, deviation=0.01, overlap=0.25) is None
    assert needed_repeats(floor * 1.001, deviation=0.01, overlap=0.25) is not None


def test_thousands_of_repeats_are_counted_too() -> None:
    # the normal limit: ((1.959964 + 0.841621) / 0.01)^2
    assert needed_repeats(0.01, deviation=1.0) == 78_489


def test_no_number_of_repeats_tells_no_difference() -> None:
    assert needed_repeats(0.0, deviation=0.01) is None


def test_a_faulty_level_is_refused() -> None:
    with pytest.raises(UsageError):
        needed_repeats(0.01, deviation=0.01, level=95)


@given(sizes, sizes, st.sampled_from([0.0, 0.25]))
def test_a_larger_difference_needs_no_more_repeats(one: float, two: float, overlap: float) -> None:
    small, large = sorted((one, two))
    few = needed_repeats(large, deviation=0.02, overlap=overlap)
    many = needed_repeats(small, deviation=0.02, overlap=overlap)
    assert many is None or (few is not None and few <= many)


@given(sizes, st.integers(1, 10))
def test_more_pairs_need_no_fewer_repeats(difference: float, n_pairs: int) -> None:
    alone = needed_repeats(difference, deviation=0.02)
    among = needed_repeats(difference, deviation=0.02, n_pairs=n_pairs)
    assert alone is not None
    assert among is not None
    assert alone <= among
