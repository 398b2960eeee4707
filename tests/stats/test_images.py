"""Fixed models on the same images."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hpo.stats import auroc, mcnemar


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
