"""How often a verdict claims what is not there, and how often it finds what is.

    python benchmarks/power.py

Simulates sweeps of three values image by image, draws others from measured scores, and judges both
with the arithmetic of `compare_sweep`. Writes results/power.json; docs/verdicts.md has its tables.
About three minutes on one core.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hpo.stats.paired import PairedTests, paired_tests

Floats = NDArray[np.float64]

RESULTS = Path(__file__).parent / "results"
LEVEL = 0.95
ACCURACY = 0.95
N_VALUES = 3
N_FOLDS = 5
MAX_REPEATS = 20
PAIRS = ((0, 1), (0, 2), (1, 2))
REPEATS = (3, 5, 10, 20)
CHUNK = 100
N_SWEEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Sweeps of three values with the same expected accuracy.

    An image is answered rightly when a sum of normal terms is above a threshold. The terms, by
    their shares of the variance: the image is hard for all values; it is hard for this value
    (`value_on_image`); this repeat went badly (`repeat`); chance. Of the term of the repeat a
    share `shared` is common to all repeats of a value, as they share most training images: the
    correlation that Nadeau and Bengio assume is n_validation / (n_validation + n_train), 0.2.
    With `tail` the term of the repeat is never good and has the tail of Student's t with so many
    degrees. `collapse` is the chance that a repeat ends at 0.5, `fail` that it has no score.
    """

    name: str
    overlap: float = 0.25
    n_validation: int = 400
    is_fixed: bool = False
    image: float = 0.6
    value_on_image: float = 0.05
    repeat: float = 0.02
    shared: float = 0.2
    tail: int = 0
    collapse: float = 0.0
    fail: float = 0.0
    is_gaussian: bool = False
    measured: str = ""


FOLDS = Scenario(name="five folds of 400 images")
FIXED = Scenario(
    name="the same 400 validation images",
    overlap=0.0,
    is_fixed=True,
    value_on_image=0.0,
    shared=0.0,
)
WITHOUT_DIFFERENCE = (
    replace(FOLDS, name="normal scores, not counted", is_gaussian=True),
    FOLDS,
    replace(FOLDS, name="five folds of 80 images", n_validation=80),
    replace(FOLDS, name="folds of 400, noisy repeats", repeat=0.2),
    replace(FOLDS, name="folds of 400, noisy repeats that share 30 %", repeat=0.2, shared=0.3),
    replace(FOLDS, name="folds of 400, heavy tail", repeat=0.05, tail=2),
    replace(FOLDS, name="folds of 400, 1 in 10 fails", fail=0.1),
    replace(FOLDS, name="folds of 400, 1 in 20 collapses", collapse=0.05),
    replace(FOLDS, name="folds of 80, 1 in 20 collapses", collapse=0.05, n_validation=80),
    replace(FOLDS, name="folds of 400, 1 in 5 collapses", collapse=0.2),
    FIXED,
    replace(FIXED, name="the same 80 validation images", n_validation=80),
    replace(FIXED, name="the same 400, steady values", image=0.97, repeat=0.002),
    replace(FIXED, name="the same 80, steady values", image=0.97, repeat=0.002, n_validation=80),
    replace(FIXED, name="the same 400, heavy tail", repeat=0.05, tail=2),
    replace(FIXED, name="the same 400, 1 in 10 collapses", collapse=0.1),
    replace(FOLDS, name="measured, constant learning rate", measured="constant learning rate"),
    replace(FOLDS, name="measured, cosine schedule", measured="cosine schedule"),
    replace(FOLDS, name="measured, sometimes collapses", measured="sometimes collapses"),
)
BEYOND = (
    replace(FIXED, name="the same 400, 3 in 10 collapse", collapse=0.3),
    replace(FIXED, name="the same 400, half of them collapse", collapse=0.5),
    replace(FOLDS, name="folds of 400, judged with overlap 0", overlap=0.0),
    replace(
        FOLDS, name="noisy folds that share 30 %, overlap 0", repeat=0.2, shared=0.3, overlap=0
    ),
    replace(FIXED, name="the same 400, claims on other images", value_on_image=0.05, shared=0.2),
)
WITH_DIFFERENCE = (
    FOLDS,
    replace(FOLDS, name="five folds of 80 images", n_validation=80),
    replace(
        FOLDS, name="folds of 400, steady repeats", image=0.8, value_on_image=0.02, repeat=0.005
    ),
    replace(FOLDS, name="folds of 400, heavy tail", repeat=0.05, tail=2),
    replace(FOLDS, name="folds of 400, 1 in 20 collapses", collapse=0.05),
    FIXED,
    replace(FIXED, name="the same 400, steady values", image=0.97, repeat=0.002),
    replace(FOLDS, name="measured, constant learning rate", measured="constant learning rate"),
    replace(FOLDS, name="measured, cosine schedule", measured="cosine schedule"),
)


