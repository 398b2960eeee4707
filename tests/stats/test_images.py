"""Fixed models on the same images."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from hpo.errors import UsageError
from hpo.stats import auroc, difference_of, mcnemar, share

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def test_mcnemar_is_the_published_example() -> None:
    # Fay, "Exact McNemar's Test and Matching Confidence Intervals", vignette of R's exact2x2:
    # 21 and 12 agree, 2 and 9 do not; p-value = 0.06543, by hand 2 (1 + 11 + 55) / 2^11
    a = [True] * 21 + [False] * 12 + [True] * 2 + [False] * 9
    b = [True] * 21 + [False] * 12 + [False] * 2 + [True] * 9
    assert mcnemar(a, b) == pytest.approx(134 / 2048)


@given(answers)
def test_mcnemar_is_the_binomial_test_of_disagreements(pairs: list[tuple[bool, bool]]) -> None:
    a, b = zip(*pairs, strict=True)
    only_a = sum(x and not y for x, y in pairs)
    n = sum(x != y for x, y in pairs)
    expected = binomtest(only_a, n).pvalue if n else 1.0
    assert mcnemar(a, b) == pytest.approx(expected)
    assert mcnemar(b, a) == pytest.approx(mcnemar(a, b))


def test_mcnemar_refuses_different_images() -> None:
    with pytest.raises(UsageError, match="3 and 2 answers"):
        mcnemar([True, False, True], [True, False])


@pytest.mark.parametrize("decimals", [1, 8])
def test_auroc_is_scikit_learns_with_weights_and_ties(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    labels = rng.integers(0, 2, 60)
    probabilities = (0.3 * labels + rng.random(60)).round(decimals)
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    expected = [roc_auc_score(labels, probabilities, sample_weight=w) for w in weights]
    assert auroc(labels, probabilities)(weights) == pytest.approx(np.array(expected))


def test_auroc_of_one_class_is_not_defined() -> None:
    assert math.isnan(auroc([1, 1], [0.2, 0.9])(np.ones((1, 2)))[0])


def test_a_share_counts_an_image_as_often_as_its_weight() -> None:
    assert share([1, 0, 0])(np.array([[2.0, 1.0, 1.0]])) == pytest.approx([0.5])


def test_a_share_among_some_images_leaves_out_the_others() -> None:
    correct, is_positive = [1, 0, 1, 0], [True, True, False, False]
    sensitivity = share(correct, among=is_positive)
    assert sensitivity(np.array([[3.0, 1.0, 9.0, 9.0]])) == pytest.approx([0.75])
    assert math.isnan(sensitivity(np.array([[0.0, 0.0, 1.0, 1.0]]))[0])


def test_a_difference_is_taken_resample_by_resample() -> None:
    weights = np.array([[1.0, 1.0], [2.0, 0.0]])
    assert difference_of(share([1, 0]), share([0, 0]))(weights) == pytest.approx([0.5, 1.0])
