"""The trials of a study: their jobs, and trials added by other programs."""

import contextlib
import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo import space as spaces
from hpo.config import Scalar, TrainingConfig
from hpo.errors import StudyError, UsageError
from hpo.space import Cell, Choices, Parameter, Range, Space
from hpo.space.records import parse_value
from hpo.storage.database import damage_of
from hpo.storage.opening import in_command
from hpo.storage.runs import RunKey
from hpo.study.record import StudyRecord

Limits = Mapping[int, float]
"""By epoch, the score that the best score so far must reach."""

_RECORDED: Final = {"ordinal", "params", "config", "repeat", "seed", "fold"}
_MARKS: Final = {"run", "seconds", "n_epochs", "metrics", "reason"}
"""Attributes that hpo writes into a trial before finishing it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One repeat of one configuration, as recorded in the user attributes of its trial.

    `ordinal` numbers the configurations in order of creation; `report` names the course report if
    this is its network.
    """

    ordinal: int
    params: Mapping[str, Scalar]
    repeat: int
    seed: int
    fold: int
    report: str = ""
    # Written last: a trial with it belongs to hpo and has all the others.
    config: TrainingConfig

    @property
    def place(self) -> tuple[int, int]:
        """Ordinal and repeat: two trials share them only if one repeats a failed attempt."""
        return self.ordinal, self.repeat

    def to_attributes(self) -> dict[str, Any]:
        """Return the user attributes of its trial."""
        return vars(self) | {"params": dict(self.params), "config": self.config.to_mapping()}

    def with_repeat(self, repeat: int) -> "Job":
        """Return another repeat of the configuration, with its seed and fold."""
        step = repeat - self.repeat
        return replace(self, repeat=repeat, seed=self.seed + step, fold=self.fold + step)


@dataclass
class RunningTrial:
    """A running trial: its id in the database, job, limits for pruning, and scores by epoch.

    `n_reported` epochs are already in the study and are not reported again.
    """

    id: int
    job: Job
    limits: Limits = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    n_reported: int = 0


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The trials of a study.

    `own` are those that hpo trains; if another program finished one, it counts as waiting.
    `enqueued` are waiting trials whose configuration another program requests. `foreign` holds the
    numbers of trials that other programs trained or finished, `left_alone` those of waiting trials
    whose values are not in the study, `damaged` a message for each unreadable trial.
    """

    own: list[FrozenTrial] = field(default_factory=list)
    enqueued: list[tuple[FrozenTrial, Cell]] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)
    left_alone: list[int] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def first_repeat(record: StudyRecord, cell: Cell, *, ordinal: int, report: str = "") -> Job:
    """Return repeat 0 of a configuration: the study's seed is its seed and its fold."""
    return Job(
        ordinal=ordinal,
        params=cell.params,
        config=cell.config,
        repeat=0,
        seed=record.seed,
        fold=record.seed,
        report=report,
    )


def run_key(record: StudyRecord, job: Job) -> RunKey:
    """Return everything that determines the numbers of a job; a validation split is one fold."""
    return RunKey(
        config=job.config,
        seed=job.seed,
        fold=0 if record.data.has_own_validation else job.fold,
        fingerprint=record.data.fingerprint,
        device_type=record.device.partition(":")[0],
        precision=record.precision,
    )


def has_job(trial: optuna.Trial | FrozenTrial) -> bool:
    """Whether a trial belongs to hpo; those of other programs may also have a `config`."""
    return trial.user_attrs.keys() >= _RECORDED


def place_of(trial: FrozenTrial) -> tuple[int, int]:
    """Return the ordinal and repeat of a trial that has a job."""
    return trial.user_attrs["ordinal"], trial.user_attrs["repeat"]


def job_of(trial: optuna.Trial | FrozenTrial) -> Job:
    """Return the job of a trial that has one."""
    recorded = {name: trial.user_attrs[name] for name in _RECORDED}
    recorded["config"] = TrainingConfig.from_mapping(recorded["config"])
    return Job(**recorded, report=trial.user_attrs.get("report", ""))


def read_trials(study: optuna.Study, record: StudyRecord) -> Trials:
    """Read the trials of a study, in the order of their numbers."""
    trials, finished = Trials(), dict[tuple[int, int], FrozenTrial]()
    for trial in study.get_trials(deepcopy=False):
        if fault := damage_of(trial):
            trials.damaged.append(fault)
        elif has_job(trial):
            if _is_finished_by_others(trial, record):
                trials.foreign.append(trial.number)
                finished[place_of(trial)] = trial
            else:
                trials.own.append(trial)
        elif trial.state != TrialState.WAITING:
            trials.foreign.append(trial.number)
        elif cell := _requested_cell(trial, record):
            trials.enqueued.append((trial, cell))
        else:
            trials.left_alone.append(trial.number)
    if finished:
        own_places = set(map(place_of, trials.own))
        for trial in (trial for place, trial in finished.items() if place not in own_places):
            # Restore the state from before another program finished the trial.
            waiting = copy.copy(trial)
            waiting.state, waiting.values = TrialState.WAITING, None
            waiting.intermediate_values = {}
            trials.own.append(waiting)
        trials.own.sort(key=lambda trial: trial.number)
    return trials


