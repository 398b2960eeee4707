"""What a plan would cost: trainings, time and memory, from a few timed steps on this device."""

from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

import optuna
from optuna.trial import TrialState

from hpo import space as spaces
from hpo import study as studies
from hpo.config import TrainingConfig
from hpo.engines import joins, lanes_of, processes_of, sealed, window_of
from hpo.folders import runs_folder
from hpo.plan import Plan
from hpo.runs import RunStore
from hpo.search.distributions import suggest
from hpo.search.finalists import finalist_jobs
from hpo.search.grid import grid_jobs
from hpo.search.job import Job, first_repeat, further_repeat, read_job, run_key, trials_in
from hpo.search.report_bases import report_jobs
from hpo.search.samplers import make_sampler
from hpo.storage import explained, open_storage, quiet_optuna
from hpo.storage_url import sqlite_path
from hpo.study_record import Goal, StudyRecord
from hpo.training import device as devices
from hpo.training.device import Device
from hpo.training.progress import root_of
from hpo.training.schedule import Work, seconds_freely, seconds_in_window
from hpo.training.timing import memory_bytes, seconds_per_epoch

_MOST_TIMED: Final = 12

# Seconds until a process has imported torch.
_PROCESS_START: Final = 3.0

PRUNED_SHARE: Final = 0.3
"""The trials that a median pruner ends after its warm-up: 13 of 50 in the README's search."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a plan would cost. `seconds` counts what the run store lacks; `n_done` is in the study.

    `n_stored` trainings are in the run store but not in the study: told without training.
    """

    study: str
    device: str
    precision: str
    n_configurations: int
    n_trainings: int
    n_done: int
    n_stored: int
    n_epochs: int
    n_lanes: int
    seconds: float
    memory_bytes: int

    @property
    def n_to_train(self) -> int:
        """The number of trainings that are really done."""
        return self.n_trainings - self.n_done - self.n_stored


