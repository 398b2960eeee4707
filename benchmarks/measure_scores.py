"""Measure realistic scores of sweeps: many repeats of three configurations on real images.

    python benchmarks/measure_scores.py ../shared/data/chest_xray

Each of 20 folds (four draws of five) is trained with 8 seeds, at 64 x 64 pixels. The result is the
number of correct answers on the validation images of the fold, `right` `(folds, seeds)`. power.py
draws sweeps from them. Takes about half an hour on one core.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData, seal
from hpo.data.source import open_data
from hpo.training.device import Device
from hpo.training.stack import open_stack

RESULTS = Path(__file__).parent / "results" / "measured_scores.json"
N_FOLDS = 20
N_SEEDS = 8
CPU = Device("cpu", "fp32")

CONFIGURATIONS = {
    "constant learning rate": TrainingConfig(image_size=64, epochs=30),
    "cosine schedule": TrainingConfig(image_size=64, epochs=30, scheduler="cosine"),
    "sometimes collapses": TrainingConfig(
        image_size=64,
        epochs=15,
        batch_norm=False,
        dropout=0.2,
        optimizer="sgd",
        learning_rate=0.025,
    ),
}


def main(path: str) -> None:
    data = seal(open_data(Path(path)))
    document = {
        "command": "python benchmarks/measure_scores.py " + Path(path).name,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "n_validation": [len(data.fold(fold).validation) for fold in range(N_FOLDS)],
        "n_train": [len(data.fold(fold).train) for fold in range(N_FOLDS)],
        "configurations": {},
    }
    for name, config in CONFIGURATIONS.items():
        start = time.perf_counter()
        right = [
            [_n_right(data, config, fold, seed) for seed in range(N_SEEDS)]
            for fold in range(N_FOLDS)
        ]
        document["configurations"][name] = {"config": config.active_fields(), "right": right}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(document) + "\n")
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


def _n_right(data: TrainingData, config: TrainingConfig, fold: int, seed: int) -> int:
    """Train repeat `fold` with a seed that no other fold has."""
    stack = open_stack(data, device=CPU)
    lane = stack.add(config, seed=1000 * fold + seed, fold=fold)
    while stack.lanes:
        stack.step()
    accuracy = stack.result(lane).run.epochs[-1].validation["accuracy"]
    return round(accuracy * len(data.fold(fold).validation))


if __name__ == "__main__":
    main(sys.argv[1])
