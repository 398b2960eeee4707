"""Predicted scores of configurations: surrogates of the real trainings in sampler_table.csv.

Two, so that no sampler is judged only by a surrogate of its own kind: a Gaussian process and
a forest of extremely randomized trees. Noise is drawn from the residuals of real repeats.
"""

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from optuna.distributions import CategoricalDistribution
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import KFold

from benchmarks.sampler_table import EPOCHS, SPACE, TABLE
from hpo.config import Scalar
from hpo.space import Choices, filled
from hpo.study.trials import search_distributions

Array = np.ndarray[Any, np.dtype[Any]]
Params = Mapping[str, Scalar]
N_FOLDS: Final = 5
_N_NEAREST: Final = 24
"""Noise is that of so many real configurations, the nearest in score."""
_MANY: Final = 3
"""Repeats from which noise is measured."""
ORDERED: Final = [p.name for p in SPACE.search if isinstance(p, Choices) and p.is_ordered]
"""Choices among increasing numbers, here powers of two."""


DOMAINS: Final = search_distributions(SPACE)
"""What Optuna samples each parameter from."""


def encode(params: Params) -> list[float]:
    """Return a configuration as numbers from 0 to 1; inactive parameters have the base's value."""
    params, found = filled(SPACE, params), []
    for name, one in DOMAINS.items():
        value: Any = params[name]
        if isinstance(one, CategoricalDistribution) and name not in ORDERED:
            found += [float(value == choice) for choice in one.choices]
            continue
        choices: Any = one.choices if name in ORDERED else (one.low, one.high)
        low, high = min(choices), max(choices)
        if name in ORDERED or one.log:
            value, low, high = map(math.log, (value, low, high))
        found.append((value - low) / (high - low))
    return found


@dataclass(frozen=True)
class Table:
    """The real trainings: a row of `x` and a mean for each configuration, and its repeats.

    `curves` has the scores of each training at `EPOCHS`, `of` its configuration and `fold` its
    fold. `effects` are the mean differences between folds, which `means` excludes.
    """

    x: Array
    means: Array
    counts: Array
    curves: Array
    of: Array
    fold: Array
    effects: Array

    @property
    def scores(self) -> Array:
        """The score of each training."""
        found: Array = self.curves[:, -1]
        return found

    @property
    def is_repeated(self) -> Array:
        """The configurations that were trained on every fold."""
        return self.counts >= N_FOLDS


def read_table(samplers: Collection[str] = ("random",)) -> Table:
    """Read the trainings of configurations that these samplers proposed."""
    with TABLE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["sampler"] in samplers]
    firsts: dict[str, dict[str, Any]] = {}
    for row in rows:
        firsts.setdefault(row["configuration"], row)
    names = list(firsts)
    of = np.array([names.index(row["configuration"]) for row in rows])
    fold = np.array([int(row["fold"]) for row in rows])
    curves = np.array([[float(row[str(epoch)]) for epoch in EPOCHS] for row in rows])
    counts = np.bincount(of)
    effects = _fold_effects(curves[:, -1], of, fold, counts)
    plain = curves[:, -1] - effects[fold]
    return Table(
        x=np.array([encode(_params(row)) for row in firsts.values()]),
        means=np.array([plain[of == i].mean() for i in range(len(names))]),
        counts=counts,
        curves=curves,
        of=of,
        fold=fold,
        effects=effects,
    )


def _params(row: Mapping[str, str]) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for name, one in DOMAINS.items():
        if row[name]:
            options = one.choices if isinstance(one, CategoricalDistribution) else [one.low]  # type: ignore[attr-defined]
            found[name] = type(options[0])(row[name])  # type: ignore[call-arg]
    return found


def _fold_effects(scores: Array, of: Array, fold: Array, counts: Array) -> Array:
    """Return the mean difference of each fold from all folds, for good configurations."""
    repeated = np.flatnonzero(counts >= N_FOLDS)
    grid = np.array([_by_fold(scores, of == i, fold) for i in repeated])
    if not len(grid):
        return np.zeros(N_FOLDS)
    good = grid[grid.min(1) > GOOD]
    found: Array = (good - good.mean(1, keepdims=True)).mean(0)
    return found


GOOD: Final = 0.85
"""Where noise and folds are measured: configurations below are not worth finding."""


_NOISE: Final = 0.08
"""Between the trainings of one configuration, as a deviation of the logarithm of the error."""


def gaussian_process(table: Table) -> GaussianProcessRegressor:
    """Return a Gaussian process; a configuration with more trainings has less noise."""
    ones = np.ones(table.x.shape[1])
    kernel = ConstantKernel(1.0) * Matern(ones, (0.05, 100.0), nu=2.5) + WhiteKernel(0.1)
    alpha = _NOISE**2 / table.counts / to_target(table.means).var()
    return GaussianProcessRegressor(kernel, alpha=alpha, normalize_y=True, random_state=0)


def forest(_table: Table) -> ExtraTreesRegressor:
    """Return a forest."""
    return ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)


KINDS: Final = {"gp": gaussian_process, "et": forest}
FITTED_TO: Final = {"gp": ("random",), "et": ("random", "tpe", "gp")}
"""Whose proposals a surrogate knows. A forest never answers more than the best that it saw, which
is the base among the random ones: it has to know those of the real searches, too."""


