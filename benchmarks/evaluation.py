"""The coverage of intervals of `hpo evaluate`, and the rate of claimed differences.

    python benchmarks/evaluation.py

Draws test sets of patients with one to three images each, and trainings whose answers share the
difficulty of an image. `steady`: repeats differ only in single answers; `shifted`: the threshold
of each repeat also differs; `collapsing`: half of the trainings also hardly learn. Counts how
often the 95 % interval contains the true mean over trainings and patients, and in how many sweeps
of three equal values any pair is reported as different. About ten minutes.
"""

import json
import os
import platform
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from hpo.evaluate.intervals import Answers, compare, draw_weights, estimate, metric_interval
from hpo.stats import Statistic, auroc, share

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
N_TESTS = 300
N_SWEEPS = 500
N_RESAMPLES = 300
N_REPEATS = (1, 2, 3, 5, 10)
N_IMAGES = (100, 400)
WORLDS = ("steady", "shifted", "collapsing")
METRICS = ("accuracy", "auroc")
DISTANCE = 1.9
COLLAPSED = 0.3
# of a test set alone, and of five folds
OVERLAPS = (0.0, 0.25)


def main() -> None:
    rng = np.random.default_rng(0)
    document = {
        "command": "python benchmarks/evaluation.py",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "n_tests": N_TESTS,
        "n_sweeps": N_SWEEPS,
        "held": [_held(world, n, rng) for world in WORLDS for n in N_IMAGES],
        "claimed": [
            _claimed(world, n, overlap, rng)
            for world in WORLDS
            for n in N_IMAGES
            for overlap in OVERLAPS
        ],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def _held(world: str, n_images: int, rng: np.random.Generator) -> dict[str, object]:
    """Return for each metric and number of repeats how often the interval contains the truth."""
    truth = _truth(world, rng)
    row: dict[str, object] = {"world": world, "n_images": n_images}
    for n_repeats in N_REPEATS:
        held = np.zeros(len(METRICS))
        for _ in range(N_TESTS):
            labels, patients, ease = _test_set(n_images, rng)
            weights = draw_weights(patients, seed=0)[: N_RESAMPLES + 1]
            answers = [_answers(world, labels, ease, rng) for _ in range(n_repeats)]
            for i, metric in enumerate(METRICS):
                columns = [_metric(metric, labels, x)(weights) for x in answers]
                draws = np.stack(columns, axis=1)
                found = estimate(draws, overlap=0.0, n_patients=len(np.unique(patients)))
                interval = metric_interval(found)
                held[i] += interval.low is not None and interval.low <= truth[i] <= interval.high
        row[f"{n_repeats} repeats"] = dict(zip(METRICS, (held / N_TESTS).round(3), strict=True))
        print(row, flush=True)
    return row


def _claimed(
    world: str, n_images: int, overlap: float, rng: np.random.Generator
) -> dict[str, object]:
    """Return for each number of repeats in how many sweeps any pair is reported as different."""
    row: dict[str, object] = {"world": world, "n_images": n_images, "overlap": overlap}
    for n_repeats in N_REPEATS[1:]:
        answers = [_sweep(world, n_images, n_repeats, rng) for _ in range(N_SWEEPS)]
        n_claims = sum(_is_claimed(*sweep, overlap=overlap) for sweep in answers)
        row[f"{n_repeats} repeats"] = n_claims / N_SWEEPS
    print(row, flush=True)
    return row


def _is_claimed(answers: dict[int, Answers], n_patients: int, *, overlap: float) -> bool:
    pairs = list(combinations(answers, 2))
    return any(p.is_real for p in compare(answers, pairs, overlap=overlap, n_patients=n_patients))


def _sweep(
    world: str, n_images: int, n_repeats: int, rng: np.random.Generator
) -> tuple[dict[int, Answers], int]:
    """Return the answers of three values between which there is no difference."""
    labels, patients, ease = _test_set(n_images, rng)
    weights = draw_weights(patients, seed=0)[: N_RESAMPLES + 1]
    answers = {}
    for value in (32, 64, 128):
        right = [(_answers(world, labels, ease, rng) > 0) == labels for _ in range(n_repeats)]
        draws = [{"accuracy": share(one)(weights)} for one in right]
        answers[value] = dict(enumerate(zip(draws, right, strict=True)))
    return answers, len(np.unique(patients))


def _test_set(
    n_images: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, patients, and the difficulty of each image for every training."""
    patients = np.repeat(np.arange(n_images), rng.integers(1, 4, n_images))[:n_images]
    ease = 0.6 * rng.standard_normal(n_images)[patients] + 0.5 * rng.standard_normal(n_images)
    return patients % 2, patients, ease


def _answers(
    world: str, labels: np.ndarray, ease: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the output of one training for each image; above 0 means pneumonia."""
    shift = 0.0 if world == "steady" else 0.5 * rng.standard_normal()
    has_collapsed = world == "collapsing" and rng.random() < 0.5
    distance = COLLAPSED if has_collapsed else DISTANCE
    return ease + 0.62 * rng.standard_normal(len(labels)) + distance * (labels - 0.5) + shift


def _metric(name: str, labels: np.ndarray, answers: np.ndarray) -> Statistic:
    return share((answers > 0) == labels) if name == "accuracy" else auroc(labels, answers)


def _truth(world: str, rng: np.random.Generator) -> np.ndarray:
    once = []
    for _ in range(1000):
        labels, _, ease = _test_set(1000, rng)
        answers = _answers(world, labels, ease, rng)
        one = np.ones((1, len(labels)))
        once.append([float(_metric(name, labels, answers)(one)[0]) for name in METRICS])
    return np.mean(once, axis=0)


if __name__ == "__main__":
    main()
