"""The ensemble of a configuration's repeats on the test set, with numbers computed by hand."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial

from hpo.evaluate.records import from_document, to_document
from tests.evaluate.conftest import Answer, Finished

# Eight normal and eight pneumonia images, answered by two repeats.
NORMAL: Final = ([0.7, 0.6, *[0.1] * 6], [0.4, 0.2, *[0.1] * 6])
ILL: Final = ([0.2, 0.3, *[0.9] * 6], [0.6, 0.9, *[0.9] * 4, 0.4, 0.4])
MEAN_NORMAL: Final = [0.55, 0.4, *[0.1] * 6]
MEAN_ILL: Final = [0.4, 0.6, *[0.9] * 4, 0.65, 0.65]


def fixed(normal: Sequence[float], ill: Sequence[float]) -> Answer:
    """Predict these probabilities for the images of each class."""

    def answer(labels: np.ndarray, _: np.random.Generator) -> np.ndarray:
        values = np.empty(len(labels))
        values[labels == 0], values[labels == 1] = normal, ill
        return values

    return answer


def separated(low: float, high: float) -> Answer:
    """Predict one probability for normal images and another for the rest."""
    return lambda labels, _: np.where(labels == 1, high, low)


def test_probabilities_are_averaged_per_image_and_scored_as_one_model(finished: Finished) -> None:
    for repeat in (0, 1):
        finished.add(16, repeat, test=fixed(NORMAL[repeat], ILL[repeat]))
    # A failed repeat is left out; a configuration of one repeat answers with the mean.
    attributes = finished.study.trials[0].user_attrs | {"repeat": 2, "run": None}
    finished.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=attributes))
    finished.add(32, 0, test=fixed(MEAN_NORMAL, MEAN_ILL))
    found = finished.open()
    ensemble, alone = (c.ensemble or c for c in found.configurations)
    assert (ensemble.n, ensemble.threshold, ensemble.n_right) == (2, 0.5, 14)  # type: ignore[union-attr]
    # The repeats have 12 and 14 correct predictions: their mean differs.
    assert found.configurations[0].metrics["accuracy"].mean == 13 / 16
    assert found.configurations[1].ensemble is None
    assert ensemble.confusion == alone.confusion
    for one, other in zip(ensemble.metrics.values(), alone.metrics.values(), strict=True):
        expected = (other.mean, other.low, other.high, 1)
        assert (one.mean, one.low, one.high, one.n) == pytest.approx(expected)
    assert "ensemble averages" in " ".join(found.notes)
    # Evaluations from before ensembles existed can be read.
    document = to_document(found)
    for configuration in document["configurations"]:
        del configuration["ensemble"]
    assert [c.ensemble for c in from_document(document).configurations] == [None, None]


def test_the_threshold_of_an_ensemble_is_the_mean_of_its_repeats(finished: Finished) -> None:
    finished.add(16, 0, test=separated(0.1, 0.2), validation=separated(0.02, 0.04))
    finished.add(16, 1, test=separated(0.1, 0.2), validation=separated(0.2, 0.4))
    evaluated = finished.open(threshold="youden").configurations[0]
    assert evaluated.thresholds == pytest.approx((0.03, 0.3))
    assert evaluated.ensemble is not None
    assert evaluated.ensemble.threshold == pytest.approx(0.165)
    # At 0.03 all, at 0.3 no image is positive: 0.165 separates the two.
    assert evaluated.metrics["accuracy"].mean == 0.5
    assert evaluated.ensemble.metrics["accuracy"].mean == 1.0
