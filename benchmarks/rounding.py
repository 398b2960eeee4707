"""The effect of different rounding on a training, as for `hpo reproduce` on another machine.

    python benchmarks/rounding.py [DATA]

Trains five configurations at 64 x 64, two seeds each, in several environments on the same machine:
both precisions, and older instruction sets, which round differently. Reports after how many epochs
a number differs by more than the tolerance, and the difference in last accuracy. About ten minutes
on one core.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")


from benchmarks.machine import REAL_DATA, ROOT, describe_machine
from hpo.config import TrainingConfig
from hpo.data.dataset import seal
from hpo.data.source import open_data
from hpo.run.reproduce import TOLERANCE, differences, numbers_of
from hpo.study.score import SCORES
from hpo.training import device
from hpo.training.engine import Epoch
from hpo.training.stack import open_stack

RESULTS = Path(__file__).parent / "results" / "rounding.json"
WIDE = {"hidden": (512, 256, 256), "dropout": (0.9, 0.9, 0.8), "scheduler": "cosine"}
CONFIGS = {
    "adam 0.001": {"epochs": 20},
    "sgd 0.01": {"epochs": 20, "optimizer": "sgd", "learning_rate": 0.01},
    "sgd 0.1": {"epochs": 12, "optimizer": "sgd", "learning_rate": 0.1},
    "wide, cosine": {"epochs": 12, **WIDE},
    "no dropout": {"epochs": 12, "dropout": 0.0, "hidden": (64, 64)},
}
OLD = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
PLACES: dict[str, tuple[str, dict[str, str]]] = {
    "fp32": ("fp32", {}),
    "fp32, old instructions": ("fp32", OLD),
    "bf16": ("bf16", {}),
    "bf16, AVX2": ("bf16", AVX2),
}
PAIRS = (("fp32", "fp32, old instructions"), ("bf16", "bf16, AVX2"), ("bf16", "fp32"))


def main(data: Path) -> None:
    curves = {place: _train_there(place, data) for place in PLACES}
    rows = [_row(one, other, curves) for one, other in PAIRS]
    document = {
        "command": "python benchmarks/rounding.py",
        "machine": describe_machine(),
        "tolerance": TOLERANCE,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


def _train_there(place: str, data: Path) -> dict[str, list[dict[str, Any]]]:
    precision, settings = PLACES[place]
    done = subprocess.run(
        [sys.executable, __file__, str(data), precision],
        env=os.environ | settings,
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def _train_here(data: Path, precision: str) -> dict[str, list[dict[str, Any]]]:
    sealed = seal(open_data(data))
    curves = {}
    for name, fields in CONFIGS.items():
        for seed in range(2):
            stack = open_stack(sealed, device=device.choose("cpu", precision))
            config = TrainingConfig.from_mapping({"image_size": 64, **fields})
            lane = stack.add(config, seed=seed, fold=seed)
            while stack.lanes:
                stack.step()
            curves[f"{name}, seed {seed}"] = [asdict(e) for e in stack.result(lane).run.epochs]
    return curves


def _row(one: str, other: str, curves: dict[str, dict[str, list[dict[str, Any]]]]) -> Any:
    begins, apart = {}, {}
    for name in curves[one]:
        a, b = (
            numbers_of([Epoch(**e) for e in curves[p][name]], None, SCORES["accuracy"])
            for p in (one, other)
        )
        found = next((d for d in differences(a, b) if not d.is_rounding), None)
        begins[name] = found.epoch if found else None
        last = (curves[p][name][-1]["validation"]["accuracy"] for p in (one, other))
        apart[name] = round(100 * abs(next(last) - next(last)), 2)
    return {"pair": [one, other], "begins_in_epoch": begins, "last_accuracy_apart": apart}


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else REAL_DATA
    if len(sys.argv) > 2:
        print(json.dumps(_train_here(path, sys.argv[2])))
    elif path.exists():
        main(path)
    else:
        print(f"{path} is not there: name a folder of X-rays.")
