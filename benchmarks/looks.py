"""The rate of false claims in sweeps of equal values if repeats are added after each look.

    python -m benchmarks.looks

Draws paired scores of two equal values and applies the test of pairs at every look of a plan,
until it decides. Ten seconds.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.machine import describe_machine
from hpo.stats import level_of_looks
from hpo.stats.paired import paired_tests

RESULTS: Final = Path(__file__).parent / "results" / "looks.json"
N_SWEEPS: Final = 20_000
DEVIATION: Final = 0.02
MARGIN: Final = 0.01
FOUR: Final = [(n, level_of_looks(4)) for n in (5, 10, 15, 20)]
EIGHT: Final = [(n, level_of_looks(8)) for n in range(5, 45, 5)]
PLANS: Final = {
    "--until-decided, 4 looks up to 20": FOUR,
    "--until-decided, 8 looks up to 40": EIGHT,
    "--until-decided up to 20, then --max-repeats 40": FOUR + EIGHT[3:],
    "--repeats 5, then --until-decided": [(5, 0.95), *FOUR],
    "--repeats 5, then 15": [(5, 0.95), (15, 0.95)],
    "--repeats 5, 10, 15, 20": [(n, 0.95) for n in (5, 10, 15, 20)],
}


def n_false(scores: np.ndarray, plan: list[tuple[int, float]], share: float) -> int:
    """Return how many sweeps `(sweeps, 2, repeats)` report a difference at some look."""
    is_open, is_false = np.ones(len(scores), bool), np.zeros(len(scores), bool)
    for n, level in plan:
        found = paired_tests(
            scores[..., :n], np.array([[0, 1]]), level=level, share=share, margin=MARGIN
        )
        is_real = found.is_real[:, 0]
        is_false |= is_open & is_real
        is_open &= ~(is_real | (found.bound[:, 0] <= MARGIN))
    return int(is_false.sum())


def main() -> None:
    scores = np.random.default_rng(1).normal(0, DEVIATION / np.sqrt(2), (N_SWEEPS, 2, 40))
    rows = [
        {
            "plan": name,
            "share": share,
            "false_percent": 100 * n_false(scores, plan, share) / N_SWEEPS,
        }
        for share in (0.0, 0.2)
        for name, plan in PLANS.items()
    ]
    document = {"what": __doc__, "machine": describe_machine(), "n_sweeps": N_SWEEPS}
    RESULTS.write_text(json.dumps(document | {"plans": rows}, indent=1) + "\n")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
