"""Continuing a search of many trials: `python -m benchmarks.go_on TRIALS` prints JSON.

Training is replaced by an engine that trains nothing; asking, proposing, storing and finishing are
timed. Further trials are timed in processor seconds, the first ones separately: they read the
study and make it known to the sampler.
"""

import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import optuna

from benchmarks.long_database import in_database
from benchmarks.long_studies import long_search
from hpo.config import TrainingConfig
from hpo.run.loop import TrainingLoop, TrialDone
from hpo.run.session import open_source
from hpo.storage.opening import open_storage
from hpo.storage.runs import RunStore
from hpo.study import study as studies
from tests.clocked import ClockedStack

_N_FURTHER: Final = 60
_N_FIRST: Final = 10


class AnyBatch(ClockedStack):
    """A stack that takes batches of every size."""

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        return super().add(config.replace(batch_size=32), seed=seed, fold=fold)


def main() -> None:
    """Build the study, continue it, and print the cost."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), int(sys.argv[1]))))


def measure(folder: Path, n_trials: int) -> dict[str, Any]:
    """Return the seconds of the first and each further trial, and the memory before and after."""
    url = f"sqlite:///{folder}/hpo.db"
    in_database(long_search(n_trials), open_storage(url))
    study = studies.open_study(storage := open_storage(url), storage.study_names()[0])
    record = replace(studies.read_record(study), window=6, pruner="median")
    goal = replace(studies.read_goal(study), n_trials=n_trials + _N_FURTHER, n_finalists=0)
    loop = TrainingLoop(
        study,
        record,
        open_source(study, record, goal),
        runs=RunStore(folder / "runs"),
        weights=folder / "weights",
        open_stack=lambda _n_lanes: AnyBatch(),
        n_lanes=4,
    )
    times, before = [time.process_time()], _megabytes()
    for event in loop.events():
        if isinstance(event, TrialDone):
            times.append(time.process_time())
    return {
        "first_trials_seconds": round(times[_N_FIRST] - times[0], 3),
        "seconds_per_trial": round((times[-1] - times[_N_FIRST]) / (len(times) - 1 - _N_FIRST), 4),
        "megabytes_before": before,
        "megabytes_after": _megabytes(),
    }


def _megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
