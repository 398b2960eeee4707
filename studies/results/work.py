"""Every sweep to its end; then its test, opened on record."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import optuna

from hpo.cli.work import train
from hpo.errors import StudyError, fault_list
from hpo.evaluate import Evaluation, check_test, open_test, read_evaluation
from hpo.evaluate.learning_curves import compare_curves
from hpo.evaluate.thresholds import DEFAULT
from hpo.run.plan import Plan, Settings, plan_grid
from hpo.run.session import open_session
from hpo.storage.database import Database
from hpo.storage.opening import open_storage, quiet_optuna
from hpo.storage.paths import runs_folder
from hpo.storage.runs import RunStore
from hpo.study import study as studies
from hpo.study.gathering import summarize
from hpo.study.summary import StudySummary
from studies.results.evidence import Result, conclude
from studies.results.reports import Sweep


@dataclass(frozen=True, kw_only=True)
class Task:
    """A sweep with the request for it, checked."""

    sweep: Sweep
    settings: Settings
    plan: Plan


def prepare(sweeps: Sequence[Sweep], settings: Settings) -> list[Task]:
    """Check what every sweep needs before anything is trained.

    Raises:
        HpoError: the request or the data cannot be used, or the data have no test.
    """
    tasks = []
    for sweep in sweeps:
        own = replace(settings, space=sweep.space)
        tasks.append(Task(sweep=sweep, settings=own, plan=plan_grid([sweep.name], own)))
    check_test(tasks[0].plan.dataset)
    return tasks


def finish(tasks: Sequence[Task]) -> None:
    """Train what is missing, sweep by sweep; what the run store has is told without training.

    Raises:
        HpoError: a sweep cannot be trained.
        StudyError: trainings are missing at the end: they failed.
    """
    quiet_optuna()
    storage = open_storage(tasks[0].plan.storage)
    ahead = [task for task in tasks if not _is_complete(task, storage)]
    for number, task in enumerate(ahead, start=1):
        print(f"{task.sweep.key}, {number} of {len(ahead)}", file=sys.stderr, flush=True)
        with open_session(task.plan) as session:
            train(session, is_quiet=False)
    faults = [_fault(task, storage) for task in ahead]
    if any(faults):
        raise StudyError(
            fault_list("Trainings are missing, by sweep:", [f for f in faults if f])
            + "\nWhat is finished is kept: the same command goes on."
        )


def tell(task: Task) -> Result:
    """Open the test of a sweep if it is complete, and say what is known of it."""
    storage = open_storage(task.plan.storage, create=False)
    study = studies.open_study(storage, task.plan.name)
    summary = summarize(study, storage_url=storage.url)
    runs = RunStore(runs_folder(storage.url))
    return conclude(
        task.sweep,
        summary,
        evaluation=_evaluate(study, summary, storage),
        curves=compare_curves(summary, runs),
        versions=_versions(summary, runs),
    )


def _is_complete(task: Task, storage: Database) -> bool:
    study = studies.find(storage, task.plan.name)
    if study is None:
        return False
    summary = summarize(study, storage_url=storage.url)
    n_repeats = task.plan.goal.n_repeats
    return bool(summary.configurations) and all(
        c.state == "complete" and len(c.repeats) >= n_repeats for c in summary.configurations
    )


def _fault(task: Task, storage: Database) -> str:
    """Say what of a sweep is neither finished nor failed; nothing where nothing is."""
    study = studies.open_study(storage, task.plan.name)
    summary = summarize(study, storage_url=storage.url)
    n_waiting, n_running = summary.count("waiting"), summary.count("running")
    if not (n_waiting or n_running):
        return ""
    return f"{task.sweep.key}: {n_waiting} to do, {n_running} under way elsewhere"


def _evaluate(study: optuna.Study, summary: StudySummary, storage: Database) -> Evaluation | None:
    """Return what the test says at a threshold of 0.5, None while the sweep is not complete.

    The last opening serves again where it was of the same trials.
    """
    if not all(c.state == "complete" for c in summary.configurations):
        return None
    last = read_evaluation(study)
    trials = {r.trial for c in summary.configurations for r in c.repeats}
    if last and last.threshold == DEFAULT and last.trials == trials:
        return last
    return open_test(study, storage, command="python -m studies.results")


def _versions(summary: StudySummary, runs: RunStore) -> list[Mapping[str, str]]:
    names = [r.run for c in summary.configurations for r in c.repeats if r.run]
    return [found.versions for name in names if (found := runs.read(name))]
