"""Metrics compared with scikit-learn and with hand computations."""

import numpy as np
import pytest
from sklearn import metrics as golden

from hpo.evaluate.metrics import calibration, roc, statistics
from hpo.evaluate.records import NUMBERS, SHARES
from hpo.training.progress import measure

RNG = np.random.default_rng(5)
LABELS = (RNG.random(90) < 0.4).astype(np.uint8)
P = np.round(np.clip(0.3 * LABELS + 0.8 * RNG.random(90), 0, 1), 2)
WEIGHTS = RNG.integers(0, 3, (4, 90)).astype(np.float64)
METRICS = (*SHARES.values(), *NUMBERS.values())


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.61])
def test_metrics_match_scikit_learn_on_every_resample(threshold: float) -> None:
    found = {n: s(WEIGHTS) for n, s in statistics(LABELS, P, threshold=threshold).items()}
    assert tuple(found) == METRICS
    called = threshold < P
    for row, w in enumerate(WEIGHTS):
        expected = {
            "accuracy": golden.accuracy_score(LABELS, called, sample_weight=w),
            "balanced_accuracy": golden.balanced_accuracy_score(LABELS, called, sample_weight=w),
            "sensitivity": golden.recall_score(LABELS, called, sample_weight=w),
            "specificity": golden.recall_score(LABELS, called, pos_label=0, sample_weight=w),
            "auroc": golden.roc_auc_score(LABELS, P, sample_weight=w),
            "brier": golden.brier_score_loss(LABELS, P, sample_weight=w),
            "log_loss": golden.log_loss(LABELS, P.clip(1e-7, 1 - 1e-7), sample_weight=w),
        }
        assert {n: found[n][row] for n in expected} == pytest.approx(expected)


def test_metrics_of_three_classes_match_scikit_learn_on_every_resample() -> None:
    labels = (np.arange(90) % 3).astype(np.uint8)
    p = RNG.dirichlet([1, 1, 1], 90)
    p[np.arange(60), labels[:60]] += 0.4
    p /= p.sum(1, keepdims=True)
    found = {n: s(WEIGHTS) for n, s in statistics(labels, p, threshold=0.5).items()}
    assert tuple(found) == tuple(n for n in METRICS if n not in {"sensitivity", "specificity"})
    answers, options = p.argmax(1), {"multi_class": "ovr", "average": "macro"}
    for row, w in enumerate(WEIGHTS):
        each = (golden.brier_score_loss(labels == k, p[:, k], sample_weight=w) for k in range(3))
        expected = {
            "accuracy": golden.accuracy_score(labels, answers, sample_weight=w),
            "balanced_accuracy": golden.balanced_accuracy_score(labels, answers, sample_weight=w),
            "auroc": golden.roc_auc_score(labels, p, sample_weight=w, **options),
            "brier": sum(each) / 2,
            "log_loss": golden.log_loss(labels, p, sample_weight=w),
        }
        assert {n: found[n][row] for n in expected} == pytest.approx(expected)
    measured = measure(p.astype(np.float32), labels, loss=0.0)
    assert measured["auroc"] == pytest.approx(golden.roc_auc_score(labels, p, **options))
    assert measured["log_loss"] == pytest.approx(golden.log_loss(labels, p), rel=1e-5)
    every = np.ones((1, 90))
    for name in ("accuracy", "balanced_accuracy", "auroc", "brier", "log_loss"):
        statistic = statistics(labels, p.astype(np.float32), threshold=0.5)[name]
        assert measured[name] == pytest.approx(statistic(every)[0])


def test_the_calibration_error_matches_a_hand_computation() -> None:
    labels = np.array([0, 1, 1, 1, 0], np.uint8)
    p = np.array([0.12, 0.18, 0.95, 1.0, 0.91])
    # Bin 1: mean 0.15, share 0.5, two images; bin 9: mean 2.86 / 3, share 2 / 3, three images.
    expected = (2 * abs(0.15 - 0.5) + 3 * abs(2.86 / 3 - 2 / 3)) / 5
    error = statistics(labels, p, threshold=0.5)["calibration_error"]
    assert error(np.ones((1, 5)))[0] == pytest.approx(expected)


def test_the_roc_curve_matches_scikit_learn_and_its_band_contains_the_mean() -> None:
    labels = np.array([0, 1] * 100, np.uint8)
    p = RNG.random(200)
    false_alarms, found, _ = golden.roc_curve(labels, p, drop_intermediate=False)
    curve = roc(labels, [p])
    for x, y in zip(curve.false_alarms, curve.mean, strict=True):
        assert y == pytest.approx(found[np.isclose(false_alarms, x)].max(), abs=1e-4)
    several = roc(LABELS, [P, RNG.random(90), P**2])
    bands = zip(several.low, several.mean, several.high, strict=True)
    assert all(a <= b <= c for a, b, c in bands)
    assert several.high[-1] == several.low[-1] == 1


def test_calibration_bins_are_tenths_and_contain_every_prediction() -> None:
    bins = calibration(LABELS, [P, P])
    assert sum(one.n for one in bins) == 180
    assert sum(one.n * one.observed for one in bins) == pytest.approx(2 * LABELS.sum(), abs=0.1)
    edges = np.array([0.0, 0.099, 0.1, 0.999, 1.0])
    assert [one.n for one in calibration(np.ones(5, np.uint8), [edges])] == [2, 1, 2]
