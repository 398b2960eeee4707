"""The quality of the best configuration of a search, by its window.

`python -m benchmarks.ray_windows`. Nothing is trained: a forest, fitted to 240 trainings of real
X-rays (trainings.csv), predicts the score of a configuration, and normal noise as between repeats
is added. TPE searches with each window, like `hpo search`, many times with different seeds. The
result is the mean score, without noise, of the configurations that scored best.
"""

import argparse
import csv
import json
import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import cross_val_predict

from benchmarks.machine import describe_machine
from hpo.run.plan import Settings, plan_search
from hpo.run.proposals import Proposer
from hpo.study.record import StudyRecord
from hpo.study.trials import distributions
from tests.conftest import make_xrays

RESULTS: Final = Path(__file__).parent / "results"
TRAININGS: Final = RESULTS / "trainings.csv"
RESULT: Final = RESULTS / "ray_windows.json"
WINDOWS: Final = (1, 6, 16, 32, 64, 100)
LOOKS: Final = (25, 50, 100)
NOISE: Final = 0.01
"""The standard deviation between repeats of configurations that are worth finding."""


def main() -> None:
    """Search, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_windows", description=__doc__)
    parser.add_argument("--searches", type=int, default=16, help="of each window")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    with TemporaryDirectory() as name, ProcessPoolExecutor(asked.processes) as pool:
        settings = Settings(data=make_xrays(Path(name)), set={"image_size": 16})
        record = plan_search([], replace(settings, pruner="none")).record
        works = [
            replace(record, window=window, seed=seed)
            for seed in range(asked.searches)
            for window in WINDOWS
        ]
        found: dict[int, list[list[float]]] = {window: [] for window in WINDOWS}
        for work, bests in zip(works, pool.map(search, works), strict=True):
            found[work.window].append(bests)
            print(work.seed, work.window, bests, flush=True)
            if work.window == WINDOWS[-1]:
                _write(found)


def _write(found: Mapping[int, list[list[float]]]) -> None:
    rows = []
    for window, bests in found.items():
        columns, n = list(zip(*bests, strict=True)), len(bests)
        rows.append(
            {
                "window": window,
                "best": [round(fmean(column), 4) for column in columns],
                "error": [
                    round(np.std(column) / math.sqrt(max(1, n - 1)), 4) for column in columns
                ],
            }
        )
    result = {
        "what": __doc__,
        "machine": describe_machine(),
        "n_searches": n,
        "noise": NOISE,
        "r2_of_surrogate": round(_surrogate()[1], 3),
        "after_trials": LOOKS,
        "windows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def search(record: StudyRecord) -> list[float]:
    """Return the score, without noise, of the best configuration after each number of trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    noise = np.random.default_rng(record.seed)
    seen: list[list[FrozenTrial]] = []
    true: list[float] = []
    proposer = Proposer(record)
    for ordinal in range(max(LOOKS)):
        params = proposer.propose(seen, ordinal=ordinal)
        true.append(_score(params))
        trial = create_trial(
            state=TrialState.COMPLETE,
            params=params,
            distributions=distributions(record, params),
            user_attrs={"params": params},
            value=true[-1] + noise.normal(0, NOISE),
        )
        seen.append([trial])
    shown = [trial.value or 0.0 for [trial] in seen]
    return [true[max(range(n), key=shown.__getitem__)] for n in LOOKS]


def _score(params: Mapping[str, Any]) -> float:
    return float(_surrogate()[0].predict([_encode(params)])[0])


@cache
def _surrogate() -> tuple[ExtraTreesRegressor, float]:
    """Return the forest, and the variance that it explains in data it was not fitted to."""
    with TRAININGS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    x, y = [_encode(row) for row in rows], np.array([float(row["score"]) for row in rows])
    forest = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)
    r2 = 1 - ((cross_val_predict(forest, x, y, cv=10) - y) ** 2).mean() / y.var()
    return forest.fit(x, y), float(r2)


def _encode(params: Mapping[str, Any]) -> list[float]:
    """Return parameters as numbers; missing or unknown ones are 0."""
    found = [float(params.get(name) or 0) for name in _NUMBERS]
    found += [math.log10(float(params.get(name) or 1e-7)) for name in _LOGARITHMS]
    return found + [float(params.get(name) == word) for name, word in _WORDS]


_NUMBERS: Final = (
    *("layers", "dropout", "augment_pose", "augment_stretch", "augment_exposure"),
    *("momentum", "step_size", "gamma"),
)
_LOGARITHMS: Final = ("learning_rate", "weight_decay", "width", "batch_size")
_WORDS: Final = (
    *(("activation", word) for word in ("relu", "leaky_relu", "gelu", "sigmoid")),
    *(("loss", word) for word in ("bce", "ce", "focal")),
    *(("normalize", word) for word in ("unit", "image")),
    *(("optimizer", word) for word in ("adam", "adamw", "sgd")),
    *(("scheduler", word) for word in ("none", "step", "multistep", "cosine", "polynomial")),
)


if __name__ == "__main__":
    main()
