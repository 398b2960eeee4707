"""Intervals over both trainings and patients."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.evaluate.intervals import (
    Estimate,
    difference_interval,
    draw_weights,
    estimate,
    margin,
    metric_interval,
    p_value,
)
from hpo.stats import share

RNG = np.random.default_rng(7)
PATIENTS = np.repeat(np.arange(60), 2)
WEIGHTS = draw_weights(PATIENTS, seed=0)
RIGHT = RNG.random((5, 120)) < np.repeat(RNG.uniform(0.6, 1, 60), 2)
DRAWS = np.stack([share(right)(WEIGHTS) for right in RIGHT], axis=1)

estimates = st.builds(
    Estimate,
    mean=st.floats(-0.3, 0.3),
    deviation=st.just(0.1),
    repeat_error=st.floats(0, 0.2),
    image_error=st.floats(0.001, 0.2),
    n_repeats=st.integers(1, 10),
    n_patients=st.integers(2, 500),
)


def test_one_repeat_has_the_standard_error_of_the_bootstrap_by_patient() -> None:
    alone = estimate(DRAWS[:, :1], overlap=0.0, n_patients=60)
    assert alone.repeat_error == 0
    assert alone.image_error == pytest.approx(DRAWS[1:, 0].std(ddof=1))
    interval = metric_interval(alone)
    expected = np.quantile(DRAWS[1:, 0], [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=0.02)
    alike = estimate(np.repeat(DRAWS[:, :1], 5, axis=1), overlap=0.25, n_patients=60)
    assert alike.repeat_error == 0
    assert margin(alike) == pytest.approx(margin(alone))


def test_the_two_margins_add_in_quadrature() -> None:
    both = Estimate(
        mean=0.0, deviation=0.1, repeat_error=0.03, image_error=0.04, n_repeats=5, n_patients=101
    )
    # t(4) = 2.776445, t(100) = 1.983972 at 97.5 %
    assert margin(both) == pytest.approx(math.hypot(2.776445 * 0.03, 1.983972 * 0.04), rel=1e-6)


def test_an_interval_is_never_narrower_than_over_patients_alone() -> None:
    values = DRAWS.copy()
    values[0] = values[0].mean()
    lucky = estimate(values, overlap=0, n_patients=60)
    assert lucky.repeat_error == pytest.approx(0, abs=1e-9)
    assert lucky.image_error >= values[1:].mean(axis=1).std() * 0.99


def test_constant_or_undefined_metrics_have_no_interval() -> None:
    for draws, n_patients, mean in (
        (np.ones((50, 3)), 60, 1.0),
        (np.full((50, 2), math.nan), 60, None),
        (DRAWS, 1, DRAWS[0].mean()),
    ):
        interval = metric_interval(estimate(draws, overlap=0.25, n_patients=n_patients))
        assert (interval.mean, interval.low, interval.high) == (mean, None, None)


def test_a_loss_may_be_above_1_and_its_interval_is_never_below_0() -> None:
    loss = replace(estimate(DRAWS, overlap=0.0, n_patients=60), mean=1.4, image_error=0.9)
    interval = metric_interval(loss, is_share=False)
    assert 0 < interval.low < 1.4 < interval.high


@given(estimates, st.floats(0.5, 0.98))
def test_p_value_and_interval_agree(one: Estimate, level: float) -> None:
    interval, p = difference_interval(one), p_value(one)
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (not interval.low <= 0 <= interval.high)  # type: ignore[operator]
    assert margin(one, level=level) < margin(one, level=level + 0.01)
