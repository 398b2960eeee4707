"""Every sweep to its end; then its test, opened on record."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import optuna

from hpo import space as spaces
from hpo import study as studies
from hpo.api import grid
from hpo.claims import claims
from hpo.errors import StudyError, fault_list
from hpo.evaluate import Evaluation, Request, check_test, open_test, read_evaluation
from hpo.folders import runs_folder
from hpo.plan import Plan, Settings, plan_grid
from hpo.runs import RunStore
from hpo.search.grid import grid_jobs
from hpo.search.job import run_key
from hpo.storage import Storage, open_storage, quiet_optuna
from hpo.study_record import StudyRecord
from hpo.summary import StudySummary, summarize
from studies.results.evidence import Result, conclude
from studies.results.reports import Sweep
from studies.results.side_by_side import Order, train

# done, or done but for trainings that failed
_ENDED: Final = (0, 1)


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


def finish(tasks: Sequence[Task], *, n_jobs: int) -> None:
    """Train what the run store lacks, and put every sweep into the database.

    Raises:
        StudyError: trainings are missing at the end: their process ended, or another one has them.
    """
    quiet_optuna()
    storage = open_storage(tasks[0].plan.storage)
    store = RunStore(runs_folder(storage.url))
    ahead = [task for task in tasks if not _is_complete(task, storage)]
    codes = train(
        [_order(task, storage) for task in ahead],
        store,
        n_jobs=n_jobs,
        # by the environment, for a URL may hold a password
        environment={"HPO_STORAGE": storage.url, "OMP_NUM_THREADS": "1"},
    )
    for task in ahead:
        if task.sweep.key not in codes:
            print(f"{task.sweep.key}: told from the run store", file=sys.stderr, flush=True)
            grid([task.sweep.name], task.settings)
    faults = [_fault(task, storage, codes.get(task.sweep.key, 0)) for task in ahead]
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
        curves=claims(summary, runs),
        versions=_versions(summary, runs),
    )


def _order(task: Task, storage: Storage) -> Order:
    study = studies.find(storage, task.plan.name)
    record = _with_device(task.plan.record) if study is None else studies.read_record(study)
    jobs = grid_jobs(spaces.cells(record.space, record.names), record, task.plan.goal.n_repeats)
    return Order(
        name=task.sweep.key,
        command=_command(task),
        runs={run_key(record, job).digest(): job.config.epochs for job in jobs},
    )


def _command(task: Task) -> tuple[str, ...]:
    settings = task.settings
    command = [sys.executable, "-m", "hpo", "grid", "--space", settings.space]
    command += ["--param", task.sweep.name, "--data", str(settings.data)]
    for name, value in settings.set.items():
        command += ["--set", f"{name}={value}"]
    if settings.epochs is not None:
        command += ["--epochs", str(settings.epochs)]
    return (*command, "--device", settings.device, "--precision", settings.precision)


def _with_device(record: StudyRecord) -> StudyRecord:
    # torch takes two seconds to import: nobody waits for it where all studies are there
    from hpo.training import device

    place = device.choose(record.device, record.precision)
    return replace(record, device=place.name, precision=place.precision)


def _is_complete(task: Task, storage: Storage) -> bool:
    study = studies.find(storage, task.plan.name)
    if study is None:
        return False
    summary = summarize(study, storage_url=storage.url)
    n_repeats = task.plan.goal.n_repeats
    return bool(summary.configurations) and all(
        c.state == "complete" and len(c.repeats) >= n_repeats for c in summary.configurations
    )


def _fault(task: Task, storage: Storage, code: int) -> str:
    """Say what of a sweep is neither finished nor failed; nothing where nothing is."""
    study = studies.find(storage, task.plan.name)
    if study is None:
        return f"{task.sweep.key}: all, its process ended with code {code}"
    summary = summarize(study, storage_url=storage.url)
    n_waiting, n_running = summary.count("waiting"), summary.count("running")
    if not (n_waiting or n_running or code not in _ENDED):
        return ""
    return (
        f"{task.sweep.key}: {n_waiting} to do, {n_running} under way elsewhere; its process ended "
        f"with code {code}"
    )


def _evaluate(study: optuna.Study, summary: StudySummary, storage: Storage) -> Evaluation | None:
    """Return what the test says at a threshold of 0.5, None while the sweep is not complete.

    The last opening serves again where it was of the same trials.
    """
    if not all(c.state == "complete" for c in summary.configurations):
        return None
    request = Request(command="python -m studies.results")
    last = read_evaluation(study)
    if last and last.threshold == request.threshold:
        opened = {trial for c in last.configurations for trial in c.trials}
        if opened == {r.trial for c in summary.configurations for r in c.repeats}:
            return last
    return open_test(study, storage, request)


def _versions(summary: StudySummary, runs: RunStore) -> list[Mapping[str, str]]:
    names = [r.run for c in summary.configurations for r in c.repeats if r.run]
    return [run.versions for name in names if (run := runs.read(name))]
