"""How often the demo ends as it should: a sweep that is decided, a search that finds a good model.

    python -m benchmarks.demo [FOLDER]

Runs the commands of `hpo demo` on ten phantoms with ten seeds, opens the sealed test of each
winner, and writes results/demo.json. The folder keeps the studies: what is done is not done again.
"""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpo.cli.train import DEMO_GRID, DEMO_SEARCH
from hpo.data import TEST, open_data

RESULTS = Path(__file__).parent / "results" / "demo.json"
N_SEEDS = 10


def hpo(*arguments: str) -> dict:
    """Run a command and return its JSON document."""
    done = subprocess.run(
        [sys.executable, "-m", "hpo", *arguments, "--json"], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def row(folder: Path, seed: int) -> dict[str, object]:
    """Run the demo with a seed; return what it said and how the winner did on the sealed test."""
    phantom, storage = folder / f"phantom{seed}", f"sqlite:///{folder}/demo{seed}.db"
    if not phantom.exists():
        hpo("data", "generate", str(phantom), "--seed", str(seed))
    common = ("--data", str(phantom), "--storage", storage, "--seed", str(seed))
    start = time.perf_counter()
    grid = hpo("grid", *DEMO_GRID, *common)
    search = hpo("search", *DEMO_SEARCH, *common)
    seconds = time.perf_counter() - start
    test = hpo("evaluate", search["study"], "--storage", storage)
    [winner] = test["configurations"]
    return {
        "seed": seed,
        "sweep": grid["answer"]["finding"],
        "is_decided": grid["answer"]["is_clear"],
        "search": search["answer"]["finding"],
        "quality": search["answer"]["quality"],
        "test": winner["metrics"]["accuracy"]["value"],
        "ensemble": winner["ensemble"]["metrics"]["accuracy"]["value"],
        "logistic_regression": logistic_regression(phantom),
        "seconds": round(seconds),
    }


def logistic_regression(phantom: Path) -> float:
    """Return its test accuracy, trained on all other images in 32 x 32 pixels."""
    dataset = open_data(phantom)
    pixels = dataset.pixels_at(32).reshape(len(dataset), -1) / 255.0
    is_test = dataset.split == TEST
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=2_000))
    model.fit(pixels[~is_test], dataset.labels[~is_test])
    return float(np.mean(model.predict(pixels[is_test]) == dataset.labels[is_test]))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp())
    rows = []
    for seed in range(N_SEEDS):
        rows.append(row(folder, seed))
        print(rows[-1], flush=True)
    document = {"command": "python -m benchmarks.demo", "python": platform.python_version()}
    RESULTS.write_text(json.dumps(document | {"demos": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
