"""The false claim rate of learning-curve comparisons.

    python benchmarks/claims_null.py

Draws the repeats of equal configurations from distributions like those measured on real curves
(epochs that are few, tied or censored; fluctuations that are skewed; rises that are often 0) and
counts sweeps with any pair reported as different. Under a minute.
"""

import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpo.stats import ScoreKind, compare_sweep

RESULTS = Path(__file__).parent / "results" / "claims_null.json"
N_SWEEPS = 2000
OVERLAP = 0.25
KIND = ScoreKind("minimize", is_share=False)

RNG = np.random.default_rng(0)
Floats = np.ndarray
DRAWS: dict[str, Callable[[Floats, int], Floats]] = {
    "epochs to an accuracy, up to 20": lambda fold, n: np.minimum(
        fold + RNG.geometric(0.3, n), 20
    ),
    "epochs to an accuracy, 2 to 4": lambda _, n: RNG.integers(2, 5, n),
    "epochs to an accuracy, 7 of 10 never": lambda _, n: np.where(
        RNG.random(n) < 0.7, 20, RNG.integers(3, 20, n)
    ),
    "fluctuation": lambda _, n: 0.01 * np.exp(0.6 * RNG.standard_normal(n)),
    "rise of the loss": lambda _, n: np.where(
        RNG.random(n) < 0.4, 0, 0.03 * np.exp(RNG.standard_normal(n))
    ),
    "gap": lambda fold, n: 0.01 * fold + 0.005 * RNG.standard_normal(n),
}


def main() -> None:
    rows = [
        {"claim": name, "n_values": n_values, "n_repeats": n, "claimed": _rate(draw, n_values, n)}
        for name, draw in DRAWS.items()
        for n_values in (2, 3)
        for n in (2, 3, 5, 10)
    ]
    document = {
        "command": "python benchmarks/claims_null.py",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "n_sweeps": N_SWEEPS,
        "overlap": OVERLAP,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    for row in rows:
        print(row)


def _rate(draw: Callable[[Floats, int], Floats], n_values: int, n_repeats: int) -> float:
    n_claimed = 0
    for _ in range(N_SWEEPS):
        fold = RNG.integers(0, 4, n_repeats)
        sweep = {value: list(draw(fold, n_repeats).astype(float)) for value in range(n_values)}
        pairs = compare_sweep(sweep, overlap=OVERLAP, kind=KIND).pairs
        n_claimed += any(pair.is_real for pair in pairs)
    return n_claimed / N_SWEEPS


if __name__ == "__main__":
    main()
