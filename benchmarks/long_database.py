"""Writing studies of thousands of trials into a database in seconds."""

import json
from collections.abc import Iterator
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial

from benchmarks.long_studies import LongStudy
from hpo.storage.database import Database
from tests.fake_studies import begin


def in_database(long: LongStudy, storage: Database, name: str = "long") -> optuna.Study:
    """Write the study into a database by whole tables; trial by trial takes Optuna minutes."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction=long.record.score.kind.direction,
    )
    begin(study, long.record, long.goal)
    rows: dict[Any, list[dict[str, Any]]] = {}
    with storage.engine.begin() as connection:
        last = connection.execute(
            sqlalchemy.select(sqlalchemy.func.max(models.TrialModel.trial_id))
        )
        first_id = 1 + (last.scalar() or 0)
        for number, trial in enumerate(long.trials):
            for model, row in _rows(trial, number, first_id + number):
                rows.setdefault(model, []).append(row)
        for row in rows[models.TrialModel]:
            row["study_id"] = study._study_id
        for model, of_one in rows.items():
            connection.execute(sqlalchemy.insert(model.__table__), of_one)
    return study


def _rows(trial: FrozenTrial, number: int, trial_id: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the rows of a trial, each with its table."""
    of_trial = {"trial_id": trial_id}
    times = {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
    yield models.TrialModel, {**of_trial, **times, "number": number, "state": trial.state}
    for name, value in trial.params.items():
        domain = trial.distributions[name]
        yield (
            models.TrialParamModel,
            of_trial
            | {
                "param_name": name,
                "param_value": domain.to_internal_repr(value),
                "distribution_json": distribution_to_json(domain),
            },
        )
    finite = models.TrialValueModel.TrialValueType.FINITE
    if trial.value is not None:
        row = {"objective": 0, "value": trial.value, "value_type": finite}
        yield models.TrialValueModel, of_trial | row
    finite_step = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    for step, value in trial.intermediate_values.items():
        row = {"step": step, "intermediate_value": value}
        row["intermediate_value_type"] = finite_step
        yield models.TrialIntermediateValueModel, of_trial | row
    for key, value in trial.user_attrs.items():
        row = {"key": key, "value_json": json.dumps(value)}
        yield models.TrialUserAttributeModel, of_trial | row
    for key, value in trial.system_attrs.items():
        row = {"key": key, "value_json": json.dumps(value)}
        yield models.TrialSystemAttributeModel, of_trial | row
