"""Searches replayed on surrogates of real trainings: `python -m benchmarks.sampler_replays`.

Each setting is replayed with the same seeds, and so with the same luck. A finished replay is
appended to a file in the folder, which `benchmarks.sampler_figures` reads.
"""

import argparse
import copy
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import optuna
import torch
from optuna.distributions import IntDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import qmc
from threadpoolctl import threadpool_limits

from benchmarks.sampler_folds import Components, FoldFunctions, fit
from benchmarks.sampler_others import OTHERS, Tried
from benchmarks.sampler_table import EPOCHS, SPACE
from benchmarks.sampler_truth import (
    DOMAINS,
    N_FOLDS,
    ORDERED,
    Params,
    Truth,
    read_table,
    read_truth,
    to_score,
    to_target,
)
from hpo.config import Scalar
from hpo.space import active, complete, filled
from hpo.space.records import is_active

FOLDS: Final = ("any", "same", "rotating", "raw")
"""Whether every configuration is scored on one and the same fold, or configuration k on fold
k mod 5, either corrected for the mean effect of the fold or raw; `any` knows of no folds."""
LEAST_COMPLETE: Final = 3
"""What a model needs at least: where fewer are known, more Sobol points follow."""
PRUNED_AFTER: Final = 5
"""The pruner's median is that of at least so many."""


@dataclass(frozen=True)
class Way:
    """The way in which configurations are proposed.

    The first `n_start`, the base among them, are Sobol points if it is above 0. `is_static`: every
    parameter is always proposed, and those without effect are dropped. `counts_pruned`: the
    sampler learns the last score of a pruned configuration as if it were complete. `is_ordered`:
    choices among numbers are proposed as whole numbers, their places.
    """

    sampler: Callable[[int], BaseSampler]
    is_static: bool = True
    n_start: int = 0
    counts_pruned: bool = False
    is_ordered: bool = False


def _tpe(seed: int, **options: Any) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, **options)


class _Gp(GPSampler):
    """Optuna's version without its device context: the same numbers in less time."""

    def _sample_relative_impl(self, *args: Any) -> dict[str, Any]:
        with torch._C.DisableTorchFunction():
            return super()._sample_relative_impl(*args)


def _gp(seed: int, n_startup_trials: int = 1) -> BaseSampler:
    return _Gp(seed=seed, n_startup_trials=n_startup_trials, warn_independent_sampling=False)


WAYS: Final = {
    "tpe_today": Way(lambda seed: _tpe(seed, group=True), is_static=False),
    "tpe_random10": Way(lambda seed: _tpe(seed)),
    "tpe_sobol5": Way(lambda seed: _tpe(seed, n_startup_trials=1), n_start=5),
    "tpe_sobol10": Way(lambda seed: _tpe(seed, n_startup_trials=1), n_start=10),
    "tpe_liar10": Way(lambda seed: _tpe(seed, n_startup_trials=1, constant_liar=True), n_start=10),
    "gp_today": Way(lambda seed: _gp(seed, 10)),
    "gp_sobol5": Way(_gp, n_start=5),
    "gp_sobol10": Way(_gp, n_start=10),
    "gp_pruned": Way(_gp, n_start=10, counts_pruned=True),
    "gp_ordered": Way(_gp, n_start=10, counts_pruned=True, is_ordered=True),
    "random": Way(lambda seed: RandomSampler(seed)),
    "sobol": Way(lambda seed: RandomSampler(seed), n_start=10_000),
}


