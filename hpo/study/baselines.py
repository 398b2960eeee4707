"""Baselines without tuning or networks, for comparison with the scores of a study."""

import warnings
from collections.abc import Sequence
from statistics import fmean
from typing import Final

import numpy as np

from hpo.data.dataset import TrainingData

_SIZE: Final = 32
_MOST_FOLDS: Final = 5


def baselines(data: TrainingData, folds: Sequence[int]) -> dict[str, float]:
    """Return the mean validation accuracy of the majority class and a logistic regression.

    The regression uses 32 x 32 standardized pixels, with an L2 penalty of C = 0.01: on the
    release's images, PneumoniaMNIST and the phantom it was within a point of the best of 1e-4 to
    1, and 64 x 64 pixels gained nothing. L-BFGS converges there in under 100 steps. Equal folds
    count once, and the first five are enough.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # A dependency of scikit-learn.

    distinct = {fold.validation.tobytes(): fold for fold in map(data.fold, folds)}
    pixels = data.pixels_at(_SIZE)[: data.n_pool].reshape(data.n_pool, -1).astype(np.float32)
    models = {
        "majority class": DummyClassifier(strategy="most_frequent"),
        "logistic regression": make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
        ),
    }
    scores: dict[str, list[float]] = {name: [] for name in models}
    for fold in list(distinct.values())[:_MOST_FOLDS]:
        for name, model in models.items():
            # A second thread slows such small products down, on a busy machine fortyfold.
            with threadpool_limits(1), warnings.catch_warnings():
                # Nearly converged is good enough for a baseline.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(pixels[fold.train], data.labels[fold.train])
            accuracy = model.score(pixels[fold.validation], data.labels[fold.validation])
            scores[name].append(float(accuracy))
    return {name: fmean(found) for name, found in scores.items()}
