"""Fixed models on the same images, and the bootstrap by patient."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from hpo.stats import Interval, Statistic, auroc, bootstrap_by_patient, mcnemar, share

RNG = np.random.default_rng(0)
N = 120
LABELS = np.arange(N) % 2
GOOD = np.clip(0.35 * LABELS + 0.8 * RNG.random(N), 0, 1)
ALONE = np.arange(N)


def test_mcnemar_is_the_published_example() -> None:
    # Fay, "Exact McNemar's Test and Matching Confidence Intervals", vignette of R's exact2x2:
    # 21 and 12 agree, 2 and 9 do not; p-value = 0.06543, by hand 2 (1 + 11 + 55) / 2^11
    a = [True] * 21 + [False] * 12 + [True] * 2 + [False] * 9
    b = [True] * 21 + [False] * 12 + [False] * 2 + [True] * 9
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(134 / 2048)
    assert mcnemar(a, a) == 1


@pytest.mark.parametrize("decimals", [1, 8])
def test_auroc_is_scikit_learns_with_weights_and_ties(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    labels = rng.integers(0, 2, 60)
    probabilities = (0.3 * labels + rng.random(60)).round(decimals)
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    expected = [roc_auc_score(labels, probabilities, sample_weight=w) for w in weights]
    assert auroc(labels, probabilities)(weights) == pytest.approx(np.array(expected))


def test_a_share_among_some_images_leaves_out_the_others() -> None:
    correct, is_positive = [1, 0, 1, 0], [True, True, False, False]
    sensitivity = share(correct, among=is_positive)
    assert sensitivity(np.array([[3.0, 1.0, 9.0, 9.0]])) == pytest.approx([0.75])
    assert math.isnan(sensitivity(np.array([[0.0, 0.0, 1.0, 1.0]]))[0])


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
