"""Figures of the replays: `python -m benchmarks.sampler_figures --folder FOLDER`.

The true score of a search's result, by sampler and by the plan of its trainings.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from benchmarks.machine import describe_machine
from benchmarks.sampler_folds import fit
from benchmarks.sampler_truth import (
    KINDS,
    Array,
    Truth,
    components,
    cross_validated,
    encode,
    kept_back,
    read_table,
    read_truth,
)

RESULT: Final = Path(__file__).parent / "results" / "sampler_replays.json"
PLANS: Final = (
    (50, 5, 5), (60, 3, 5), (60, 5, 3), (65, 2, 5), (45, 6, 5), (40, 7, 5), (70, 1, 5), (75, 0, 0),
)  # fmt: skip
"""Configurations searched, finalists, and their fresh repeats: 75 trainings each."""
_N_FRESH: Final = 5
_REFERENCES: Final = {"tpe": "tpe_today", "gp": "gp_ordered", "gp_before": "gp_sobol10"}
"""The samplers that all are compared with."""


@dataclass(frozen=True)
class Replay:
    """One search: the true and the observed score of each configuration, -inf if pruned."""

    seed: int
    true: Array
    seen: Array
    fresh: Array
    params: tuple[dict[str, Any], ...]

    def best(self, n: int, k: int, means: Array | None = None) -> Array:
        """Return the places of the best `k` of the first `n`, by observed scores or by `means`."""
        ranks = self.seen[:n] if means is None else means
        found: Array = np.argsort(-ranks, kind="stable")[: max(1, k)]
        return found

    def winner(self, n: int, k: int, r: int, means: Array | None = None) -> int:
        """Return the position of the winner of `k` finalists of the first `n`."""
        best = self.best(n, k, means)
        if not k:
            return int(best[0])
        return int(best[np.argmax(self.fresh[best, :r].mean(1))])

    @cached_property
    def modelled(self) -> dict[int, Array]:
        """Keep the means of a model by the number of configurations it knows."""
        return {}

    def model_means(self, n: int) -> Array:
        """Return a Gaussian process's mean for each of the first `n`; -inf if pruned."""
        if n not in self.modelled:
            x, known = np.array([encode(one) for one in self.params[:n]]), self.seen[:n] > 0
            kernel = ConstantKernel(1.0) * Matern(1.0, nu=2.5) + WhiteKernel(0.1)
            model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
            means = np.full(n, -np.inf)
            means[known] = model.fit(x[known], self.seen[:n][known]).predict(x[known])
            self.modelled[n] = means
        return self.modelled[n]


def read(path: Path, truth: Truth) -> tuple[dict[int, Replay], float]:
    """Return the replays of a file by seed, the longest of each, and the seconds per proposal."""
    longest: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        one = json.loads(line)
        if len(one["tried"]) >= len(longest.get(one["seed"], {"tried": []})["tried"]):
            longest[one["seed"]] = one
    found = {}
    for seed, one in longest.items():
        true = np.array([t["true"] for t in one["tried"]])
        rngs = [np.random.default_rng([seed, 10_000 + place]) for place in range(len(true))]
        fresh = [
            [score + truth.noise(score, rng) for _ in range(_N_FRESH)]
            for score, rng in zip(true, rngs, strict=True)
        ]
        seen = [-np.inf if t["score"] is None else t["score"] for t in one["tried"]]
        params = tuple(t["params"] for t in one["tried"])
        found[seed] = Replay(seed, true, np.array(seen), np.array(fresh), params)
    seconds = [one["seconds"] / len(one["tried"]) for one in longest.values()]
    return found, float(np.mean(seconds))


def interval(values: Sequence[float] | Array, digits: int = 2) -> list[float]:
    """Return mean and 95 % interval over replays, by bootstrap, in points."""
    found = 100 * np.asarray(values, float)
    rng = np.random.default_rng(0)
    means = found[rng.integers(0, len(found), (4_000, len(found)))].mean(1)
    ends = np.percentile(means, [2.5, 97.5])
    return [round(float(x), digits) for x in (found.mean(), *ends)]


def minus(replays: dict[int, Replay], others: dict[int, Replay], n: int) -> list[float]:
    """Return how much better the winners of `n` trials are than those of others, by seed."""
    both = sorted(replays.keys() & others.keys())
    pairs = [s for s in both if min(len(replays[s].true), len(others[s].true)) >= n]
    won = [[one[s].true[one[s].winner(n, 5, 5)] for s in pairs] for one in (replays, others)]
    return interval(np.subtract(*won)) if len(pairs) > 1 else []