def forecast(plan: Plan) -> Forecast:
    """Count and time what a plan would train, without training or creating anything.

    Raises:
        StudyError: a study of this name is there and does not fit the plan.
        DeviceError: the device is not there.
    """
    study = _find(plan)
    record = studies.read_record(study) if study else plan.record
    device = devices.choose(record.device, record.precision)
    record = replace(record, device=device.name, precision=device.precision)
    plan = replace(plan, record=record)
    jobs = _grid_work(plan, study) if record.kind == "grid" else _search_work(plan, study)
    runs = RunStore(runs_folder(plan.storage))
    to_train = [job for job in jobs.missing if not runs.has(run_key(record, job))]
    shares = _shares(record, to_train)
    timed = _time(plan, shares, device)
    return Forecast(
        study=plan.name,
        device=device.name,
        precision=device.precision,
        n_configurations=jobs.n_configurations,
        n_trainings=jobs.n_done + len(jobs.missing),
        n_done=jobs.n_done,
        n_stored=len(jobs.missing) - len(to_train),
        n_epochs=round(sum(job.config.epochs * share for job, share in shares)),
        n_lanes=timed.n_lanes,
        seconds=timed.seconds,
        memory_bytes=timed.memory_bytes,
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    n_configurations: int
    n_done: int
    missing: list[Job]


@dataclass(frozen=True, kw_only=True)
class _Timed:
    n_lanes: int
    seconds: float
    memory_bytes: int


def _find(plan: Plan) -> optuna.Study | None:
    """Open the study of the plan if it is there; a dry run creates no database."""
    quiet_optuna()
    path = sqlite_path(plan.storage)
    if path is not None and not path.exists():
        return None
    storage = open_storage(plan.storage, create=False)
    study = studies.find(storage, plan.name)
    if study is not None:
        with explained(plan.storage):
            studies.check_fits(study, plan.record)
    return study


def _grid_work(plan: Plan, study: optuna.Study | None) -> _Work:
    record = plan.record
    cells = spaces.cells(record.space, record.names)
    jobs = grid_jobs(cells, record, _goal(plan, study).n_repeats)
    done = {(job.config.identity(), job.repeat) for job in _done(study, TrialState.COMPLETE)}
    missing = [job for job in jobs if (job.config.identity(), job.repeat) not in done]
    return _Work(n_configurations=len(cells), n_done=len(jobs) - len(missing), missing=missing)


def _search_work(plan: Plan, study: optuna.Study | None) -> _Work:
    """Stand in for the proposals of the sampler, and for finalists, with random configurations."""
    record, goal = plan.record, _goal(plan, study)
    complete, pruned = _done(study, TrialState.COMPLETE), _done(study, TrialState.PRUNED)
    done = complete + pruned
    there = {job.place for job in done}
    firsts = [job for job in complete if job.repeat == 0 and not job.report]
    n_first = len(firsts) + len(pruned)
    cells = spaces.search_cells(record.space, most=goal.n_trials)
    n_wanted = goal.n_trials if cells is None else len(cells)
    proposed = [_propose(record, ordinal) for ordinal in range(n_first, n_wanted)]
    repeats = [job for first in firsts + proposed for job in _repeats(first, record, goal)]
    finalists = _finalists(study, record, goal, proposed)
    missing = [
        job for job in repeats + finalists + report_jobs(record, goal) if job.place not in there
    ]
    n_configurations = max(n_wanted, n_first)
    return _Work(n_configurations=n_configurations, n_done=len(done), missing=missing)


def _propose(record: StudyRecord, ordinal: int) -> Job:
    scratch = optuna.create_study(
        sampler=make_sampler("random", seed=record.seed, ordinal=ordinal)
    )
    params = suggest(scratch.ask(), record.space)
    config = spaces.resolve(record.space, params)
    return first_repeat(record, ordinal=ordinal, params=params, config=config)


def _finalists(
    study: optuna.Study | None, record: StudyRecord, goal: Goal, proposed: list[Job]
) -> list[Job]:
    """Return the trainings of the finalists; while they are not known, those of any as many."""
    if study is not None and not proposed:
        return finalist_jobs(trials_in(study), record, goal)
    step = max(1, len(proposed) // max(1, goal.n_finalists))
    typical = proposed[::step][: goal.n_finalists]
    return [
        further_repeat(job, repeat, record=record)
        for job in typical
        for repeat in goal.fresh_repeats
    ]


def _repeats(first: Job, record: StudyRecord, goal: Goal) -> list[Job]:
    return [further_repeat(first, repeat, record=record) for repeat in range(goal.n_repeats)]


def _done(study: optuna.Study | None, state: TrialState) -> list[Job]:
    trials = [] if study is None else trials_in(study, state)
    return [job for trial in trials if (job := read_job(trial)) is not None]


def _goal(plan: Plan, study: optuna.Study | None) -> Goal:
    return plan.goal if study is None else studies.read_goal(study).raised(plan.goal)


def _time(plan: Plan, shares: list[tuple[Job, float]], device: Device) -> _Timed:
    """Time one epoch of each kind of configuration, of an even choice where there are many."""
    kinds: dict[str, TrainingConfig] = {}
    for job, _ in shares:
        kinds.setdefault(_kind(job.config), job.config)
    step = max(1, -(-len(kinds) // _MOST_TIMED))
    data = sealed(plan.dataset, plan.record)
    chosen = list(kinds.items())[::step]
    seconds = {kind: seconds_per_epoch(data, config, device=device) for kind, config in chosen}
    typical = fmean(seconds.values()) if seconds else 0.0
    deciding: list[Work] = []
    freely: list[Work] = []
    for job, share in shares:
        is_deciding = plan.record.is_decided_on_the_way and _is_searched(job, plan.goal)
        work = Work(seconds.get(_kind(job.config), typical), job.config.epochs * share)
        (deciding if is_deciding else freely).append(work)
    n_lanes = min(lanes_of(plan.record, plan.lanes), max(1, len(shares)))
    n_processes = processes_of(plan.record, n_lanes)
    start = _PROCESS_START if n_processes > 1 and shares else 0.0
    window = plan.record.window or window_of(n_lanes)
    side_by_side = seconds_in_window(
        deciding, n_lanes=n_lanes, n_processes=n_processes, window=window
    )
    side_by_side += seconds_freely(freely, n_processes=n_processes)
    memory = [
        memory_bytes(data, config, device=device, n_lanes=n_lanes, n_processes=n_processes)
        for config in kinds.values()
    ]
    return _Timed(
        n_lanes=n_lanes,
        seconds=start + side_by_side,
        memory_bytes=max(memory, default=0),
    )


def _unshared(record: StudyRecord, jobs: list[Job]) -> list[Job]:
    """Leave out the jobs that are the beginning of a longer one, and trained with it."""
    if not joins(record):
        return jobs
    longest: dict[object, Job] = {}
    for job in sorted(jobs, key=lambda job: job.config.epochs):
        longest[root_of(job.config) or job.config.identity(), job.seed, job.fold] = job
    return list(longest.values())


def _is_searched(job: Job, goal: Goal) -> bool:
    """Whether it is a training of the search itself, and not of finalists or reports' bases."""
    return job.repeat < goal.n_repeats and not job.report


def _kind(config: TrainingConfig) -> str:
    """Return what decides the time of an epoch, as one text."""
    return config.replace(epochs=1, learning_rate=1.0, early_stopping=0).identity()


def _shares(record: StudyRecord, jobs: list[Job]) -> list[tuple[Job, float]]:
    """Return what is trained, each with the share of its epochs that is trained in the end."""
    pruned = 1.0 if record.pruner == "none" else 1.0 - PRUNED_SHARE * 2 / 3
    return [
        (job, pruned if job.repeat == 0 and not job.report else 1.0)
        for job in _unshared(record, jobs)
    ]