def to_target(scores: Any) -> Any:
    """Return the negative logarithm of the error, which resolves small errors."""
    return -np.log(1.0 - scores)


def to_score(target: Any) -> Any:
    """Return the score of a target."""
    return 1.0 - np.exp(-target)


class Truth:
    """A surrogate that answers like a training."""

    def __init__(self, table: Table, kind: str) -> None:
        self.table, self.kind = table, kind
        self.model = KINDS[kind](table).fit(table.x, to_target(table.means))
        self.repeated = np.flatnonzero(table.counts >= _MANY)
        residuals = table.scores - table.effects[table.fold] - table.means[table.of]
        n_repeats = table.counts[table.of]
        self.residuals = [
            (residuals * np.sqrt(n_repeats / np.maximum(1, n_repeats - 1)))[table.of == i]
            for i in self.repeated
        ]

    def score(self, params: Params) -> float:
        """Return the true score: the mean over folds and seeds."""
        x = np.array([encode(params)], np.float32)
        if isinstance(self.model, ExtraTreesRegressor):  # Tree by tree takes a tenth of the time.
            target = np.mean([tree.tree_.predict(x) for tree in self.model.estimators_])
        else:
            target = self.model.predict(x)[0]
        return float(np.clip(to_score(target), 0.4, 0.995))

    def noise(self, score: float, rng: np.random.Generator) -> float:
        """Return the error of one training's score, without its fold's effect."""
        near = np.argsort(np.abs(self.table.means[self.repeated] - score))[:_N_NEAREST]
        return float(rng.choice(self.residuals[rng.choice(near)]))

    def curve(self, params: Params, score: float) -> list[float]:
        """Return the scores of a training by epoch: those of the most similar real training.

        That is the most similar in configuration and score, shifted to the same final score.
        """
        table = self.table
        apart = ((table.x - encode(params)) ** 2).sum(1)[table.of]
        apart = apart + ((table.scores - score) / 0.02) ** 2
        real = table.curves[int(np.argmin(apart))]
        return [float(value) for value in real + score - real[-1]]


def cross_validated(truth: Truth, n_splits: int = 10) -> dict[str, float]:
    """Return the accuracy of a surrogate for random configurations it was not fitted to."""
    table, model = truth.table, clone(truth.model)
    target, alpha = to_target(table.means), getattr(model, "alpha", None)
    if alpha is not None:  # The length scales are those of all: only the answers are left out.
        model.set_params(kernel=truth.model.kernel_, optimizer=None)
    guessed = np.empty(len(target))
    for train, left_out in KFold(n_splits, shuffle=True, random_state=0).split(table.x):
        if alpha is not None:
            model.set_params(alpha=alpha[train])
        guessed[left_out] = model.fit(table.x[train], target[train]).predict(table.x[left_out])
    return _agreement(table.means, to_score(guessed))


def kept_back(truth: Truth) -> dict[str, float]:
    """Return the accuracy of a surrogate for the configurations proposed by real searches."""
    searched = read_table(("tpe", "gp"))
    real = searched.scores - truth.table.effects[searched.fold]
    return _agreement(real, to_score(truth.model.predict(searched.x[searched.of])))


def _agreement(real: Array, guessed: Array) -> dict[str, float]:
    """Return the agreement over all, and over those whose real score is good."""
    found: dict[str, float] = {}
    for name, chosen in (("all", real > 0), ("good", real > GOOD)):
        error = (guessed - real)[chosen]
        found[f"n_{name}"] = chosen.sum()
        found[f"r2_{name}"] = 1 - (error**2).mean() / real[chosen].var()
        found[f"spearman_{name}"] = spearmanr(real[chosen], guessed[chosen]).statistic
        found[f"rmse_{name}"] = math.sqrt((error**2).mean())
        found[f"bias_{name}"] = error.mean()
    return {name: round(float(value), 4) for name, value in found.items()}


def components(table: Table) -> dict[str, Any]:
    """Return the variance components of good configurations' scores, as deviations.

    `rest` is neither due to configuration nor fold: the seed, and the interaction of both.
    """
    good = np.flatnonzero(table.is_repeated & (table.means > GOOD))
    grid = np.array([_by_fold(table.scores, table.of == i, table.fold) for i in good])
    n, k = grid.shape
    rest = grid - grid.mean(1, keepdims=True) - grid.mean(0) + grid.mean()
    variance = (rest**2).sum() / ((n - 1) * (k - 1))
    return {
        "n_configurations": n,
        "sd_configuration": math.sqrt(grid.mean(1).var(ddof=1) - variance / k),
        "sd_fold": math.sqrt(max(0.0, grid.mean(0).var(ddof=1) - variance / n)),
        "sd_rest": math.sqrt(variance),
        "fold_effects": [round(float(effect), 4) for effect in table.effects],
    }


def _by_fold(scores: Array, chosen: Array, fold: Array) -> Array:
    return np.array([scores[chosen & (fold == f)].mean() for f in range(N_FOLDS)])


def read_truth(kind: str, folder: Path) -> Truth:
    """Return a surrogate of the table, fitted once and stored in the folder."""
    kept = folder / f"{kind}.joblib"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        joblib.dump(Truth(read_table(FITTED_TO[kind]), kind), kept)
    found: Truth = joblib.load(kept)
    return found
