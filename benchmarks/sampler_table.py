"""Real trainings of a search space as a table: `python -m benchmarks.sampler_table STORAGE`.

The trainings are those of `hpo search --space benchmarks/sampler_space.toml --pruner none
--finalists 0` with `--sampler random --trials 120 --repeats 5 --seed 1`, then `--sampler random
--trials 400 --seed 0`, `--sampler tpe --trials 60 --seed 2`, `--sampler gp --trials 60 --seed 3`
and `--sampler random --trials 24 --seed 4`, and of `--storage` further repeats of some. One row is
one training.
"""

import argparse
import csv
from pathlib import Path
from typing import Any, Final

import optuna

from hpo.space import load_space
from hpo.storage.opening import open_storage
from hpo.study.study import open_study, read_record

SPACE: Final = load_space(str(Path(__file__).parent / "sampler_space.toml"))
TABLE: Final = Path(__file__).parent / "results" / "sampler_table.csv"
PARAMETERS: Final = [parameter.name for parameter in SPACE.search]
EPOCHS: Final = (10, 20, 30)
"""Where accuracy under stress is measured; the last is the score."""
_NUMBERS: Final = ("configuration", "repeat", "fold", "seed", *map(str, EPOCHS))


def main() -> None:
    """Read the studies and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sampler_table", description=__doc__
    )
    parser.add_argument("storage", nargs="+", help="databases such as sqlite:///hpo.db")
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for url in parser.parse_args().storage:
        for row in _rows(url):
            rows.setdefault((str(row["params"]), row["seed"], row["fold"]), row)
    numbers: dict[str, int] = {}
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sampler", *_NUMBERS, "accuracy", "auroc", *PARAMETERS])
        for row in rows.values():
            number = numbers.setdefault(str(row["params"]), len(numbers))
            found = [row["sampler"], number, row["repeat"], row["fold"], row["seed"]]
            found += [f"{value:.5f}" for value in (*row["curve"], row["accuracy"], row["auroc"])]
            writer.writerow(found + [row["params"].get(name, "") for name in PARAMETERS])
    print(f"{len(rows)} trainings of {len(numbers)} configurations")


def _rows(url: str) -> list[dict[str, Any]]:
    storage, rows = open_storage(url, create=False), []
    for found in optuna.get_all_study_summaries(storage):
        study = open_study(storage, found.study_name)
        sampler = read_record(study).sampler
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
            said, curve = trial.user_attrs, trial.intermediate_values
            validation = said["metrics"]["validation"]
            rows.append(
                {name: said[name] for name in ("repeat", "seed", "params")}
                | {name: validation[name] for name in ("accuracy", "auroc")}
                | {"sampler": sampler, "fold": said["fold"] % 5}
                | {"curve": [curve[epoch] for epoch in EPOCHS]}
            )
    return rows


if __name__ == "__main__":
    main()
