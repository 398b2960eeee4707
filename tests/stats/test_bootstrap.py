"""The bootstrap by patient."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from hpo.errors import UsageError
from hpo.stats import Interval, Statistic, auroc, bootstrap_by_patient, share

RNG = np.random.default_rng(0)
N = 120
LABELS = np.arange(N) % 2
GOOD = np.clip(0.35 * LABELS + 0.8 * RNG.random(N), 0, 1)
ALONE = np.arange(N)


def test_with_one_image_a_patient_it_is_scipys_bca_interval() -> None:
    values = np.random.default_rng(1).exponential(size=60)
    expected = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    )
    found = bootstrap_by_patient(share(values), np.arange(60), n=20_000)
    bounds = expected.confidence_interval
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), rel=0.01)
    assert found.deviation == pytest.approx(expected.standard_error, rel=0.02)
    assert (found.mean, found.n) == (pytest.approx(values.mean()), 60)


def test_images_of_one_patient_count_as_one() -> None:
    values = np.random.default_rng(4).random(30)
    once = bootstrap_by_patient(share(values), np.arange(30))
    four_times = bootstrap_by_patient(share(np.repeat(values, 4)), np.repeat(np.arange(30), 4))
    assert (four_times.low, four_times.high) == pytest.approx((once.low, once.high))
    assert four_times.n == 30


def test_resamples_are_the_same_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_by_patient(auroc(LABELS, GOOD), ALONE, n=100)
    monkeypatch.setattr("hpo.stats.images._CHUNK", 7 * N)
    assert bootstrap_by_patient(auroc(LABELS, GOOD), ALONE, n=100) == whole


@pytest.mark.parametrize(
    ("statistic", "patients", "mean"),
    [
        (share([1, 0]), ["p1", "p1"], 0.5),  # One patient.
        (share(np.ones(20)), range(20), 1.0),  # No wrong answer.
        (auroc([1, 1, 1], [0.1, 0.2, 0.3]), [1, 2, 3], None),  # One class.
    ],
)
def test_where_resamples_tell_nothing_there_is_no_interval(
    statistic: Statistic, patients: list, mean: float | None
) -> None:
    found = bootstrap_by_patient(statistic, list(patients))
    assert found == Interval(mean, None, None, None, len(set(patients)))


@pytest.mark.parametrize(("patients", "n"), [([], 2000), ([1, 2], 1)])
def test_nothing_to_resample_is_refused(patients: list[int], n: int) -> None:
    with pytest.raises(UsageError, match="n = 2000"):
        bootstrap_by_patient(share(np.ones(len(patients))), patients, n=n)