def main() -> None:
    """Run the requested replays; those in the folder are not repeated."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sampler_replays", description=__doc__
    )
    parser.add_argument("--folder", type=Path, required=True)
    ways = {"nargs": "+", "choices": [*WAYS, *OTHERS], "default": list(WAYS)}
    parser.add_argument("--ways", **ways, help=f"{', '.join(OTHERS)} need packages of their own")
    parser.add_argument("--truths", nargs="+", default=["gp", "et"])
    parser.add_argument("--windows", nargs="+", type=int, default=[6])
    parser.add_argument("--pruners", nargs="+", default=["median"])
    parser.add_argument("--folds", nargs="+", choices=FOLDS, default=["any"])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=50)
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    truths = {kind: read_truth(kind, asked.folder) for kind in asked.truths}
    components = fit(read_table()) if asked.folds != ["any"] else None
    options = product(asked.ways, asked.windows, asked.pruners, asked.folds)
    settings = [Setting(*option) for option in options]
    for seed, setting, kind in product(range(asked.seeds), settings, truths):
        path = asked.folder / f"{kind}-{setting}.jsonl"
        _replay(path, Search(truths[kind], setting, seed, components), asked.trials)


@dataclass(frozen=True)
class Setting:
    """The settings of a search; `folds` is one of `FOLDS`."""

    way: str
    window: int = 6
    pruner: str = "median"
    folds: str = "any"

    def __str__(self) -> str:
        return f"{self.way}-{self.window}-{self.pruner}-{self.folds}"


def _replay(path: Path, one: "Search", n: int) -> None:
    """Run the missing part of a replay, and add it to the file."""
    lines = path.read_text().splitlines() if path.exists() else []
    done = [found for found in map(json.loads, lines) if found["seed"] == one.seed]
    so_far = max(
        done, key=lambda found: len(found["tried"]), default={"tried": [], "seconds": 0.0}
    )
    if len(so_far["tried"]) >= n:
        return
    if one.memory:
        so_far = {"tried": [], "seconds": 0.0}
    began = time.process_time()
    with threadpool_limits(1):
        tried = one.to(n, so_far["tried"])
    seconds = so_far["seconds"] + time.process_time() - began
    with path.open("a") as file:
        file.write(json.dumps({"seed": one.seed, "seconds": seconds, "tried": tried}) + "\n")
    print(path.stem, one.seed, n, f"{seconds:.0f} s", flush=True)


class Search:
    """A search that proposes and prunes like `hpo search`."""

    def __init__(
        self, truth: Truth, setting: Setting, seed: int, components: Components | None = None
    ) -> None:
        self.truth, self.setting, self.seed = truth, setting, seed
        self.known: list[FrozenTrial] = []
        self.memory = OTHERS[setting.way](seed) if setting.way in OTHERS else None
        self.of_fold = FoldFunctions(components, seed) if components else None

    def to(self, n: int, tried: Sequence[Tried] = ()) -> list[Tried]:
        """Return the first `n` results, starting with the known ones."""
        found = list(tried)
        while len(found) < n:
            known = found[: max(0, len(found) - self.setting.window + 1)]
            limits = _limits(known) if self.setting.pruner == "median" else {}
            found.append(self._train(self._propose(found, known), limits, len(found)))
            if self.memory and len(found) == 1:
                self.memory.tell_base(found[0])
        return found

    def _propose(self, tried: list[Tried], known: list[Tried]) -> dict[str, Scalar]:
        if not tried:
            base = complete(SPACE, {})
            assert base
            return dict(base.params)
        if self.memory:
            return self.memory.propose(known)
        way, n_complete = WAYS[self.setting.way], sum(one["score"] is not None for one in known)
        if way.n_start and (len(tried) < way.n_start or n_complete < LEAST_COMPLETE):
            return _sobol(self.seed)[len(tried)]
        for one in known[len(self.known) :]:
            self.known.append(_as_trial(one, way, is_known=True))
        running = [_as_trial(one, way, is_known=False) for one in tried[len(known) :]]
        return _proposed(way, [*self.known, *running], digest(self.seed, len(tried)))

    def _train(self, params: Params, limits: dict[int, float], ordinal: int) -> Tried:
        rng = np.random.default_rng([self.seed, ordinal])
        true = self.truth.score(params)
        score = true + self.truth.noise(true, rng)
        if self.of_fold:
            fold = 0 if self.setting.folds == "same" else ordinal % N_FOLDS
            own, noise = self.of_fold(params, fold), (score - true) * self.of_fold.noise_left
            own -= self.of_fold.effects[fold] if self.setting.folds != "raw" else 0.0
            score = to_score(to_target(true) + own) + noise
        curve, found = self.truth.curve(params, score), dict[str, Any]()
        for place, epoch in enumerate(EPOCHS[:-1]):
            if max(curve[: place + 1]) < limits.get(epoch, -1.0):
                found = {"curve": curve[: place + 1], "score": None}
                break
        return {"params": dict(params), "true": true, "score": score, "curve": curve} | found


def digest(seed: int, ordinal: int) -> int:
    """Return the seed of a sampler that makes one proposal."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{ordinal}".encode()).digest()[:4], "big")


def _limits(known: list[Tried]) -> dict[int, float]:
    curves = [one["curve"] for one in known if one["score"] is not None]
    if len(curves) < PRUNED_AFTER:
        return {}
    return {e: median(curve[i] for curve in curves) for i, e in enumerate(EPOCHS)}


def _proposed(way: Way, seen: list[FrozenTrial], seed: int) -> dict[str, Scalar]:
    sampler = way.sampler(seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in seen if not isinstance(sampler, RandomSampler) else ():
        study._storage.create_new_trial(study._study_id, one)
    trial, params, domains = study.ask(), dict[str, Scalar](), _domains(way)
    for parameter in SPACE.search:
        has_effect = is_active(parameter, params)
        if has_effect or way.is_static:
            value: Any = trial._suggest(parameter.name, domains[parameter.name])
            if way.is_ordered and parameter.name in ORDERED:
                value = DOMAINS[parameter.name].choices[value]
            params |= {parameter.name: value} if has_effect else {}
    return params


def _domains(way: Way) -> dict[str, Any]:
    ordered = ORDERED if way.is_ordered else ()
    places = {name: IntDistribution(0, len(DOMAINS[name].choices) - 1) for name in ordered}
    return {**DOMAINS, **places}


class _Trial(FrozenTrial):
    """An immutable trial: deep copies would take most of TPE's time."""

    def __deepcopy__(self, _memo: object) -> "_Trial":
        return copy.copy(self)


def _as_trial(one: Tried, way: Way, *, is_known: bool) -> FrozenTrial:
    params = filled(SPACE, one["params"]) if way.is_static else one["params"]
    if way.is_ordered:
        params = {
            name: DOMAINS[name].choices.index(value) if name in ORDERED else value
            for name, value in params.items()
        }
    outcome: dict[str, Any] = {"state": TrialState.RUNNING}
    if is_known and one["score"] is not None:
        outcome = {"state": TrialState.COMPLETE, "value": one["score"]}
    elif is_known and way.counts_pruned:
        outcome = {"state": TrialState.COMPLETE, "value": one["curve"][-1]}
    elif is_known:
        step = len(one["curve"]) - 1
        values = {EPOCHS[step]: one["curve"][step]}
        outcome = {"state": TrialState.PRUNED, "intermediate_values": values}
    every = _domains(way)
    domains = {name: every[name] for name in params}
    trial = create_trial(params=params, distributions=domains, **outcome)
    trial.__class__ = _Trial
    return trial


@cache
def _sobol(seed: int) -> list[dict[str, Scalar]]:
    points = qmc.Sobol(len(SPACE.search), rng=seed).random(256).tolist()
    return [
        active(SPACE, {p.name: p.at(x) for p, x in zip(SPACE.search, point, strict=True)})
        for point in points
    ]


if __name__ == "__main__":
    main()
