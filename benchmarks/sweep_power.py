"""The power of five repeats in the reports' sweeps to find a difference of one point.

    python -m benchmarks.sweep_power [--storage URL]

Takes the sweeps on the real X-rays (studies/RESULTS.md) with ten or more repeats, makes all their
values equal on average, makes one of them worse, and compares five of the repeats, one of each
fold, like a sweep of five: every choice of repeats if there are few, 1,000 if there are many. With
--storage the scores are read from the studies there and stored in results/sweep_scores.json;
otherwise they are read from that file. Writes results/sweep_power.json.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpo.stats.paired import paired_tests

RESULTS = Path(__file__).parent / "results"
SCORES = RESULTS / "sweep_scores.json"
N_FOLDS, N_VALIDATION, MOST = 5, 400, 1_000
POINTS = (0, 1, 2)


def read_scores(storage: str) -> Iterator[dict[str, object]]:
    """Yield the compared scores of each sweep, for its averaged and its last weights."""
    from hpo.storage.opening import open_storage
    from hpo.study.gathering import read_study, summarize_all
    from hpo.study.intervals import gather_evidence

    for found in summarize_all(open_storage(storage))[0].values():
        if found.record.kind != "grid":
            continue
        stored = read_study(found.name, storage)
        repeats = {
            c.label: [r for r in c.repeats if r.state == "complete"]
            for c in stored.summary.configurations
        }
        if min(map(len, repeats.values())) < 2 * N_FOLDS:
            continue
        for weights in ("average", "last"):
            scores, _, _ = gather_evidence(repeats, found.record.score, stored.runs, weights)
            space = found.record.space.name
            yield {"space": space, "sweep": found.name, "weights": weights, "scores": dict(scores)}


def row(sweep: dict[str, object]) -> dict[str, object]:
    """Return how often values that are worse by this many points are called worse."""
    scores = np.array(list(sweep["scores"].values()))
    scores = scores - scores.mean(axis=1, keepdims=True) + 0.9
    pairs = np.array(list(combinations(range(len(scores)), 2)))
    sets = _sets(scores.shape[1])
    found = {}
    for points in POINTS:
        called, false = [], []
        for worse in range(len(scores) if points else 1):
            moved = scores.copy()
            moved[worse] -= points / 100
            tests = paired_tests(
                moved[:, sets].transpose(1, 0, 2),
                pairs,
                level=0.95,
                share=1 / N_FOLDS,
                step=1 / N_VALIDATION,
            )
            is_of_worse = (pairs == worse).any(axis=1) & (points > 0)
            called += list(tests.is_real[:, is_of_worse].ravel())
            false += list(tests.is_real[:, ~is_of_worse].any(axis=1))
        found[points] = {
            "power": float(np.mean(called)) if called else None,
            "false": float(np.mean(false)),
        }
    differences = scores[pairs[:, 1]] - scores[pairs[:, 0]]
    return {
        **{key: sweep[key] for key in ("space", "sweep", "weights")},
        "n_repeats": scores.shape[1],
        "n_sets": len(sets),
        "spread": float(np.sqrt(differences.var(axis=1, ddof=1).mean())),
        "by_points": found,
    }


def _sets(n_repeats: int) -> NDArray[np.intp]:
    """Return sets of five repeats, one of each fold: repeat i is of fold i mod 5."""
    of_folds = [range(fold, n_repeats, N_FOLDS) for fold in range(N_FOLDS)]
    every = np.array(list(product(*of_folds)))
    if len(every) > MOST:
        every = np.random.default_rng(0).permutation(every)[:MOST]
    return every


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--storage")
    storage = parser.parse_args().storage
    if storage:
        SCORES.write_text(json.dumps(list(read_scores(storage)), indent=1) + "\n")
    rows = [row(sweep) for sweep in json.loads(SCORES.read_text())]
    document = {
        "command": "python -m benchmarks.sweep_power",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "sweeps": rows,
    }
    (RESULTS / "sweep_power.json").write_text(json.dumps(document, indent=1) + "\n")
    for one in rows:
        shown = [f"{one['space']} {one['sweep']}", one["weights"], f"{100 * one['spread']:.2f}"]
        for points, by in one["by_points"].items():
            shown.append(f"{100 * by['power' if points else 'false']:.1f}")
        print(f"| {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
