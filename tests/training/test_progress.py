"""The metrics of a set of images."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hpo.training.progress import measure

# Few distinct values, so that ties are common; 0.5 itself is on the threshold.
PAIRS = st.lists(
    st.tuples(st.sampled_from([0.001, 0.2, 0.4, 0.5, 0.6, 0.9, 0.999]), st.integers(0, 1)),
    min_size=2,
    max_size=60,
).filter(lambda pairs: len({label for _, label in pairs}) == 2)


@settings(max_examples=30)
@given(PAIRS)
def test_metrics_match_scikit_learn(pairs: list[tuple[float, int]]) -> None:
    single = np.array([pair[0] for pair in pairs], np.float32)
    p = single.astype(np.float64)
    labels = np.array([pair[1] for pair in pairs], np.uint8)
    found = measure(single, labels, loss=0.3)
    assert found["loss"] == 0.3
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, p > 0.5))
    expected = sk.balanced_accuracy_score(labels, p > 0.5)
    assert found["balanced_accuracy"] == pytest.approx(expected)
    assert found["sensitivity"] == pytest.approx(sk.recall_score(labels, p > 0.5))
    assert found["specificity"] == pytest.approx(sk.recall_score(labels, p > 0.5, pos_label=0))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, p))
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, p))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(labels, p))


def test_edge_cases_are_finite_and_nan_is_not_hidden() -> None:
    of_one_class = measure(np.array([0.9, 0.2], np.float32), np.ones(2, np.uint8), loss=0.3)
    assert math.isnan(of_one_class["auroc"])
    assert of_one_class["balanced_accuracy"] == of_one_class["sensitivity"] == 0.5
    assert math.isnan(of_one_class["specificity"])
    labels = np.array([1, 0], np.uint8)
    wrong = measure(np.array([0.0, 1.0], np.float32), labels, loss=0.3)
    assert wrong["log_loss"] == pytest.approx(16.118, 1e-4)
    broken = measure(np.array([np.nan, 0.2], np.float32), labels, loss=math.nan)
    assert all(map(math.isnan, (broken["log_loss"], broken["brier"], broken["auroc"])))
