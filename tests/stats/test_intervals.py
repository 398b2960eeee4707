"""The interval of a mean over repeats."""

import math

import numpy as np
import pytest

from hpo.stats import Interval, mean_interval


def test_the_interval_of_gossets_sleep_data_matches_the_published_one() -> None:
    # Student 1908, The probable error of a mean: additional hours of sleep by the second drug
    # against the first; R's t.test(extra ~ group, data = sleep, paired = TRUE) prints
    # 0.7001142 to 2.4598858 for the mean 1.58
    interval = mean_interval([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (interval.mean, interval.low, interval.high) == pytest.approx(
        (1.58, 0.7001142, 2.4598858), abs=1e-7
    )


def test_overlap_widens_intervals_by_the_nadeau_bengio_factor() -> None:
    # five folds: 1/5 + 400/1600 = 0.45 instead of 0.2, so 1.5 times as wide
    scores = [0.94, 0.94, 0.95, 0.96, 0.97]
    plain, corrected = mean_interval(scores), mean_interval(scores, overlap=400 / 1600)
    widths = [i.high - i.low for i in (corrected, plain)]  # type: ignore[operator]
    assert widths[0] == pytest.approx(1.5 * widths[1])


def test_failed_repeats_are_left_out() -> None:
    assert mean_interval([0.9, None, 0.8, math.nan]) == mean_interval(np.array([0.9, 0.8]))
    assert mean_interval([0.9]) == Interval(0.9, None, None, None, 1)
    assert mean_interval([None, math.nan]) == Interval(None, None, None, None, 0)
