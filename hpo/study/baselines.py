"""What needs no network: the scores beside which an MLP must be seen."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hpo.data.dataset import Fold, TrainingData

_SIZE: Final = 32
_MOST_FOLDS: Final = 5


@dataclass(frozen=True)
class Baseline:
    """A model without tuning: its validation accuracy on each fold, and their mean."""

    name: str
    scores: tuple[float, ...]
    mean: float


def baselines(data: TrainingData, folds: Sequence[int]) -> tuple[Baseline, ...]:
    """Score the majority class and a logistic regression on pixels on the folds of these repeats.

    Folds that are alike count once, and the first five are enough.
    """
    distinct = _distinct([data.fold(repeat) for repeat in folds])[:_MOST_FOLDS]
    pixels = data.pixels_at(_SIZE)[: data.n_pool].reshape(data.n_pool, -1).astype(np.float32)
    scored = []
    for name, make in {
        "majority class": _majority,
        "logistic regression": _logistic_regression,
    }.items():
        scores = tuple(_accuracy(make(), pixels, data.labels, fold) for fold in distinct)
        scored.append(Baseline(name, scores, fmean(scores)))
    return tuple(scored)


def _distinct(folds: Sequence[Fold]) -> list[Fold]:
    return list({fold.validation.tobytes(): fold for fold in folds}.values())


def _majority() -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="most_frequent")


def _logistic_regression() -> Any:
    """Return a regression on 32 x 32 standardized pixels, with an L2 penalty of C = 0.01.

    On the release's images, PneumoniaMNIST and the phantom C = 0.01 was within a point of the best
    of 1e-4 to 1, and 64 x 64 pixels gained nothing. L-BFGS converges there in under 100 steps.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def _accuracy(
    model: Any, pixels: NDArray[np.float32], labels: NDArray[np.uint8], fold: Fold
) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # scikit-learn brings it along.

    # Products this small lose time to a second thread, on a busy machine forty times over.
    with threadpool_limits(1), warnings.catch_warnings():
        # Nearly converged is near enough for a line to compare with.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(pixels[fold.train], labels[fold.train])
    return float(model.score(pixels[fold.validation], labels[fold.validation]))
