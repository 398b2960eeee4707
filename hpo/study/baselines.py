"""Baselines without tuning or networks, for comparison with the scores of a study."""

import warnings
from collections.abc import Mapping, Sequence
from math import fsum, isfinite
from typing import Final

import numpy as np

from hpo.data.dataset import TrainingData
from hpo.study.score import METRICS

_SIZE: Final = 32
_MOST_FOLDS: Final = 5


def baselines(data: TrainingData, folds: Sequence[int]) -> dict[str, dict[str, list[float]]]:
    """Return validation metrics by fold of the majority class and a logistic regression.

    The regression uses 32 x 32 standardized pixels, with an L2 penalty of C = 0.01: on the
    release's images, PneumoniaMNIST and the phantom it was within a point of the best of 1e-4 to
    1, and 64 x 64 pixels gained nothing. L-BFGS converges there in under 100 steps. After five
    different folds, the remaining `folds` are left out.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # A dependency of scikit-learn.

    from hpo.training.progress import measure  # It loads torch.

    pixels = data.pixels_at(_SIZE)[: data.n_pool].reshape(data.n_pool, -1).astype(np.float32)
    models = {
        "majority class": DummyClassifier(strategy="prior"),
        "logistic regression": make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
        ),
    }
    known: dict[bytes, dict[str, Mapping[str, float]]] = {}
    found: list[Mapping[str, Mapping[str, float]]] = []
    for fold in map(data.fold, folds):
        key = fold.validation.tobytes()
        if key not in known and len(known) == _MOST_FOLDS:
            break
        found.append(known.setdefault(key, {}))
        for name, model in models.items() if not known[key] else ():
            # A second thread slows such small products down, on a busy machine fortyfold.
            with threadpool_limits(1), warnings.catch_warnings():
                # Nearly converged is good enough for a baseline.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(pixels[fold.train], data.labels[fold.train])
            p = np.zeros((len(fold.validation), data.n_classes), np.float32)
            p[:, model.classes_] = model.predict_proba(pixels[fold.validation])
            answers = p[:, 1] if data.n_classes == 2 else p
            known[key][name] = measure(answers, data.labels[fold.validation], loss=0.0)
    metrics = {n: {m: [of_one[n][m] for of_one in found] for m in METRICS} for n in models}
    # Without one of the classes, there is no AUROC.
    return {n: {m: x for m, x in of.items() if isfinite(fsum(x))} for n, of in metrics.items()}
