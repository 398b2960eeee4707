"""Creating studies of thousands of trials, as left by the commands, in seconds."""

import random
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.space import Cell, read_space
from hpo.storage.runs import RunStore
from hpo.study.record import DataInfo, Goal, StudyRecord
from hpo.study.trials import Job, first_repeat, run_key, search_distributions
from tests.fake_studies import DATA, begin, fake_record, fake_run, fake_trial, rising_curve

_DEFAULT: Final = Path(__file__).parents[1] / "search_spaces" / "chest_xray.toml"
_GRID: Final[dict[str, list[float]]] = {
    "learning_rate": [10 ** (-5 + i / 5) for i in range(20)],
    "dropout": [i / 10 for i in range(10)],
    "weight_decay": [10 ** (-6 + i / 2) for i in range(10)],
}


@dataclass(frozen=True)
class LongStudy:
    """The content of a study before it is written. `curves` are accuracies by epoch."""

    record: StudyRecord
    goal: Goal
    trials: list[FrozenTrial]
    jobs: list[Job]
    curves: list[list[float]]


def long_search(n: int, *, data: DataInfo = DATA) -> LongStudy:
    """Return a search of the default space: of 20 trials 12 complete, 7 pruned, one failed."""
    raw = tomllib.loads(_DEFAULT.read_text())
    raw["search"]["epochs"] = {"choices": [15, 20]}
    space = read_space(raw, name="long", source="long")
    record = replace(fake_record("search", [p.name for p in space.search], data), space=space)
    chance = random.Random(5)
    scratch = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    domains = search_distributions(space)
    found = LongStudy(record, Goal(1, n, 5, 10), [], [], [])
    for ordinal in range(n):
        params = spaces.active(space, scratch.ask(domains).params)
        cell = Cell(params, spaces.resolve(space, params))
        _add(found, first_repeat(record, cell, ordinal=ordinal), chance)
    return found


def long_grid(n_cells: int = 2_000, *, n_repeats: int = 5, data: DataInfo = DATA) -> LongStudy:
    """Return a finished grid of this many cells, in hundreds: rate x dropout x weight decay."""
    sweeps = _GRID | {"learning_rate": _GRID["learning_rate"][: n_cells // 100]}
    base = {"epochs": 20, "optimizer": "adamw"}
    space = read_space({"base": base, "sweep": sweeps}, name="long", source="long")
    record = replace(fake_record("grid", sweeps, data), space=space)
    chance = random.Random(6)
    found = LongStudy(record, Goal(n_repeats), [], [], [])
    for ordinal, cell in enumerate(spaces.cells(space, record.names)):
        for repeat in range(n_repeats):
            job = first_repeat(record, cell, ordinal=ordinal)
            _add(found, job.with_repeat(repeat), chance)
    return found


def in_memory(long: LongStudy, name: str = "long") -> optuna.Study:
    """Put the study into memory, as quickly as Optuna can."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=name, direction=long.record.score.kind.direction)
    begin(study, long.record, long.goal)
    study.add_trials(long.trials)
    return study


def save_runs(long: LongStudy, runs: RunStore, *, every: int = 20) -> None:
    """Write the run files of the best hundred trainings, and of every n-th of the others."""
    complete = [i for i, trial in enumerate(long.trials) if trial.value is not None]
    best = sorted(complete, key=lambda i: -float(long.trials[i].value or 0))[:100]
    # Below and above the threshold, or each of them would get a warning.
    answers = tuple(i / 399 for i in range(400))
    for i in sorted({*best, *complete[::every]}):
        run = fake_run(long.curves[i], long.record.score)
        run = replace(run, validation_probabilities=answers)
        runs.save(run_key(long.record, long.jobs[i]), run)


def _add(long: LongStudy, job: Job, chance: random.Random) -> None:
    """Add a trial whose score depends on the learning rate and the dropout of its job."""
    config, number = job.config, len(long.trials)
    assert isinstance(config.dropout, float)
    top = 0.955 - 0.02 * abs(config.learning_rate - 1e-3) ** 0.5 - 0.03 * config.dropout
    curve = rising_curve(top + chance.gauss(0, 0.006), config.epochs, chance)
    state = TrialState.COMPLETE
    if long.record.kind == "search" and number % 20 > 12:
        state = TrialState.PRUNED
    if long.record.kind == "search" and number % 20 == 7:
        state = TrialState.FAIL
    if state != TrialState.COMPLETE:
        curve = curve[:4]
    reason = "its loss was not finite in epoch 5."
    long.trials.append(fake_trial(long.record, job, curve, state, reason=reason))
    long.jobs.append(job)
    long.curves.append(curve)