def start(study: optuna.Study, record: StudyRecord, job: Job) -> RunningTrial:
    """Add a job to the study as a running trial, in one transaction.

    Raises:
        StudyError: another program uses one of its parameters with another type.
    """
    running = create_trial(
        state=TrialState.RUNNING,
        params=dict(job.params),
        distributions=distributions(record, job.params),
        user_attrs=job.to_attributes(),
    )
    with _translate_type_errors(study):
        trial_id = study._storage.create_new_trial(study._study_id, running)
    return RunningTrial(trial_id, job)


def start_enqueued(
    study: optuna.Study, record: StudyRecord, trial: FrozenTrial, job: Job
) -> RunningTrial | None:
    """Start a trial that another program enqueued, like `start`; None if it is finished."""
    storage, trial_id = study._storage, trial._trial_id
    try:
        with _translate_type_errors(study):
            for name, domain in distributions(record, job.params).items():
                value = domain.to_internal_repr(job.params[name])
                storage.set_trial_param(trial_id, name, value, domain)
        for key, attribute in job.to_attributes().items():
            storage.set_trial_user_attr(trial_id, key, attribute)
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    except UpdateFinishedTrialError:
        return None
    return RunningTrial(trial_id, job)


def start_open(
    study: optuna.Study,
    record: StudyRecord,
    trials: Sequence[FrozenTrial],
    running: Collection[int],
) -> RunningTrial | None:
    """Start the first unfinished trial of hpo that is not among the `running` ones."""
    for trial in trials:
        if trial.state.is_finished() or trial._trial_id in running:
            continue
        job = job_of(trial)
        try:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:  # Another program finished it.
            return start(study, record, job)
        n_reported = max(trial.intermediate_values, default=0)
        return RunningTrial(trial._trial_id, job, n_reported=n_reported)
    return None


def requeue_running(study: optuna.Study) -> None:
    """Re-queue every running trial of hpo; the caller is the driver and trains none."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if has_job(trial):
            with contextlib.suppress(UpdateFinishedTrialError):
                study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def distributions(
    record: StudyRecord, params: Mapping[str, Scalar]
) -> dict[str, BaseDistribution]:
    """Return the distributions of these parameters: the swept values, or the ranges."""
    space = record.space
    if record.kind == "grid":
        return {name: CategoricalDistribution(space.sweeps[name].labels) for name in params}
    every = search_distributions(space)
    return {name: every[name] for name in params}


def search_distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of every searched parameter."""
    return {parameter.name: _distribution(parameter) for parameter in space.search}


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case Choices():
            return CategoricalDistribution(parameter.labels)
        case Range(low=int(low), high=high, log=log, step=step):
            return IntDistribution(low, high, log, step)
        case Range(low=low, high=high, log=log):
            return FloatDistribution(low, high, log)


def _is_finished_by_others(trial: FrozenTrial, record: StudyRecord) -> bool:
    is_marked = not _MARKS.isdisjoint(trial.user_attrs)
    match trial.state:
        # Older versions recorded no score, and in pruned trials none of these attributes.
        case TrialState.COMPLETE:
            return not is_marked or trial.user_attrs.get("score", trial.value) != trial.value
        case TrialState.PRUNED:
            return not is_marked and (record.pruner == "none" or trial.last_step is None)
        case TrialState.FAIL:
            return not is_marked
    return False


def _requested_cell(trial: FrozenTrial, record: StudyRecord) -> Cell | None:
    """Return the configuration of an enqueued trial, None if it is not in the study.

    In a grid it must be a cell; in a search the base supplies missing values.
    """
    params: Any = trial.system_attrs.get("fixed_params") or trial.params
    if not isinstance(params, Mapping) or not params:
        return None
    if record.kind == "search":
        return spaces.complete(record.space, params)
    if not params.keys() <= set(record.names):
        return None
    cells = spaces.cells(record.space, record.names)
    return next((cell for cell in cells if cell.params.items() <= params.items()), None)


def enqueue(study: optuna.Study, record: StudyRecord, values: Mapping[str, str]) -> Cell:
    """Enqueue a configuration of a search; the base supplies missing values.

    Raises:
        UsageError: it is not a search, its ranges exclude these values, or it has them already.
    """
    if record.kind != "search":
        raise UsageError(f"{study.study_name} is a sweep, which trains all values anyway.")
    if not values:
        raise UsageError("Name what to try: --set NAME=VALUE. The base is tried first anyway.")
    cell = spaces.read_point(record.space, {n: parse_value(text) for n, text in values.items()})
    trials, identity = read_trials(study, record), cell.config.identity()
    existing = (job for job in map(job_of, trials.own) if job.config.identity() == identity)
    if job := next((job for job in existing if not job.report), None):
        raise UsageError(f"{study.study_name} has these values already: #{job.ordinal + 1}.")
    if any(other.config.identity() == identity for _, other in trials.enqueued):
        raise UsageError("These values are enqueued already.")
    study.enqueue_trial(dict(cell.params))
    return cell


def enqueue_start(
    study: optuna.Study, record: StudyRecord, given: Sequence[Mapping[str, Scalar]]
) -> None:
    """Enqueue the starting points of a search, first the given ones, then those of its space."""
    base = spaces.complete(record.space, {})
    for params in (*given, *record.space.start):
        if not base or params != base.params:
            study.enqueue_trial(dict(params), skip_if_exists=True)


@contextlib.contextmanager
def _translate_type_errors(study: optuna.Study) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise StudyError(
            f"Another program put trials into the study {study.study_name} whose parameters have "
            f"another type ({str(error)[:80]}). Use another name (--study), or remove the study: "
            f"hpo delete {in_command(study)}"
        ) from error