def figures(name: str, replays: dict[int, Replay], **others: dict[int, Replay]) -> dict[str, Any]:
    """Return the figures of a sampler, also compared with others."""
    found: dict[str, Any] = {"way": name, "n_replays": len(replays)}
    for n in (50, 100):
        ours = {s: r for s, r in replays.items() if len(r.true) >= n}
        if len(ours) < 2:
            continue
        won = {s: r.winner(n, 5, 5) for s, r in ours.items()}
        alone = {s: r.winner(n, 0, 0) for s, r in ours.items()}
        found[f"at_{n}"] = {
            "n_replays": len(ours),
            "named_alone": interval([ours[s].true[i] for s, i in alone.items()]),
            "winner": interval([ours[s].true[i] for s, i in won.items()]),
            **{f"minus_{other}": minus(ours, them, n) for other, them in others.items()},
            "best_found": interval([r.true[:n].max() for r in ours.values()]),
            "pruned": round(float(np.mean([(r.seen[:n] < 0).mean() for r in ours.values()])), 3),
            "curse": interval([ours[s].fresh[i].mean() - ours[s].true[i] for s, i in won.items()]),
            "curse_alone": interval([ours[s].seen[i] - ours[s].true[i] for s, i in alone.items()]),
        }
    return found


def real_search(sampler: str, effects: Array) -> dict[str, float]:
    """Return the scores of one real search, without its fold's mean effect, in points."""
    found = read_table([sampler])
    scores = 100 * (found.scores - effects[found.fold])
    return {"best": round(scores.max(), 2), "median_from_30": round(np.median(scores[30:]), 2)}


def plans(replays: dict[int, Replay]) -> list[dict[str, Any]]:
    """Return the result of each plan, minus that of 50 configurations and 5 finalists."""
    rows = []
    for n, k, r in PLANS:
        long = [one for one in replays.values() if len(one.true) >= n]
        if len(long) < 2:
            continue
        first = np.array([one.true[one.winner(*PLANS[0])] for one in long])
        for by in ("best observed", "model's mean")[: 1 + ((n, k, r) in PLANS[:2])]:
            means = [one.model_means(n) if by != "best observed" else None for one in long]
            won = [one.winner(n, k, r, m) for one, m in zip(long, means, strict=True)]
            scores = np.array([one.true[i] for one, i in zip(long, won, strict=True)])
            row = {"plan": f"{n} + {k}x{r}", "by": by, "n_replays": len(long)}
            row |= {"winner": interval(scores), "minus_first": interval(scores - first)}
            if k:
                fresh = [
                    one.fresh[i, :r].mean() - one.true[i] for one, i in zip(long, won, strict=True)
                ]
                row["curse"] = interval(fresh)
            rows.append(row)
    return rows


def trials_to(replays: dict[int, Replay], goal: float) -> list[float]:
    """Return the number of trials after which the mean winner reaches a score, with interval."""
    n = min(len(one.true) for one in replays.values())
    curves = np.array(
        [[one.true[one.winner(i, 5, 5)] for i in range(5, n + 1)] for one in replays.values()]
    )
    rng = np.random.default_rng(0)
    draws = [np.arange(len(curves)), *rng.integers(0, len(curves), (1_000, len(curves)))]
    reached = []
    for draw in draws:
        mean = curves[draw].mean(0)
        there = np.flatnonzero(mean >= goal)
        reached.append(5 + int(there[0]) if len(there) else 999)
    return [reached[0], *(float(x) for x in np.percentile(reached[1:], [2.5, 97.5]))]


def main() -> None:
    """Read the replays, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sampler_figures", description=__doc__
    )
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    table, truths = read_table(), {kind: read_truth(kind, asked.folder) for kind in KINDS}
    result: dict[str, Any] = {
        "what": __doc__,
        "machine": describe_machine(),
        "n_trainings": {by: len(read_table([by]).scores) for by in ("random", "tpe", "gp")},
        "n_random_configurations": len(table.means),
        "cross_validated": {kind: cross_validated(one) for kind, one in truths.items()},
        "kept_back": kept_back(truths["gp"]),
        "real_searches": {by: real_search(by, table.effects) for by in ("tpe", "gp")},
        "components": components(table) | {"of_log_error": asdict(fit(table))},
        "replays": [],
        "plans": {},
    }
    for kind, truth in truths.items():
        files = sorted(asked.folder.glob(f"{kind}-*.jsonl"))
        read_all = {path.stem.removeprefix(f"{kind}-"): read(path, truth) for path in files}
        others = {short: read_all[f"{way}-6-median-any"][0] for short, way in _REFERENCES.items()}
        random, _ = read_all["random-6-median-any"]
        goal = float(np.mean([one.true[one.winner(50, 5, 5)] for one in random.values()]))
        for name, (replays, seconds) in read_all.items():
            row = {"truth": kind, "seconds_per_trial": round(seconds, 3)}
            row |= figures(name, replays, **others) | {
                "trials_to_random": trials_to(replays, goal)
            }
            result["replays"].append(row)
            print(json.dumps(row), flush=True)
            if name.endswith("6-median-any"):
                result["plans"][f"{kind} {name}"] = plans(replays)
                for plan in result["plans"][f"{kind} {name}"]:
                    print("   ", json.dumps(plan), flush=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
