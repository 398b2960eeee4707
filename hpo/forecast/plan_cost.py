"""From a plan to its forecast: what is to be trained, and how long that takes side by side."""

from dataclasses import dataclass, replace

import optuna

from hpo import study as studies
from hpo.engines import lanes_of, processes_of, sealed
from hpo.folders import runs_folder
from hpo.forecast.clock import CHEAP, COSTLY, TYPICAL, Clock
from hpo.forecast.coming import of_grid, of_search
from hpo.forecast.times import time_epochs
from hpo.plan import Plan
from hpo.runs import RunStore
from hpo.search.job import run_key
from hpo.storage import explained, open_storage, quiet_optuna
from hpo.storage_url import sqlite_path
from hpo.study_record import Goal
from hpo.training import device as devices
from hpo.training.timing import FOLD, memory_bytes


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a plan would cost. `seconds` counts what the run store lacks; `n_done` is in the study.

    `n_stored` trainings are in the run store but not in the study: told without training.
    `seconds_range` is what a search may take by what it finds: from cheap proposals, many of them
    pruned, and finalists of the cheaper half of the space to the contrary. Trainings with one of
    `too_large_batches` will fail: that is more than the `n_train` training images.
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
    too_large_batches: tuple[int, ...]
    n_train: int

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
    coming = (of_grid if record.kind == "grid" else of_search)(record, _goal(plan, study), study)
    runs = RunStore(runs_folder(plan.storage))
    lacking = coming.without(lambda job: runs.has(run_key(record, job)))
    n_lanes = min(lanes_of(record, plan.lanes), max(1, lacking.n_trainings))
    n_processes = processes_of(record, n_lanes)
    data = sealed(plan.dataset, record)
    # A batch larger than the training images fails as one training: there is nothing to time.
    n_train = len(data.fold(FOLD).train)
    configs = [job.config for job in lacking.jobs if job.config.batch_size <= n_train]
    too_large = {job.config.batch_size for job in coming.jobs if job.config.batch_size > n_train}
    times = time_epochs(data, configs, device=device, n_processes=n_processes)
    clock = Clock(record=record, times=times, n_lanes=n_lanes, n_processes=n_processes)
    memory = [
        memory_bytes(data, config, device=device, n_lanes=n_lanes, n_processes=n_processes)
        for config in configs
    ]
    return Forecast(
        study=plan.name,
        device=device.name,
        precision=device.precision,
        n_configurations=coming.n_configurations,
        n_trainings=coming.n_done + coming.n_trainings,
        n_done=coming.n_done,
        n_stored=coming.n_trainings - lacking.n_trainings,
        n_lanes=n_lanes,
        seconds=clock.seconds(lacking, lacking.finalists(), TYPICAL),
        seconds_range=(
            clock.seconds(lacking, lacking.cheap_finalists(), CHEAP),
            clock.seconds(lacking, lacking.costly_finalists(), COSTLY),
        ),
        memory_bytes=max(memory, default=0),
        too_large_batches=tuple(sorted(too_large)),
        n_train=n_train,
    )


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


def _goal(plan: Plan, study: optuna.Study | None) -> Goal:
    return plan.goal if study is None else studies.read_goal(study).raised(plan.goal)