def simulate(scenario: Scenario, *, n_sweeps: int, worse_by: float = 0.0, seed: int = 0) -> Floats:
    """Return scores `(sweeps, values, repeats)`; the first value is worse by so much."""
    rng = np.random.default_rng(seed)
    chunks = [_chunk(scenario, size, rng) for size in _sizes(n_sweeps)]
    n_right = np.concatenate(chunks)
    if worse_by:
        n_right[:, 0] -= _turned_wrong(n_right[:, 0], scenario, worse_by, rng)
    if scenario.collapse:
        is_lost = rng.random(n_right.shape) < scenario.collapse
        n_right[is_lost] = scenario.n_validation / 2
    if scenario.fail:
        n_right[rng.random(n_right.shape) < scenario.fail] = np.nan
    return n_right / scenario.n_validation


def judge(scores: Floats, scenario: Scenario, *, n_repeats: int) -> PairedTests:
    """Judge the first repeats of each sweep as `compare_sweep` does."""
    values = scores[:, :, :n_repeats].swapaxes(0, 1)
    differences = np.stack([values[b] - values[a] for a, b in PAIRS], axis=1)
    resolution = 0.0 if scenario.is_gaussian else 1 / scenario.n_validation
    return paired_tests(differences, overlap=scenario.overlap, level=LEVEL, resolution=resolution)


def error_rates(scenario: Scenario, *, n_sweeps: int, seed: int = 0) -> dict[int, float]:
    """Return for each number of repeats the share of sweeps with any claim."""
    scores = simulate(scenario, n_sweeps=n_sweeps, seed=seed)
    return {n: float(judge(scores, scenario, n_repeats=n).is_real.any(-1).mean()) for n in REPEATS}


def spread_of_differences(scenario: Scenario) -> float:
    """Return the standard deviation of paired differences over sweeps and repeats."""
    scores = simulate(scenario, n_sweeps=500)
    return float(np.nanstd(scores[:, 1] - scores[:, 0]))


def powers(scenario: Scenario, *, worse_by: float, n_sweeps: int) -> dict[int, float]:
    """Return for each number of repeats how often the first value is told to be worse."""
    scores = simulate(scenario, n_sweeps=n_sweeps, worse_by=worse_by)
    tests = {n: judge(scores, scenario, n_repeats=n) for n in REPEATS}
    is_right = {n: t.is_real & (t.difference > 0) for n, t in tests.items()}
    return {n: float(found[:, :2].mean()) for n, found in is_right.items()}


def partial_error_rates(scenario: Scenario, *, worse_by: float, n_sweeps: int) -> dict[int, float]:
    """Return how often the two equal values are told apart beside a third that is worse."""
    scores = simulate(scenario, n_sweeps=n_sweeps, worse_by=worse_by)
    return {n: float(judge(scores, scenario, n_repeats=n).is_real[:, 2].mean()) for n in REPEATS}


def joint_coverage(scenario: Scenario, *, worse_by: float, n_sweeps: int) -> dict[int, float]:
    """Return how often all three intervals hold the truth."""
    scores = simulate(scenario, n_sweeps=n_sweeps, worse_by=worse_by)
    truth = np.array([worse_by, worse_by, 0.0])
    tests = {n: judge(scores, scenario, n_repeats=n) for n in REPEATS}
    is_held = {n: (t.low <= truth) & (truth <= t.high) for n, t in tests.items()}
    return {n: float(held.all(-1).mean()) for n, held in is_held.items()}


def _sizes(n_sweeps: int) -> Iterator[int]:
    for start in range(0, n_sweeps, CHUNK):
        yield min(CHUNK, n_sweeps - start)


def _chunk(scenario: Scenario, size: int, rng: np.random.Generator) -> Floats:
    if scenario.measured:
        return _measured(scenario, size, rng)
    if scenario.is_gaussian:
        return scenario.n_validation * (ACCURACY + 0.02 * _luck(scenario, size, rng))
    return _counted(scenario, size, rng)


def _luck(scenario: Scenario, size: int, rng: np.random.Generator) -> Floats:
    """Return how each repeat goes, `(sweeps, values, repeats)`, with variance 1."""
    common = rng.standard_normal((size, N_VALUES, 1))
    shape = (size, N_VALUES, MAX_REPEATS)
    own = (
        -np.abs(rng.standard_t(scenario.tail, shape)) if scenario.tail else rng.normal(size=shape)
    )
    return np.sqrt(scenario.shared) * common + np.sqrt(1 - scenario.shared) * own


