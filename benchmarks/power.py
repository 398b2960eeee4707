"""The false claim rate and the power of verdicts.

    python -m benchmarks.power

Simulates sweeps image by image, draws others from measured scores, and judges both with
`hpo.stats.paired` like `compare_sweep`, and with the test of version 0.1 on the same scores.
Writes results/power.json; docs/verdicts.md has its tables. A quarter of an hour on two cores.
"""

import json
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

from hpo.stats import ScoreKind, compare_sweep
from hpo.stats.images import image_variance
from hpo.stats.paired import PairedTests, paired_tests

Floats = NDArray[np.float64]

RESULTS = Path(__file__).parent / "results"
LEVEL = 0.95
ACCURACY = 0.95
N_FOLDS = 5
MAX_REPEATS = 40
REPEATS = (2, 3, 5, 10, 20, 40)
N_SWEEPS = 2_000
MARGIN = 0.01


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Sweeps of values with the same expected accuracy.

    An image is answered correctly if a sum of normal terms is above a threshold. The terms, by
    their shares of the variance: the image is hard for all values; it is hard for this value
    (`value_on_image`); this repeat went badly (`repeat`); chance. A share `shared` of the repeat's
    term is common to all repeats of a value, as they share training images. With `tail` the term
    of the repeat is never good and has the tail of Student's t with that many degrees. `noisy`
    multiplies the variance of the first value's term. `collapse` is the chance that a repeat gives
    all images the same answer, `fail` that it has no score. With `by_patient` images come in pairs
    that are equally hard. `is_known` says that the judge sees the answers, not only the scores.
    """

    name: str
    n_values: int = 3
    n_validation: int = 400
    is_fixed: bool = False
    image: float = 0.6
    value_on_image: float = 0.02
    repeat: float = 0.02
    shared: float = 0.0
    tail: int = 0
    noisy: float = 1.0
    collapse: float = 0.0
    fail: float = 0.0
    by_patient: bool = False
    is_known: bool = True
    measured: str = ""

    @property
    def n_images(self) -> int:
        return self.n_validation * (1 if self.is_fixed else N_FOLDS)

    @property
    def pairs(self) -> NDArray[np.intp]:
        return np.array(list(combinations(range(self.n_values), 2)))


FOLDS = Scenario(name="five folds of 400 images")
FIXED = replace(FOLDS, name="the same 400 validation images", is_fixed=True)
STEADY = replace(FOLDS, name="folds of 400, steady repeats", image=0.8, repeat=0.001)
WITHOUT_DIFFERENCE = (
    FOLDS,
    replace(FOLDS, name="scores alone", is_known=False),
    replace(FOLDS, name="two values", n_values=2),
    replace(FOLDS, name="five values", n_values=5),
    replace(FOLDS, name="nine values", n_values=9),
    replace(FOLDS, name="five folds of 80 images", n_validation=80),
    replace(FOLDS, name="five folds of 16 images", n_validation=16),
    replace(FOLDS, name="noisy repeats", repeat=0.2),
    STEADY,
    replace(STEADY, name="steady, own hard images", value_on_image=0.1),
    replace(STEADY, name="steady, two images a patient", value_on_image=0.1, by_patient=True),
    replace(STEADY, name="steady, scores alone", is_known=False),
    replace(FOLDS, name="heavy tail", repeat=0.05, tail=2),
    replace(FOLDS, name="one value 6 times as noisy", repeat=0.02, noisy=6),
    replace(FOLDS, name="one of five values 6 times as noisy", repeat=0.02, noisy=6, n_values=5),
    replace(FOLDS, name="one value a 25th as noisy", repeat=0.2, noisy=0.04),
    replace(FOLDS, name="1 in 10 fails", fail=0.1),
    replace(FOLDS, name="1 in 20 collapses", collapse=0.05),
    replace(FOLDS, name="folds of 80, 1 in 20 collapses", collapse=0.05, n_validation=80),
    replace(FOLDS, name="1 in 5 collapses", collapse=0.2),
    replace(FOLDS, name="half of them collapse", collapse=0.5),
    FIXED,
    replace(FIXED, name="the same 400, nine values", n_values=9),
    replace(FIXED, name="the same 80 validation images", n_validation=80),
    replace(FIXED, name="the same 16 validation images", n_validation=16),
    replace(FIXED, name="the same 400, own hard images", value_on_image=0.1),
    replace(FIXED, name="the same 400, steady values", image=0.95, repeat=0.002),
    replace(FIXED, name="the same 400, heavy tail", repeat=0.05, tail=2),
    replace(FIXED, name="the same 400, 1 in 10 collapses", collapse=0.1),
    replace(FOLDS, name="measured, constant learning rate", measured="constant learning rate"),
    replace(FOLDS, name="measured, cosine schedule", measured="cosine schedule"),
    replace(FOLDS, name="measured, sometimes collapses", measured="sometimes collapses"),
)
BEYOND = (
    replace(FOLDS, name="one value 25 times as noisy", repeat=0.01, noisy=25),
    replace(FOLDS, name="one of five values 25 times as noisy", repeat=0.01, noisy=25, n_values=5),
    replace(FOLDS, name="noisy repeats that share 5 %", repeat=0.2, shared=0.05),
    replace(FOLDS, name="noisy repeats that share 30 %", repeat=0.2, shared=0.3),
    replace(FIXED, name="the same 400, scores alone, overlap 0", is_known=False),
    replace(
        FIXED,
        name="the same 400, steady, scores alone, overlap 0",
        image=0.95,
        repeat=0.002,
        is_known=False,
    ),
)
WITH_DIFFERENCE = (
    STEADY,
    replace(STEADY, name="steady, scores alone", is_known=False),
    replace(STEADY, name="steady, five values", n_values=5),
    FOLDS,
    replace(FOLDS, name="five folds of 80 images", n_validation=80),
    replace(FOLDS, name="noisy repeats", repeat=0.2),
    replace(FOLDS, name="1 in 20 collapses", collapse=0.05),
    FIXED,
    replace(FOLDS, name="measured, constant learning rate", measured="constant learning rate"),
    replace(FOLDS, name="measured, cosine schedule", measured="cosine schedule"),
)


@dataclass(frozen=True)
class Sweeps:
    """Scores `(sweeps, values, repeats)`, and per number of repeats the variance due to images."""

    scores: Floats
    images: dict[int, tuple[np.ndarray, np.ndarray]]


def simulate(scenario: Scenario, *, n_sweeps: int, worse_by: float = 0.0, seed: int = 0) -> Sweeps:
    """Return sweeps in which the first value is worse by this much."""
    rng = np.random.default_rng(seed)
    if scenario.measured:
        return Sweeps(_measured(scenario, n_sweeps, worse_by, rng), {})
    scores, images = [], {n: [] for n in REPEATS if n <= MAX_REPEATS}
    for _ in range(n_sweeps):
        right, patients = _answers(scenario, worse_by, rng)
        scores.append(np.nanmean(right, axis=-1))
        if scenario.fail:
            scores[-1][rng.random(scores[-1].shape) < scenario.fail] = np.nan
        if scenario.is_known:
            for n, found in images.items():
                found.append(image_variance(right[:, :n], scenario.pairs, patients))
    stacked = {
        n: (
            np.array([persistent for persistent, _ in found]),
            np.array([sampled for _, sampled in found]),
        )
        for n, found in images.items()
        if found
    }
    return Sweeps(np.array(scores), stacked)


def _answers(
    scenario: Scenario, worse_by: float, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.intp]]:
    """Return `(values, repeats, images)` of one sweep, NaN for other images."""
    k, n_images = scenario.n_values, scenario.n_images
    chance = 1 - scenario.image - scenario.value_on_image - scenario.repeat
    patients = np.arange(n_images) // (2 if scenario.by_patient else 1)
    n_patients = patients[-1] + 1
    ease = ndtri(ACCURACY) + _normal((1, n_patients), scenario.image, rng)[:, patients]
    ease = ease + _normal((k, n_patients), scenario.value_on_image, rng)[:, patients]
    repeats = np.repeat([[scenario.repeat]], k, axis=0)
    repeats[0] *= scenario.noisy
    luck = np.sqrt(repeats) * _luck(scenario, rng)
    # A noisier value would be worse on average: its threshold moves as far.
    scale = np.sqrt(1 - scenario.repeat + repeats)
    ease = ease + ndtri(ACCURACY) * (scale - 1)
    right = np.full((k, MAX_REPEATS, n_images), np.nan)
    folds = [np.arange(n_images)]
    for repeat in range(MAX_REPEATS):
        if not scenario.is_fixed and repeat % N_FOLDS == 0:
            of_patients = np.split(rng.permutation(n_patients), N_FOLDS)
            folds = [np.flatnonzero(np.isin(patients, some)) for some in of_patients]
        images = folds[repeat % len(folds)]
        noise = _normal((k, len(images)), chance, rng)
        answers = ease[:, images] + luck[:, repeat, None] + noise > 0
        answers[0] &= rng.random(len(images)) >= worse_by / ACCURACY
        if scenario.collapse:
            # One answer for all: correct for one half of the images.
            is_lost = rng.random(k) < scenario.collapse
            answers[is_lost] = images % 2 == rng.integers(2)
        right[:, repeat, images] = answers
    return right, patients


def _luck(scenario: Scenario, rng: np.random.Generator) -> Floats:
    """Return the quality of each repeat, `(values, repeats)`, with variance 1."""
    shape = (scenario.n_values, MAX_REPEATS)
    common = rng.standard_normal((scenario.n_values, 1))
    own = (
        -np.abs(rng.standard_t(scenario.tail, shape)) if scenario.tail else rng.normal(size=shape)
    )
    return np.sqrt(scenario.shared) * common + np.sqrt(1 - scenario.shared) * own


def _normal(shape: tuple[int, ...], variance: float, rng: np.random.Generator) -> Floats:
    return rng.standard_normal(shape) * np.sqrt(variance)


def _measured(scenario: Scenario, size: int, worse_by: float, rng: np.random.Generator) -> Floats:
    """Draw repeat i of the values from the trainings of fold i: different seeds."""
    document = json.loads((RESULTS / "measured_scores.json").read_text())
    right = np.array(document["configurations"][scenario.measured]["right"], dtype=np.float64)
    draws = rng.random((size, *right.shape)).argsort(axis=-1)[:, :, : scenario.n_values]
    n_right = np.take_along_axis(right[None], draws, axis=-1).transpose(0, 2, 1)
    if worse_by:
        share = worse_by * scenario.n_validation / n_right[:, 0].mean()
        n_right[:, 0] -= rng.binomial(n_right[:, 0].astype(np.int64), share)
    return n_right / scenario.n_validation


def claims(sweeps: Sweeps, scenario: Scenario, n: int) -> tuple[Floats, PairedTests]:
    """Return which pairs are reported as different after n repeats, and all results."""
    share = 0.0 if scenario.is_fixed else 1 / N_FOLDS
    found = paired_tests(
        sweeps.scores[:, :, :n],
        scenario.pairs,
        level=LEVEL,
        share=share,
        images=sweeps.images.get(n),
        step=1 / scenario.n_validation,
        margin=MARGIN,
    )
    return found.is_real * np.sign(np.nan_to_num(found.difference)), found


def claims_before(sweeps: Sweeps, scenario: Scenario, n: int) -> Floats:
    """Return which pairs version 0.1 reported as different: t on each pair alone, after Nadeau and
    Bengio, with Holm's correction, and the largest deviation of the sweep at three repeats."""
    overlap = 0.0 if scenario.is_fixed else 0.25
    values = sweeps.scores[:, :, :n]
    differences = values[:, scenario.pairs[:, 1]] - values[:, scenario.pairs[:, 0]]
    count = np.maximum(np.isfinite(differences).sum(axis=-1), 2)
    is_there = np.isfinite(differences).any(axis=-1)
    mean = np.where(is_there, np.nansum(differences, axis=-1) / count, np.nan)
    variance = np.nansum((differences - mean[..., None]) ** 2, axis=-1) / (count - 1)
    step = np.where(count == 2, np.maximum(np.abs(mean), 1 / scenario.n_validation), 0)
    variance = np.maximum(variance, np.maximum(step, 1 / scenario.n_validation) ** 2 / 2)
    if n <= 3:
        variance = variance.max(axis=-1, keepdims=True)
    t = np.abs(mean) / np.sqrt(variance * (1 / count + overlap))
    p = 2 * stdtr(count - 1, -t)
    order = p.argsort(axis=-1)
    left = p.shape[-1] - np.arange(p.shape[-1])
    corrected = np.maximum.accumulate(np.take_along_axis(p, order, -1) * left, axis=-1)
    is_real = np.take_along_axis(corrected <= 1 - LEVEL, order.argsort(axis=-1), -1)
    return is_real * np.sign(np.nan_to_num(mean))


