"""The outcomes of searches: `python -m benchmarks.courses DATABASE [DATABASE ...]`.

For every finished search by TPE or the Gaussian process in these databases: the share of pruned
trials, and the cost in full of its proposals and finalists (`hpo.training.machine.epoch_cost`),
relative to random configurations of the same space. The forecast of `--dry-run` is based on them.
Searches that the file lacks are added to it.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.drawing import draw
from benchmarks.machine import describe_machine
from hpo.config import TrainingConfig
from hpo.storage.opening import open_storage, quiet_optuna
from hpo.study.record import StudyRecord
from hpo.study.study import read_goal, read_record
from hpo.study.trials import job_of
from hpo.training.machine import epoch_cost

RESULTS = Path(__file__).parent / "results" / "courses.json"
N_RANDOM = 400


def main() -> None:
    """Read, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("databases", type=Path, nargs="+")
    quiet_optuna()
    rows = json.loads(RESULTS.read_text())["searches"]
    for path in parser.parse_args().databases:
        storage = open_storage(f"sqlite:///{path}", create=False)
        for name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            record = read_record(study)
            is_known = name in {row["study"] for row in rows}
            if record.kind == "search" and record.sampler in ("tpe", "gp") and not is_known:
                about = {"study": name, "sampler": record.sampler, "data": record.data.name}
                rows.append(about | _course(study))
                print(rows[-1], flush=True)
    document = {"what": __doc__, "machine": describe_machine(), "searches": rows}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def _course(study: optuna.Study) -> dict[str, Any]:
    record, goal = read_record(study), read_goal(study)
    trials = [
        t
        for t in study.get_trials(deepcopy=False)
        if t.state.is_finished() and not job_of(t).report
    ]
    firsts = [t for t in trials if job_of(t).repeat == 0]
    last = [t for t in trials if job_of(t).repeat in goal.fresh_repeats]
    random = draw(record.space, N_RANDOM, seed=record.seed)
    usual = fmean(_cost(record, config) for config in random)
    trained = [t for t in [*firsts, *last] if "n_epochs" in t.user_attrs]
    epochs = sum(
        t.user_attrs["n_epochs"] * epoch_cost(job_of(t).config, n_train=record.data.n_train)
        for t in trained
    )
    return {
        "n_trials": len(firsts),
        "pruned": round(fmean(t.state == TrialState.PRUNED for t in firsts), 2),
        "cost_of_proposals": round(_mean_cost(record, firsts) / usual, 2),
        "cost_of_finalists": round(_mean_cost(record, last) / usual, 2),
        "cost_of_all": round(epochs / len(trained) / usual, 2),
    }


def _cost(record: StudyRecord, config: TrainingConfig) -> float:
    return config.epochs * epoch_cost(config, n_train=record.data.n_train)


def _mean_cost(record: StudyRecord, trials: list[FrozenTrial]) -> float:
    return fmean(_cost(record, job_of(trial).config) for trial in trials)


if __name__ == "__main__":
    main()
