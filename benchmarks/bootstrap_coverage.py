"""How often the bootstrap by patient holds the truth: plain percentiles beside BCa.

    python benchmarks/bootstrap_coverage.py

Draws test sets of patients with one to three images each, whose probabilities are known in
distribution, and counts how often the 95 % interval holds the true value. About two minutes.
"""

import json
import os
import platform
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.special import expit, ndtr

from hpo.stats import Statistic, auroc, bootstrap_by_patient, share

RESULTS = Path(__file__).parent / "results" / "bootstrap_coverage.json"
N_TESTS = 1000
N_RESAMPLES = 1000
BY_PATIENT = 0.6
BY_IMAGE = 0.8
# the classes lie so far apart: AUROC 0.91 and 0.98
DISTANCES = (1.9, 2.9)


def main() -> None:
    rows = [_row(d, n) for d in DISTANCES for n in (100, 400)]
    document = {
        "command": "python benchmarks/bootstrap_coverage.py",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "n_tests": N_TESTS,
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    for row in rows:
        held = " | ".join(f"{100 * p:.1f} / {100 * b:.1f}" for p, b in row["held"].values())
        print(f"| {row['auroc']:.2f} | {row['n_images']} | {held} |")


def _row(distance: float, n_images: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    truth = _truth(distance, rng)
    held = {name: np.zeros(2) for name in truth}
    for test in range(N_TESTS):
        statistics, patients = _test_set(distance, n_images, rng)
        for name, statistic in statistics.items():
            bounds = _bounds(statistic, patients, seed=test)
            held[name] += [low <= truth[name] <= high for low, high in bounds]
    shares = {name: list(count / N_TESTS) for name, count in held.items()}
    return {"auroc": truth["AUROC"], "n_images": n_images, "held": shares}


def _bounds(statistic: Statistic, patients: np.ndarray, *, seed: int) -> list[tuple[float, float]]:
    """Return the interval of plain percentiles and the BCa interval."""
    rng = np.random.default_rng(seed)
    n_patients = patients.max() + 1
    drawn = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=N_RESAMPLES)
    low, high = np.nanquantile(statistic(drawn[:, patients].astype(float)), [0.025, 0.975])
    bca = bootstrap_by_patient(statistic, patients, n=N_RESAMPLES, seed=seed)
    return [(low, high), (low, high) if bca.low is None else (bca.low, bca.high)]


def _test_set(
    distance: float, n_images: int, rng: np.random.Generator
) -> tuple[dict[str, Statistic], np.ndarray]:
    """Draw patients with 1 to 3 images, half of them positive; the threshold is set too low."""
    n_patients = n_images // 2
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 4, n_patients))
    labels = patients % 2
    value = BY_PATIENT * rng.standard_normal(n_patients)[patients]
    value += BY_IMAGE * rng.standard_normal(len(patients)) + distance * (labels - 0.5)
    is_right = (value > -0.3) == labels
    statistics = {
        "AUROC": auroc(labels, value),
        "sensitivity": share(is_right, among=labels == 1),
        "accuracy": share(is_right),
        "Brier score": share((expit(2 * value) - labels) ** 2),
    }
    return statistics, patients


def _truth(distance: float, rng: np.random.Generator) -> dict[str, float]:
    sensitivity, specificity = ndtr(distance / 2 + 0.3), ndtr(distance / 2 - 0.3)
    value = rng.standard_normal(4_000_000) + distance / 2
    return {
        "AUROC": float(ndtr(distance / np.sqrt(2))),
        "sensitivity": float(sensitivity),
        "accuracy": float((sensitivity + specificity) / 2),
        "Brier score": float(np.mean(expit(-2 * value) ** 2)),
    }


if __name__ == "__main__":
    main()
