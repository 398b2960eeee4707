"""The trials of a study as hpo counts them: its own, and what other programs put beside them."""

import contextlib
import copy
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo import space as spaces
from hpo.errors import StudyError
from hpo.search.distributions import recorded
from hpo.search.job import Job, has_job, job_of
from hpo.space import Cell
from hpo.storage.database import damage_of
from hpo.storage.opening import in_command
from hpo.study.record import StudyRecord

_MARKS: Final = {"run", "seconds", "n_epochs", "metrics", "reason"}
"""What hpo writes into a trial before it tells it."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The trials of a study.

    `ours` are those that hpo trains; of those that another program told instead, the result does
    not count: they wait. `enqueued` wait with the configuration that another program asks for.
    `foreign` are the numbers of those that other programs trained or told, `left_alone` of those
    that wait for something this study cannot express. `damaged` says of each trial that cannot be
    read why it is left out.
    """

    ours: Sequence[FrozenTrial] = ()
    enqueued: Sequence[tuple[FrozenTrial, Cell]] = ()
    foreign: tuple[int, ...] = ()
    left_alone: tuple[int, ...] = ()
    damaged: tuple[str, ...] = ()


def read_trials(study: optuna.Study, record: StudyRecord) -> Trials:
    """Read the trials of a study, in the order of their numbers."""
    ours: list[FrozenTrial] = []
    told_by_others: list[FrozenTrial] = []
    enqueued, foreign, left_alone, damaged = [], [], [], []
    for trial in study.get_trials(deepcopy=False):
        if fault := damage_of(trial):
            damaged.append(fault)
        elif has_job(trial):
            is_told_by_us = _is_told_by_us(trial, record)
            (ours if is_told_by_us else told_by_others).append(trial)
            if not is_told_by_us:
                foreign.append(trial.number)
        elif trial.state != TrialState.WAITING:
            foreign.append(trial.number)
        elif cell := _asked_for(trial, record):
            enqueued.append((trial, cell))
        else:
            left_alone.append(trial.number)
    if told_by_others:
        places = {_place(trial): trial for trial in told_by_others}
        for place in map(_place, ours):
            places.pop(place, None)
        ours = sorted([*ours, *map(_waiting, places.values())], key=lambda trial: trial.number)
    return Trials(
        ours=ours,
        enqueued=enqueued,
        foreign=tuple(foreign),
        left_alone=tuple(left_alone),
        damaged=tuple(damaged),
    )


def start(study: optuna.Study, record: StudyRecord, job: Job) -> optuna.Trial:
    """Put a job into the study as a trial that runs: whole, or not at all.

    Raises:
        StudyError: another program uses one of its parameters with another type.
    """
    running = create_trial(
        state=TrialState.RUNNING,
        params=dict(job.params),
        distributions=recorded(record, job.params),
        user_attrs=job.to_attributes(),
    )
    with _types_explained(study):
        return optuna.Trial(study, study._storage.create_new_trial(study._study_id, running))


def start_enqueued(
    study: optuna.Study, record: StudyRecord, trial: FrozenTrial, job: Job
) -> optuna.Trial | None:
    """Begin a trial that another program enqueued; None where that one took it back just now.

    Raises:
        StudyError: another program uses one of its parameters with another type.
    """
    storage, trial_id = study._storage, trial._trial_id
    try:
        with _types_explained(study):
            for name, domain in recorded(record, job.params).items():
                value = domain.to_internal_repr(job.params[name])
                storage.set_trial_param(trial_id, name, value, domain)
        for key, attribute in job.to_attributes().items():
            storage.set_trial_user_attr(trial_id, key, attribute)
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    except UpdateFinishedTrialError:
        return None
    return optuna.Trial(study, trial_id)


def start_open(
    study: optuna.Study,
    record: StudyRecord,
    trials: Sequence[FrozenTrial],
    under_way: Collection[int],
) -> tuple[optuna.Trial, Job] | None:
    """Begin the first trial that waits, or that another program took from hpo."""
    for trial in trials:
        if trial.state.is_finished() or trial.number in under_way:
            continue
        job = job_of(trial)
        try:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:  # Another program told it.
            return start(study, record, job), job
        return optuna.Trial(study, trial._trial_id), job
    return None


def requeue(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Let a running trial wait again; the numbers it has reported will be the same."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def requeue_stale(study: optuna.Study) -> None:
    """Let every trial of hpo that runs wait again: whoever holds the lock trains none yet."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if has_job(trial):
            requeue(study, trial)


def _is_told_by_us(trial: FrozenTrial, record: StudyRecord) -> bool:
    """Whether hpo told a trial, as far as it is finished."""
    attributes, is_marked = trial.user_attrs, not _MARKS.isdisjoint(trial.user_attrs)
    match trial.state:
        # Trials of before it was recorded have no score, and pruned ones no mark at all.
        case TrialState.COMPLETE:
            return is_marked and attributes.get("score", trial.value) == trial.value
        case TrialState.PRUNED:
            return is_marked or (record.pruner != "none" and trial.last_step is not None)
        case TrialState.FAIL:
            return is_marked
    return True


def _place(trial: FrozenTrial) -> tuple[int, int]:
    return trial.user_attrs["ordinal"], trial.user_attrs["repeat"]


def _waiting(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial as it was before another program told it."""
    before = copy.copy(trial)
    before.state, before.values = TrialState.WAITING, None
    before.intermediate_values = {}
    return before


def _asked_for(trial: FrozenTrial, record: StudyRecord) -> Cell | None:
    """Return the configuration that a trial of another program waits for, None where it is none.

    In a grid it must be a cell; in a search what it does not name is that of the base.
    """
    asked: Any = trial.system_attrs.get("fixed_params") or trial.params
    if not isinstance(asked, Mapping) or not asked:
        return None
    if record.kind == "search":
        return spaces.complete(record.space, asked)
    if not asked.keys() <= set(record.names):
        return None
    cells = spaces.cells(record.space, record.names)
    return next((cell for cell in cells if _is_cell(cell, asked)), None)


def _is_cell(cell: Cell, asked: Mapping[str, Any]) -> bool:
    return all(name in asked and asked[name] == value for name, value in cell.params.items())


@contextlib.contextmanager
def _types_explained(study: optuna.Study) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError:  # A damaged database.
        raise
    except ValueError as error:
        raise StudyError(
            f"Another program put trials into the study {study.study_name} whose parameters are "
            f"of another type ({str(error)[:80]}). Use another name (--study), or remove it: "
            f"hpo delete {in_command(study)}"
        ) from error