def _counted(scenario: Scenario, size: int, rng: np.random.Generator) -> Floats:
    """Count right answers image by image."""
    n_images = N_FOLDS * scenario.n_validation
    chance = 1 - scenario.image - scenario.value_on_image - scenario.repeat
    ease = ndtri(ACCURACY) + _normal((size, 1, n_images), scenario.image, rng)
    ease = ease + _normal((size, N_VALUES, n_images), scenario.value_on_image, rng)
    luck = (np.sqrt(scenario.repeat) * _luck(scenario, size, rng)).astype(np.float32)
    n_right = np.empty(luck.shape)
    for repeat in range(MAX_REPEATS):
        if repeat % N_FOLDS == 0:
            folds = np.split(rng.permutation(n_images), N_FOLDS)
        own = folds[repeat % N_FOLDS]
        images = np.arange(scenario.n_validation) if scenario.is_fixed else own
        noise = _normal((size, N_VALUES, len(images)), chance, rng)
        is_right = ease[:, :, images] + luck[:, :, repeat, None] + noise > 0
        n_right[:, :, repeat] = is_right.sum(axis=-1)
    return n_right


def _normal(
    shape: tuple[int, ...], variance: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(variance))


def _measured(scenario: Scenario, size: int, rng: np.random.Generator) -> Floats:
    """Draw repeat i of three values from the trainings of fold i: three different seeds."""
    document = json.loads((RESULTS / "measured_scores.json").read_text())
    right = np.array(document["configurations"][scenario.measured]["right"], dtype=np.float64)
    draws = rng.random((size, *right.shape)).argsort(axis=-1)[:, :, :N_VALUES]
    return np.take_along_axis(right[None], draws, axis=-1).transpose(0, 2, 1)


def _turned_wrong(
    n_right: Floats, scenario: Scenario, worse_by: float, rng: np.random.Generator
) -> Floats:
    """Return how many right answers go wrong, so that the mean falls by `worse_by`."""
    if scenario.is_gaussian:
        return np.full_like(n_right, worse_by * scenario.n_validation)
    share = worse_by * scenario.n_validation / n_right.mean()
    return rng.binomial(n_right.astype(np.int64), share).astype(np.float64)


def main() -> None:
    start = time.perf_counter()
    document = {
        "command": "python benchmarks/power.py",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "n_sweeps": {"error": N_SWEEPS, "error, normal scores": 10 * N_SWEEPS, "power": 2_000},
        "error": [_row(s, error_rates(s, n_sweeps=_n_sweeps(s))) for s in WITHOUT_DIFFERENCE],
        "error_beside_a_real_difference": [
            _row(s, partial_error_rates(s, worse_by=0.04, n_sweeps=N_SWEEPS))
            for s in (FOLDS, FIXED)
        ],
        "error_beyond": [_row(s, error_rates(s, n_sweeps=N_SWEEPS)) for s in BEYOND],
        "joint_coverage": [
            {"points": points, **_row(s, joint_coverage(s, worse_by=points / 100, n_sweeps=4_000))}
            for s in (FOLDS, FIXED)
            for points in (0, 1, 2, 4)
        ],
        "power": [
            {"points": points, **_row(s, powers(s, worse_by=points / 100, n_sweeps=2_000))}
            for s in WITH_DIFFERENCE
            for points in (1, 2, 4)
        ],
    }
    document["seconds"] = round(time.perf_counter() - start)
    (RESULTS / "power.json").write_text(json.dumps(document, indent=1) + "\n")
    for name, rows in document.items():
        if isinstance(rows, list):
            print(f"\n{name}\n")
            _print_table(rows)


def _n_sweeps(scenario: Scenario) -> int:
    return 10 * N_SWEEPS if scenario.is_gaussian else N_SWEEPS


def _row(scenario: Scenario, rates: dict[int, float]) -> dict[str, object]:
    spread = spread_of_differences(scenario)
    return {
        "scenario": scenario.name,
        "overlap": scenario.overlap,
        "spread": spread,
        "rates": rates,
    }


def _print_table(rows: list[dict[str, object]]) -> None:
    for row in rows:
        rates = " | ".join(f"{100 * rate:.1f}" for rate in row["rates"].values())
        points = f" {row['points']} |" if "points" in row else ""
        name = f"{row['scenario']} | {row['overlap']:g} | {100 * row['spread']:.1f}"
        print(f"| {name} |{points} {rates} |")


if __name__ == "__main__":
    main()
