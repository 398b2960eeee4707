"""Intervals over trainings and patients at once."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.evaluate.crossed import (
    Spread,
    difference_interval,
    draw_weights,
    margin,
    p_value,
    share_interval,
    spread,
    stack,
)
from hpo.stats import bootstrap_by_patient, mean_interval, share

RNG = np.random.default_rng(7)
PATIENTS = np.repeat(np.arange(60), 2)
WEIGHTS = draw_weights(PATIENTS, seed=0)
RIGHT = RNG.random((5, 120)) < np.repeat(RNG.uniform(0.6, 1, 60), 2)

spreads = st.builds(
    Spread,
    mean=st.floats(-0.3, 0.3),
    deviation=st.just(0.1),
    repeat_error=st.floats(0, 0.2),
    image_error=st.floats(0.001, 0.2),
    n_repeats=st.integers(1, 10),
    n_patients=st.integers(2, 500),
)


def draws(n_repeats: int) -> np.ndarray:
    return stack([share(right)(WEIGHTS) for right in RIGHT[:n_repeats]])


def found(n_repeats: int, *, overlap: float = 0.0) -> Spread:
    return spread(draws(n_repeats), overlap=overlap, n_patients=60)


def test_a_resample_draws_as_many_patients_with_all_their_images() -> None:
    assert (WEIGHTS[0] == 1).all()
    assert (WEIGHTS.sum(axis=1) == 120).all()
    assert (WEIGHTS[:, ::2] == WEIGHTS[:, 1::2]).all()


def test_one_repeat_has_the_standard_error_of_the_bootstrap_by_patient() -> None:
    alone = found(1)
    assert alone.repeat_error == 0
    expected = bootstrap_by_patient(share(RIGHT[0]), PATIENTS)
    assert alone.image_error == pytest.approx(expected.deviation, rel=0.1)
    interval = share_interval(alone)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_repeats_that_answer_alike_are_worth_one() -> None:
    alike = spread(np.repeat(draws(1), 5, axis=1), overlap=0.25, n_patients=60)
    assert alike.repeat_error == 0
    assert margin(alike) == pytest.approx(margin(found(1)))


def test_without_noise_of_images_it_is_the_interval_of_the_mean_over_repeats() -> None:
    scores = np.array([0.5, 0.54, 0.6])
    found = spread(np.tile(scores, (50, 1)), overlap=0.25, n_patients=60)
    expected = mean_interval(scores, overlap=0.25)
    interval = difference_interval(found)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.deviation == pytest.approx(expected.deviation)


def test_the_two_margins_add_in_squares() -> None:
    both = Spread(
        mean=0.0,
        deviation=0.1,
        repeat_error=0.03,
        image_error=0.04,
        n_repeats=5,
        n_patients=101,
    )
    # t(4) = 2.776445, t(100) = 1.983972 at 97.5 %
    assert margin(both) == pytest.approx(math.hypot(2.776445 * 0.03, 1.983972 * 0.04), rel=1e-6)


def test_noise_that_repeats_share_does_not_average_out() -> None:
    shared = RNG.standard_normal((1001, 1)) * 0.05
    own = RNG.standard_normal((1001, 8)) * 0.05
    common = spread(0.8 + shared + 0 * own, overlap=0, n_patients=60)
    apart = spread(0.8 + own, overlap=0, n_patients=60)
    assert common.image_error == pytest.approx(0.05, rel=0.1)
    assert apart.image_error < 0.02


def test_it_is_never_narrower_than_these_very_models_over_patients() -> None:
    values = draws(5)
    values[0] = values[0].mean()
    lucky = spread(values, overlap=0, n_patients=60)
    assert lucky.repeat_error == pytest.approx(0, abs=1e-9)
    assert lucky.image_error >= values[1:].mean(axis=1).std() * 0.99


def test_an_interval_of_a_share_stays_between_0_and_1() -> None:
    values = np.clip(0.99 + 0.01 * RNG.standard_normal((500, 3)), 0, 0.999)
    near_one = spread(values, overlap=0.25, n_patients=60)
    interval = share_interval(near_one)
    assert interval.low is not None
    assert interval.high is not None
    assert 0 < interval.low < interval.mean < interval.high < 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_of_none_or_all_has_no_interval(value: float) -> None:
    interval = share_interval(spread(np.full((50, 3), value), overlap=0.25, n_patients=60))
    assert (interval.mean, interval.low, interval.high) == (value, None, None)


def test_resamples_without_a_value_are_left_out() -> None:
    values = draws(2)
    values[5, 0] = math.nan
    assert math.isfinite(margin(spread(values, overlap=0, n_patients=60)))


def test_what_is_not_defined_has_no_value() -> None:
    interval = share_interval(spread(np.full((50, 2), math.nan), overlap=0, n_patients=60))
    assert (interval.mean, interval.low, interval.high) == (None, None, None)


def test_one_patient_has_no_interval() -> None:
    assert share_interval(spread(draws(3), overlap=0, n_patients=1)).low is None


@given(spreads)
def test_p_value_and_interval_never_contradict(one: Spread) -> None:
    interval = difference_interval(one)
    assert interval.low is not None
    assert interval.high is not None
    p = p_value(one)
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (not interval.low <= 0 <= interval.high)


@given(spreads, st.floats(0.5, 0.98))
def test_a_higher_level_is_wider(one: Spread, level: float) -> None:
    assert margin(one, level=level) < margin(one, level=level + 0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    held = []
    for _ in range(150):
        patients = np.arange(80)
        weights = draw_weights(patients, seed=0)[:301]
        ease = rng.standard_normal(80)
        shifts = 0.5 * rng.standard_normal(4)
        right = [ease + 0.8 * rng.standard_normal(80) + 1 + shift > 0 for shift in shifts]
        values = stack([share(one)(weights) for one in right])
        interval = share_interval(spread(values, overlap=0, n_patients=80))
        # the chance that a normal of variance 1 + 0.64 + 0.25 exceeds -1
        held.append(interval.low <= 0.7665 <= interval.high)
    assert np.mean(held) >= 0.9
