"""Reading all trials of a study by whole tables.

Optuna makes an object of every row: of 10,000 trials with 20 parameters and 20 epochs each that
takes 20 seconds. Here it takes three, and what is read is put where Optuna keeps what it has read.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Connection

# Tables and cache are no public interface: a version of Optuna that was not tried reads and writes
# by itself, slower.
_KNOWN: Final = "5.0."


def read_ahead(study: optuna.Study) -> None:
    """Read the trials of a study in a database, unless some were read before.

    Whoever asks the study for its trials then waits for the unfinished and the new ones alone.
    """
    storage, study_id = study._storage, study._study_id
    if not isinstance(storage, _CachedStorage) or not is_known():
        return
    storage.get_study_directions(study_id)  # It makes a place for the study in the cache.
    with storage._lock:
        kept = storage._studies[study_id]
        if kept.trials:
            return
        with storage._backend.engine.connect() as connection:
            trials = _read(connection, study_id)
        storage._add_trials_to_cache(study_id, trials)
        finished = {trial._trial_id for trial in trials if trial.state.is_finished()}
        kept.unfinished_trial_ids |= {trial._trial_id for trial in trials} - finished
        kept.last_finished_trial_id = max(finished, default=-1)


def is_known() -> bool:
    """Whether the tables are those of a version of Optuna that was tried."""
    return optuna.__version__.startswith(_KNOWN)


def _read(connection: Connection, study_id: int) -> list[FrozenTrial]:
    # The trials come first: what is finished by then has all its rows in the other tables.
    table = models.TrialModel.__table__
    query = sqlalchemy.select(table).where(table.c.study_id == study_id)
    found = connection.execute(query.order_by(table.c.trial_id))
    trials = {row.trial_id: _trial(row) for row in found}
    ids = sqlalchemy.select(table.c.trial_id).where(table.c.study_id == study_id)
    for model, columns, fill in _CHILDREN:
        child = model.__table__
        first, *_ = child.primary_key.columns
        wanted = sqlalchemy.select(child.c.trial_id, *(child.c[name] for name in columns))
        rows = connection.execute(wanted.where(child.c.trial_id.in_(ids)).order_by(first))
        for trial_id, *values in rows:
            if trial_id in trials:  # A trial may have come in between.
                fill(trials[trial_id], *values)
    return list(trials.values())


def _trial(row: Any) -> FrozenTrial:
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        datetime_start=_local(row.datetime_start),
        datetime_complete=_local(row.datetime_complete),
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=row.trial_id,
    )


def _local(time: datetime | None) -> datetime | None:
    """Return a time of the database, in UTC, as Optuna does: local, without a zone."""
    return None if time is None else time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _param(trial: FrozenTrial, name: str, value: float, text: str) -> None:
    distribution = _distribution(text)
    trial._params[name] = distribution.to_external_repr(value)
    trial._distributions[name] = distribution


@lru_cache(maxsize=1_000)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _value(trial: FrozenTrial, value: float | None, kind: Any) -> None:
    # A study of hpo has one objective.
    trial._values = [models.TrialValueModel.stored_repr_to_value(value, kind)]


def _reported(trial: FrozenTrial, step: int, value: float | None, kind: Any) -> None:
    to_value = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    trial.intermediate_values[step] = to_value(value, kind)


def _user_attribute(trial: FrozenTrial, key: str, text: str) -> None:
    trial._user_attrs[key] = json.loads(text)


def _system_attribute(trial: FrozenTrial, key: str, text: str) -> None:
    trial._system_attrs[key] = json.loads(text)


_REPORTED: Final = ("step", "intermediate_value", "intermediate_value_type")
_CHILDREN: Final[tuple[tuple[Any, tuple[str, ...], Callable[..., None]], ...]] = (
    (models.TrialParamModel, ("param_name", "param_value", "distribution_json"), _param),
    (models.TrialValueModel, ("value", "value_type"), _value),
    (models.TrialIntermediateValueModel, _REPORTED, _reported),
    (models.TrialUserAttributeModel, ("key", "value_json"), _user_attribute),
    (models.TrialSystemAttributeModel, ("key", "value_json"), _system_attribute),
)
