import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from hpo.training.metrics import accuracy, auroc, balanced_accuracy, brier, log_loss, measure

# Few distinct values, so that ties are common; 0.5 itself lies on the threshold.
PAIRS = st.lists(
    st.tuples(st.sampled_from([0.001, 0.2, 0.4, 0.5, 0.6, 0.9, 0.999]), st.integers(0, 1)),
    min_size=2,
    max_size=60,
).filter(lambda pairs: len({label for _, label in pairs}) == 2)


@given(PAIRS)
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[float, int]]) -> None:
    p = np.array([pair[0] for pair in pairs])
    labels = np.array([pair[1] for pair in pairs], np.uint8)
    assert accuracy(p, labels) == pytest.approx(sk.accuracy_score(labels, p > 0.5))
    expected = sk.balanced_accuracy_score(labels, p > 0.5)
    assert balanced_accuracy(p, labels) == pytest.approx(expected)
    assert auroc(p, labels) == pytest.approx(sk.roc_auc_score(labels, p))
    assert log_loss(p, labels) == pytest.approx(sk.log_loss(labels, p))
    assert brier(p, labels) == pytest.approx(sk.brier_score_loss(labels, p))


@given(PAIRS)
def test_auroc_turns_over_with_the_labels(pairs: list[tuple[float, int]]) -> None:
    p = np.array([pair[0] for pair in pairs])
    labels = np.array([pair[1] for pair in pairs], np.uint8)
    assert auroc(p, labels) + auroc(p, 1 - labels) == pytest.approx(1)


def test_one_class_has_no_auroc_and_half_a_balanced_accuracy() -> None:
    found = measure(np.array([0.9, 0.2], np.float32), np.ones(2, np.uint8), loss=0.3)
    assert math.isnan(found.auroc)
    assert found.balanced_accuracy == 0.5
    assert found.loss == 0.3


def test_certain_and_wrong_costs_a_finite_log_loss() -> None:
    assert log_loss(np.array([0.0, 1.0]), np.array([1, 0], np.uint8)) == pytest.approx(
        16.118, 1e-4
    )


def test_broken_probabilities_are_not_hidden() -> None:
    found = measure(np.array([np.nan, 0.2], np.float32), np.array([1, 0], np.uint8), loss=math.nan)
    assert math.isnan(found.log_loss)
    assert math.isnan(found.brier)
    assert math.isnan(found.auroc)
