"""Writing what trials report, many rows in one transaction.

Optuna writes every epoch and every attribute in a transaction of its own: a few milliseconds
each, as long as an epoch of a small network takes on a GPU.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from hpo.trial_tables import is_known

_OPEN: Final = (TrialState.RUNNING, TrialState.WAITING)
_DIALECTS: Final = ("sqlite", "postgresql")

Scores = Mapping[int, float]
"""By step."""


def report(reported: Mapping[optuna.Trial, Scores]) -> None:
    """Report the scores of several trials of one study; a step that has one keeps it.

    What belongs to a trial that has ended is left out: another process has told it, with the same.
    """
    database = next((_database(trial) for trial in reported), None)
    if database is None:
        for trial, scores in reported.items():
            for step, score in scores.items():
                trial.report(score, step)
        return
    to_row = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    names = ("trial_id", "step", "intermediate_value", "intermediate_value_type")
    with database.engine.begin() as connection:
        still_open = _still_open(connection, [trial._trial_id for trial in reported])
        rows = [
            dict(zip(names, (trial._trial_id, step, *to_row(score)), strict=True))
            for trial, scores in reported.items()
            for step, score in scores.items()
            if trial._trial_id in still_open
        ]
        _insert(connection, models.TrialIntermediateValueModel.__table__, rows)


def set_attributes(trial: optuna.Trial, attributes: Mapping[str, object]) -> None:
    """Set user attributes that the trial does not have yet.

    Raises:
        UpdateFinishedTrialError: another process has told it.
    """
    database = _database(trial)
    if database is None:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        return
    trial_id = trial._trial_id
    rows = [
        {"trial_id": trial_id, "key": name, "value_json": json.dumps(value)}
        for name, value in attributes.items()
    ]
    with database.engine.begin() as connection:
        if not _still_open(connection, [trial_id]):
            raise UpdateFinishedTrialError(f"Trial {trial.number} was told.")
        _insert(connection, models.TrialUserAttributeModel.__table__, rows)


def _database(trial: optuna.Trial) -> RDBStorage | None:
    """Return the database of a trial where its tables are known; else Optuna writes by itself."""
    storage = trial.storage
    if not isinstance(storage, _CachedStorage) or not is_known():
        return None
    return storage._backend if storage._backend.engine.dialect.name in _DIALECTS else None


def _still_open(connection: Connection, trial_ids: Iterable[int]) -> set[int]:
    """Return the trials that may still be written, and keep them from ending meanwhile."""
    table = models.TrialModel.__table__
    found = select(table.c.trial_id).where(table.c.trial_id.in_(trial_ids))
    found = found.where(table.c.state.in_(_OPEN)).with_for_update()
    return set(connection.execute(found).scalars())


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        if connection.dialect.name == "sqlite":
            connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
        else:
            connection.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)
