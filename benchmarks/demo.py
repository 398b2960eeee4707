"""How often the demo ends as intended: a decided sweep, and a search that finds a good model.

    python -m benchmarks.demo [FOLDER]

Runs `hpo demo` with ten seeds, compared with a logistic regression on the sealed test, and writes
results/demo.json. The folder contains the studies: finished ones are not repeated.
"""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from hpo.api import open_study
from hpo.evaluate.test import read_evaluation
from hpo.study.gathering import read_study
from hpo.views.answer import answer
from hpo.views.evaluations import evaluation_sentence

RESULTS = Path(__file__).parent / "results" / "demo.json"
N_SEEDS = 10


def row(folder: Path, seed: int) -> dict[str, object]:
    """Run the demo with a seed; return its output and the winner's result on the sealed test."""
    start = time.perf_counter()
    home = folder / f"demo{seed}"
    command = [sys.executable, "-m", "hpo", "demo", str(home), "--seed", str(seed)]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    storage = f"sqlite:///{home}/hpo.db"
    grid, found = (open_study(number, storage) for number in ("1", "2"))
    stored = read_study("2", storage)
    evaluation = read_evaluation(stored.study)
    assert evaluation
    assert evaluation.regression
    tested = evaluation.of(found.best)
    assert tested
    assert tested.ensemble
    return {
        "seed": seed,
        "sweep": answer(grid, None).finding,
        "is_decided": answer(grid, None).is_clear,
        "quality": answer(found, evaluation).quality,
        "test": tested.metrics["accuracy"].mean,
        "ensemble": tested.ensemble.metrics["accuracy"].mean,
        "logistic_regression": evaluation.regression.metrics["accuracy"].mean,
        "on_test": evaluation_sentence(evaluation, stored.summary),
        "seconds": round(seconds),
    }


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp())
    rows: list[dict[str, object]] = []
    for seed in range(N_SEEDS):
        rows.append(row(folder, seed))
        print(rows[-1], flush=True)
    document = {"command": "python -m benchmarks.demo", "python": platform.python_version()}
    RESULTS.write_text(json.dumps(document | {"demos": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
