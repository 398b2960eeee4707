"""Do configurations rank differently on another fold? `python -m benchmarks.sampler_folds`.

Variance components by maximum likelihood, for the configurations that were trained on every fold:
a smooth function of the configuration, another one per fold (what a search on one fold would learn
that does not apply to the others), and the residual, which no search can use.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from benchmarks.sampler_truth import GOOD, N_FOLDS, Array, Table, encode, read_table, to_target

_N_WAVES: Final = 300


@dataclass(frozen=True)
class Components:
    """Deviations, of the logarithm of the error, and the length scales of the smooth ones.

    `gain` is the increase in log-likelihood due to the functions of folds.
    """

    common: float
    of_fold: float
    of_configuration: float
    rest: float
    length: float
    length_of_fold: float
    gain: float
    fold_effects: tuple[float, ...]
    n_configurations: int


def fit(table: Table) -> Components:
    """Fit the components."""
    good = np.flatnonzero(table.is_repeated & (table.means > GOOD))
    rows = np.flatnonzero(np.isin(table.of, good))
    y, fold, of = to_target(table.scores[rows]), table.fold[rows], table.of[rows]
    effects = np.array([y[fold == f].mean() for f in range(N_FOLDS)])
    y = y - effects[fold]
    apart = cdist(table.x[of], table.x[of])
    same_fold, same = fold[:, None] == fold, of[:, None] == of

    def loss(logs: Array, has_folds: bool) -> float:
        common, own, nugget, rest = np.exp(2 * logs[:4])
        cov = common * _matern(apart / math.exp(logs[4])) + nugget * same + rest * np.eye(len(y))
        if has_folds:
            cov = cov + own * _matern(apart / math.exp(logs[5])) * same_fold
        factor = cho_factor(cov + 1e-8 * np.eye(len(y)), lower=True)
        found = 0.5 * y @ cho_solve(factor, y) + np.log(np.diag(factor[0])).sum()
        return float(found)

    start = np.log([0.3, 0.1, 0.1, 0.1, 2.0, 2.0])
    bounds = [(-7.0, 1.0)] * 4 + [(-1.0, 3.0)] * 2
    found = {
        has: minimize(loss, start, args=(has,), bounds=bounds, method="L-BFGS-B")
        for has in (True, False)
    }
    common, own, nugget, rest, length, length_of_fold = np.exp(found[True].x)
    return Components(
        common=float(common),
        of_fold=float(own),
        of_configuration=float(nugget),
        rest=float(rest),
        length=float(length),
        length_of_fold=float(length_of_fold),
        gain=float(found[False].fun - found[True].fun),
        fold_effects=tuple(float(e) for e in effects - effects.mean()),
        n_configurations=len(good),
    )


def _matern(apart: Array) -> Array:
    root: Array = math.sqrt(5) * apart
    return (1 + root + root**2 / 3) * np.exp(-root)


class FoldFunctions:
    """The effects of folds on the logarithm of the error: random functions of the configuration.

    Their mean over the folds is 0, so that the true score does not change.
    """

    def __init__(self, found: Components, seed: int) -> None:
        rng = np.random.default_rng([seed, 77])
        n = len(encode({}))
        freedom = np.sqrt(rng.chisquare(5, (N_FOLDS, _N_WAVES, 1)) / 5)
        self.waves = rng.normal(size=(N_FOLDS, _N_WAVES, n)) / freedom / found.length_of_fold
        self.phases = rng.uniform(0, 2 * math.pi, (N_FOLDS, _N_WAVES))
        self.size = found.of_fold * math.sqrt(N_FOLDS / (N_FOLDS - 1))
        self.effects = np.array(found.fold_effects)
        # The measured noise already includes the functions of the folds.
        self.noise_left = found.rest / math.hypot(found.rest, found.of_fold)

    def __call__(self, params: Any, fold: int) -> float:
        """Return the effect of the fold, including its mean."""
        waves = np.cos(self.waves @ np.array(encode(params)) + self.phases)
        own = math.sqrt(2 / _N_WAVES) * self.size * waves.sum(1)
        return float(own[fold] - own.mean() + self.effects[fold])


def main() -> None:
    """Print the components."""
    print(fit(read_table()))


if __name__ == "__main__":
    main()
