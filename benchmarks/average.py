"""The cost of averaging weights: epochs with and without it, in turns, in one run.

    python -m benchmarks.average --json benchmarks/results/average.json

The images are noise, as many as in a fold of the README's X-rays. Times are processor times, and
ratios are computed within a pair of epochs.
"""

import argparse
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.machine import describe_machine, spread
from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, TrainingData
from hpo.training import cohort
from hpo.training.device import choose
from hpo.training.stack import open_stack

N_LANES: Final = 4
N_TRAIN, N_VALIDATION, N_TEST = 1600, 400, 400
SETTINGS: Final[tuple[dict[str, Any], ...]] = (
    {"image_size": 256},
    {"image_size": 64},
    {"image_size": 256, "hidden": [512, 256, 256]},
    {"image_size": 256, "batch_size": 128},
    {"image_size": 256, "optimizer": "sgd"},
)


def main() -> None:
    """Time every setting and write the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    asked = parser.parse_args()
    found = {"machine": describe_machine(), "lanes": N_LANES, "precision": "auto"}
    found["ratios"] = [{**setting, **measure(setting, asked.pairs)} for setting in SETTINGS]
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n", encoding="utf-8")


def measure(setting: dict[str, Any], n_pairs: int) -> dict[str, Any]:
    """Return the time ratios of epochs with the average to epochs without it."""
    config = TrainingConfig.from_mapping(setting | {"epochs": 10_000})
    average, ratios, seconds = cohort._average, [], []
    with closing(open_stack(noise(), device=choose("cpu", "auto"))) as stack:
        for seed in range(N_LANES):
            stack.add(config, seed=seed, fold=0)
        stack.step()
        for _ in range(n_pairs):
            with_it = epoch_seconds(stack)
            cohort._average = count_step
            seconds.append(epoch_seconds(stack))
            cohort._average = average
            ratios.append(with_it / seconds[-1])
    return {"ratio": spread(ratios), "seconds_without": spread(seconds)}


def epoch_seconds(stack: Any) -> float:
    """Train an epoch of all lanes; return the processor seconds."""
    start = time.process_time()
    stack.step()
    return time.process_time() - start


def count_step(of: cohort.Cohort, index: int, *, is_last: bool) -> None:  # noqa: ARG001
    """Count a step of a lane, and average nothing."""
    of.lanes[index].n_steps += 1


def noise() -> TrainingData:
    """Return images of noise in one fold."""
    n_pool = N_TRAIN + N_VALIDATION

    def pixels(size: int) -> np.ndarray:
        shape = (n_pool + N_TEST, size, size)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    return TrainingData(
        fingerprint="noise",
        labels=(np.arange(n_pool) % 2).astype(np.uint8),
        n_test=N_TEST,
        pixels_at=pixels,
        fold=lambda _: Fold(train=np.arange(N_TRAIN), validation=np.arange(N_TRAIN, n_pool)),
    )


if __name__ == "__main__":
    main()
