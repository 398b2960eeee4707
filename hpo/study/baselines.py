"""Baselines without tuning or networks, for comparison with the scores of a study."""

import warnings
from collections.abc import Iterator, Sequence
from math import fsum, isfinite
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import Indices, TrainingData
from hpo.study.score import METRICS

MAJORITY: Final = "majority class"
REGRESSION: Final = "logistic regression"
_SIZE: Final = 32

Probabilities: TypeAlias = NDArray[np.float64]
"""Of the positive class `(n,)`, or of each class `(n, n_classes)`."""


def baselines(data: TrainingData, folds: Sequence[int]) -> dict[str, dict[str, list[float]]]:
    """Return validation metrics by fold of the majority class and a logistic regression.

    The majority class gets the shares of the classes among the training images.
    """
    from hpo.training.progress import measure  # It loads torch.

    validations = [data.fold(fold).validation for fold in folds]
    fitted = regressions(data, validations)
    answers: dict[str, list[Probabilities]] = {REGRESSION: [p for p, _ in fitted], MAJORITY: []}
    for fold in folds:
        train, validation = data.fold(fold).train, data.fold(fold).validation
        shares = np.bincount(data.labels[train], minlength=data.n_classes) / len(train)
        answers[MAJORITY].append(_outputs(np.tile(shares, (len(validation), 1))))
    metrics: dict[str, dict[str, list[float]]] = {}
    for name in (MAJORITY, REGRESSION):
        of_folds = [
            measure(p.astype(np.float32), data.labels[validation], loss=0.0)
            for p, validation in zip(answers[name], validations, strict=True)
        ]
        values = {metric: [of_fold[metric] for of_fold in of_folds] for metric in METRICS}
        # Without one of the classes, there is no AUROC.
        metrics[name] = {metric: x for metric, x in values.items() if isfinite(fsum(x))}
    return metrics


def regressions(
    data: TrainingData, validations: Sequence[Indices], *, has_test: bool = False
) -> Iterator[tuple[Probabilities, Probabilities]]:
    """Fit a logistic regression on the pool without each validation split.

    It yields the probabilities for the validation images, and for the test images if requested.
    Equal splits are fitted once.

    The regression uses 32 x 32 standardized pixels, with an L2 penalty of C = 0.01: on the
    release's images, PneumoniaMNIST and the phantom it was within a point of the best of 1e-4 to
    1, and 64 x 64 pixels gained nothing. L-BFGS converges there in under 100 steps.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # A dependency of scikit-learn.

    n, n_pool = data.n_pool + data.n_test, data.n_pool
    pixels = data.pixels_at(_SIZE).reshape(n, -1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    fitted: dict[bytes, tuple[Probabilities, Probabilities]] = {}

    def predict(images: Indices) -> Probabilities:
        p = np.zeros((len(images), data.n_classes))
        if len(images):
            p[:, model.classes_] = model.predict_proba(pixels[images].astype(np.float32))
        return _outputs(p)

    for validation in validations:
        key = validation.tobytes()
        if key not in fitted:
            train = np.delete(np.arange(n_pool), validation)
            # A second thread slows products this small, by a factor of forty on a busy machine.
            with threadpool_limits(1), warnings.catch_warnings():
                # Nearly converged is good enough for a baseline.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(pixels[train].astype(np.float32), data.labels[train])
            test = np.arange(n_pool, n if has_test else n_pool)
            fitted[key] = predict(validation), predict(test)
        yield fitted[key]


def _outputs(p: Probabilities) -> Probabilities:
    return p[:, 1] if p.shape[1] == 2 else p
