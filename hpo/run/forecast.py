"""The cost of a plan before anything is trained: trainings, time and memory.

Trainings are counted exactly. Their time is estimated from a few configurations that are timed on
this machine, with all processes busy. The proposals and the pruning of a search are unknown: its
time is estimated from configurations spread evenly over its space, with a range.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Final

import optuna
from optuna.trial import TrialState

from hpo import space as spaces
from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.run.plan import Plan
from hpo.run.proposals import spread
from hpo.run.session import joins, lanes_of, processes_of, ray_cluster, sealed, with_device
from hpo.run.sources import grid_jobs
from hpo.storage.opening import open_storage, quiet_optuna
from hpo.storage.paths import runs_folder
from hpo.storage.runs import RunStore
from hpo.storage.url import sqlite_path
from hpo.study import study as studies
from hpo.study.progress import SearchProgress, all_cells
from hpo.study.record import Goal, StudyRecord
from hpo.study.trials import Trials, job_of, read_trials, run_key
from hpo.training import device as devices
from hpo.training.device import Device
from hpo.training.machine import epoch_cost
from hpo.training.processes import seconds_side_by_side
from hpo.training.progress import root_of
from hpo.training.stack import FOLD, memory_bytes, seconds_per_epoch

_MOST_TIMED: Final = 12
_N_DRAWN: Final = 400
"""This many evenly spread configurations give the mean cost of a space within a few percent."""
_PROCESS_START_S: Final = 3.0

# The time of a search as a share of all its trainings at the mean cost of its space: typical,
# lowest and highest (benchmarks/results/courses.json). A pruner ends trainings early, samplers and
# finalists prefer cheap or costly configurations. Twelve searches by TPE took 0.64 to 1.25, on
# average 0.87, and without a pruner would have taken 0.72 to 1.31. The Gaussian process converges
# sooner: five searches in which epochs and image size varied took 0.32 to 0.53, two others 0.96
# and 1.22.
_PRUNED: Final = (0.87, 0.6, 1.3)
_UNPRUNED: Final = (1.0, 0.7, 1.35)
_BY_GP: Final = (0.5, 0.3, 1.3)


_Work = tuple[tuple[int, int, int, int], list[TrainingConfig]]
"""The numbers of configurations, of trainings, of finished ones and of those in the run store,
and the configurations to train; for a search, a sample of its space."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The cost of a plan.

    `n_done` trainings are in the study; for a grid, `n_stored` others are in the run store.
    `seconds_range` is for a search, which depends on its results, and for a grid that is repeated
    until decided. `repeats` are the fewest and the most repeats of a configuration.
    """

    study: str
    device: str
    precision: str
    n_configurations: int
    n_trainings: int
    n_done: int
    n_stored: int
    n_lanes: int
    seconds: float
    seconds_range: tuple[float, float]
    memory_bytes: int
    repeats: tuple[int, int]

    @property
    def n_to_train(self) -> int:
        """The number of trainings that actually run."""
        return self.n_trainings - self.n_done - self.n_stored


def forecast(plan: Plan) -> Forecast:
    """Count and time the trainings of a plan, without training or creating anything.

    Raises:
        StudyError: a study of this name exists and does not fit the plan.
        DeviceError: the device is not available.
    """
    with ray_cluster(plan.settings) as cluster:
        return _forecast(plan, cluster)


def _forecast(plan: Plan, cluster: Any) -> Forecast:
    study, record, goal = _find(plan), plan.record, plan.goal
    if study:
        record, goal = studies.read_record(study), studies.read_goal(study).raised(goal)
        record = replace(record, space=plan.record.space)
    record = with_device(record, cluster)
    device = devices.choose(record.device, record.precision)
    trials, is_grid = read_trials(study, record) if study else Trials(), record.kind == "grid"
    runs = RunStore(runs_folder(plan.settings.storage))
    counts, planned = (
        _of_grid(record, goal, trials, runs) if is_grid else _of_search(record, goal, trials)
    )
    n_configurations, n_trainings, n_done, n_stored = counts
    n_to_train, first = n_trainings - n_done - n_stored, 1.0
    if goal.most_repeats > goal.n_repeats:
        n_first = len(planned)
        _, planned = _of_grid(record, replace(goal, n_repeats=goal.most_repeats), trials, runs)
        first = n_first / max(1, len(planned))
    n_lanes = lanes_of(record, plan.settings.lanes, cluster)
    n_lanes = min(n_lanes, max(1, n_to_train, len(planned) if first < 1 else 0))
    # Trainings are timed on this machine, even if a cluster will run them.
    n_processes = n_here = processes_of(record, n_lanes)
    if cluster:
        n_processes = min(n_lanes, cluster.n_slots(record.device))
    data = sealed(plan.dataset, record)
    # In older searches, a batch larger than the training set fails, so it has no time.
    n_train = len(data.fold(FOLD).train)
    configs = [config for config in planned if config.batch_size <= n_train]
    times = training_seconds(data, configs, device=device, n_processes=n_here)
    if is_grid:
        shares, total, longest = (first, first, 1.0), sum(times), max(times, default=0.0)
    else:
        other_shares = _UNPRUNED if record.pruner == "none" else _PRUNED
        shares = _BY_GP if record.sampler == "gp" else other_shares
        total, longest = n_to_train * fmean(times or [0.0]), 0.0
    start = _PROCESS_START_S if n_processes > 1 and total else 0.0
    seconds, least, most = (start + max(s * total / n_processes, longest) for s in shares)
    memory = [
        memory_bytes(data, config, device=device, n_lanes=n_lanes, n_processes=n_processes)
        for config in configs
    ]
    return Forecast(
        study=plan.name,
        device=device.name,
        precision=device.precision,
        n_configurations=n_configurations,
        n_trainings=n_trainings,
        n_done=n_done,
        n_stored=n_stored,
        n_lanes=n_lanes,
        seconds=seconds,
        seconds_range=(least, most),
        memory_bytes=max(memory, default=0),
        repeats=(goal.n_repeats, max(goal.n_repeats, goal.most_repeats)),
    )


def _find(plan: Plan) -> optuna.Study | None:
    """Open the study of the plan if it exists; a dry run creates no database."""
    quiet_optuna()
    path = sqlite_path(plan.settings.storage)
    if path is not None and not path.exists():
        return None
    study = studies.find(open_storage(plan.settings.storage, create=False), plan.name)
    if study is not None:
        studies.check_fits(study, plan.record)
    return study


def _of_grid(record: StudyRecord, goal: Goal, trials: Trials, runs: RunStore) -> _Work:
    jobs = grid_jobs(record, goal.n_repeats)
    read = [job_of(trial) for trial in trials.own if trial.state == TrialState.COMPLETE]
    done = {(job.config.identity(), job.repeat) for job in read}
    missing = [job for job in jobs if (job.config.identity(), job.repeat) not in done]
    to_train = [job for job in missing if not runs.has(run_key(record, job))]
    configs = [job.config for job in to_train]
    if joins(record):  # A shorter training is the start of a longer one.
        longest: dict[object, TrainingConfig] = {}
        for job in sorted(to_train, key=lambda job: job.config.epochs):
            longest[root_of(job.config) or job.config.identity(), job.seed, job.fold] = job.config
        configs = list(longest.values())
    n_missing = len(missing)
    n_configurations = len(jobs) // goal.n_repeats
    return (n_configurations, len(jobs), len(jobs) - n_missing, n_missing - len(to_train)), configs


def _of_search(record: StudyRecord, goal: Goal, trials: Trials) -> _Work:
    progress = SearchProgress(trials, record, goal, all_cells(record, goal))
    n_left, cells = progress.n_left, progress.cells
    n_done = sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials.own)
    counts = progress.n_wanted, n_done + n_left, n_done, 0
    if not n_left or cells is not None:
        return counts, [cell.config for cell in cells or () if n_left]
    drawn = spread(record.space, seed=record.seed, first=1, n=_N_DRAWN)
    return counts, [spaces.resolve(record.space, params) for params in drawn]


def training_seconds(
    data: TrainingData, configs: Sequence[TrainingConfig], *, device: Device, n_processes: int
) -> list[float]:
    """Return the seconds of each training.

    At most 12 kinds are timed, spread evenly by cost (`hpo.training.machine.epoch_cost`); the
    others are interpolated.
    """
    n_train = len(data.fold(FOLD).train)
    costs = {_kind(config): epoch_cost(config, n_train=n_train) for config in configs}
    if not costs:
        return []
    of_kind = {_kind(config): config for config in configs}
    ranked = sorted(costs, key=lambda kind: costs[kind])
    n = min(_MOST_TIMED, len(ranked))
    timed = [ranked[(2 * part + 1) * len(ranked) // (2 * n)] for part in range(n)]
    chosen = [of_kind[kind] for kind in timed]
    if n_processes > 1:
        measured = seconds_side_by_side(data, chosen, device=device, n_processes=n_processes)
    else:
        measured = [seconds_per_epoch(data, config, device=device) for config in chosen]
    scale = sum(measured) / sum(costs[kind] for kind in timed)
    seconds = {kind: scale * cost for kind, cost in costs.items()}
    seconds |= dict(zip(timed, measured, strict=True))
    return [config.epochs * seconds[_kind(config)] for config in configs]


def _kind(config: TrainingConfig) -> str:
    """Return everything that determines the time of an epoch, as one text."""
    same = {"epochs": 1, "learning_rate": 1.0, "early_stopping": 0}
    return config.model_copy(update=same).identity()
