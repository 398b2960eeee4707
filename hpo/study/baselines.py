"""Baselines without tuning or networks, for comparison with the scores of a study."""

import warnings
from collections.abc import Sequence
from math import fsum, isfinite
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import Indices, TrainingData
from hpo.study.score import METRICS

REGRESSION: Final = "logistic regression"
_SIZE: Final = 32

Probabilities: TypeAlias = NDArray[np.float64]
"""Of the positive class `(n,)`, or of each class `(n, n_classes)`."""


def baselines(data: TrainingData, folds: Sequence[int]) -> dict[str, dict[str, list[float]]]:
    """Return validation metrics by fold of the majority class and a logistic regression.

    The regression uses 32 x 32 standardized pixels, with an L2 penalty of C = 0.01: on the
    release's images, PneumoniaMNIST and the phantom it was within a point of the best of 1e-4 to
    1, and 64 x 64 pixels gained nothing. L-BFGS converges there in under 100 steps.
    """
    from hpo.training.progress import measure  # It loads torch.

    metrics: dict[str, dict[str, list[float]]] = {}
    for name in ("majority class", REGRESSION):
        of_folds = [
            measure(answers[: len(images)].astype(np.float32), data.labels[images], loss=0.0)
            for images, answers in fold_answers(name, data, folds)
        ]
        values = {metric: [of_fold[metric] for of_fold in of_folds] for metric in METRICS}
        # Without one of the classes, there is no AUROC.
        metrics[name] = {metric: x for metric, x in values.items() if isfinite(fsum(x))}
    return metrics


def fold_answers(
    name: str, data: TrainingData, folds: Sequence[int]
) -> list[tuple[Indices, Probabilities]]:
    """Fit a baseline on each fold; return validation images, and answers to them and the test.

    The answers to the validation images come first. Equal folds are fitted once.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # A dependency of scikit-learn.

    n, test = data.n_pool + data.n_test, np.arange(data.n_pool, data.n_pool + data.n_test)
    pixels = data.pixels_at(_SIZE).reshape(n, -1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    if name != REGRESSION:
        model = DummyClassifier(strategy="prior")
    by_split: dict[bytes, Probabilities] = {}
    answered = list[tuple[Indices, Probabilities]]()
    for fold in map(data.fold, folds):
        key = fold.validation.tobytes()
        if key not in by_split:
            # A second thread slows products this small, by a factor of forty on a busy machine.
            with threadpool_limits(1), warnings.catch_warnings():
                # Nearly converged is good enough for a baseline.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(pixels[fold.train].astype(np.float32), data.labels[fold.train])
            images = np.concatenate([fold.validation, test])
            p = np.zeros((len(images), data.n_classes))
            p[:, model.classes_] = model.predict_proba(pixels[images].astype(np.float32))
            by_split[key] = p[:, 1] if data.n_classes == 2 else p
        answered.append((fold.validation, by_split[key]))
    return answered