def row_without(scenario: Scenario) -> dict[str, object]:
    """Return the share of sweeps with any false claim, and that of pairs reported as equal."""
    start = time.perf_counter()
    sweeps = simulate(scenario, n_sweeps=N_SWEEPS)
    counts = [n for n in REPEATS if n <= sweeps.scores.shape[-1]]
    now, before, same = {}, {}, {}
    for n in counts:
        called, found = claims(sweeps, scenario, n)
        now[n] = float((called != 0).any(-1).mean())
        same[n] = float((found.bound <= MARGIN).mean())
        before[n] = float((claims_before(sweeps, scenario, n) != 0).any(-1).mean())
    spread = float(np.nanstd(sweeps.scores[:, 1] - sweeps.scores[:, 0], axis=-1).mean())
    seconds = round(time.perf_counter() - start)
    return {
        "scenario": scenario.name,
        "spread": spread,
        "now": now,
        "before": before,
        "same": same,
        "seconds": seconds,
    }


def row_with(scenario: Scenario, points: float) -> dict[str, object]:
    """Return how often the first value is reported as worse, and how often a claim is false."""
    sweeps = simulate(scenario, n_sweeps=N_SWEEPS // 2, worse_by=points / 100, seed=1)
    counts = [n for n in REPEATS if n <= sweeps.scores.shape[-1]]
    is_of_first = scenario.pairs[:, 0] == 0
    now, before, false, false_same, half = {}, {}, {}, {}, {}
    for n in counts:
        called, found = claims(sweeps, scenario, n)
        now[n] = float((called[:, is_of_first] > 0).mean())
        false[n] = float((called[:, ~is_of_first] != 0).any(-1).mean())
        false_same[n] = float((found.bound[:, is_of_first] <= MARGIN).any(-1).mean())
        half[n] = float(np.median((found.high - found.low) / 2))
        before[n] = float((claims_before(sweeps, scenario, n)[:, is_of_first] > 0).mean())
    return {
        "scenario": scenario.name,
        "points": points,
        "now": now,
        "before": before,
        "false": false,
        "false_same": false_same,
        "half_width": half,
    }


def span_row(spread: float, apart: float, n_values: int) -> dict[str, object]:
    """Return how often the repeats that a sweep needs are in the range predicted after five.

    For pairs that are undecided after five repeats; each continues to 200.
    """
    rng = np.random.default_rng(int(1e4 * (spread + apart)) + n_values)
    kind = ScoreKind()
    n_in, n_open, n_said = 0, 0, 0
    looks = [*range(10, 50, 5), *range(50, 100, 10), *range(100, 201, 25)]
    for _ in range(500 // n_values):
        scores = 0.9 + spread / np.sqrt(2) * rng.standard_normal((n_values, 200))
        scores[0] -= apart
        first = compare_sweep({i: list(s[:5]) for i, s in enumerate(scores)}, kind=kind)
        said = {(p.a, p.b): p.repeats for p in first.pairs if p.repeats}
        ends = dict.fromkeys(said, 201)
        for n in looks:
            if not (left := [pair for pair, end in ends.items() if end == 201]):
                break
            found = compare_sweep({i: list(s[:n]) for i, s in enumerate(scores)}, kind=kind)
            answers = {(p.a, p.b): p.answer for p in found.pairs}
            for pair in left:
                if answers[pair] != "undecided":
                    ends[pair] = n
        for pair, (low, high) in said.items():
            n_said += 1
            n_open += high is None
            n_in += low <= ends[pair] <= (high or 10_000)
    return {
        "spread": spread,
        "apart": apart,
        "n_values": n_values,
        "n": n_said,
        "in_range": n_in / n_said if n_said else None,
        "without_end": n_open / n_said if n_said else None,
    }


def main() -> None:
    start = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        without = list(pool.map(row_without, WITHOUT_DIFFERENCE))
        beyond = list(pool.map(row_without, BEYOND))
        with_difference = [(s, points) for s in WITH_DIFFERENCE for points in (1, 2, 4)]
        found = list(pool.map(row_with, *zip(*with_difference, strict=True)))
        spans = [(s, d, k) for k in (2, 3) for s in (0.005, 0.01, 0.02) for d in (0, 0.005, 0.02)]
        said = list(pool.map(span_row, *zip(*spans, strict=True)))
    document = {
        "command": "python -m benchmarks.power",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "n_sweeps": N_SWEEPS,
        "without_difference": without,
        "beyond": beyond,
        "with_difference": found,
        "repeats_to_decide": said,
        "seconds": round(time.perf_counter() - start),
    }
    (RESULTS / "power.json").write_text(json.dumps(document, indent=1) + "\n")
    for rows in (without, beyond, found):
        for row in rows:
            name = f"{row['scenario']} | {row.get('points', 100 * row.get('spread', 0)):.1f}"
            figures = zip(*(row[k].values() for k in ("before", "now")), strict=True)
            shown = [f"{100 * b:.1f} / {100 * a:.1f}" for b, a in figures]
            print(f"| {name} | {' | '.join(shown)} |")
            others = row.get("same") or row["false_same"]
            print(f"  the same: {' | '.join(f'{100 * share:.1f}' for share in others.values())}")
    for row in said:
        print(row)


if __name__ == "__main__":
    main()
