"""Optuna's database of studies, read so that damage is isolated and reported.

Optuna reads all trials of a study at once and fails at the first damaged value. Here a damaged
trial becomes a failed one without content, with a message on the damage.
"""

import contextlib
import json
import re
import sqlite3
import traceback
from collections.abc import Callable, Container, Iterator, Sequence
from functools import lru_cache, wraps
from inspect import isfunction
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb import storage as rdb
from optuna.storages._rdb.models import TrialIntermediateValueModel as _EpochScore
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from hpo.config import TrainingConfig
from hpo.errors import HpoError, StorageError, StudyError, first_fault
from hpo.storage import MOST_TRIALS
from hpo.storage.url import mask, secrets_of, storage_option

DAMAGE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, HpoError),
)
"""The errors of Optuna, SQLAlchemy and hpo for invalid values."""

_PORTION: Final = 1_000  # Trials read at once: each of their rows takes 2 kB of memory.
_NOTE: Final = "hpo:damaged"

_OF_STUDY: Final = "SELECT trial_id FROM trials WHERE study_id = :id"
TABLES: Final = {
    table.name: "study_id = :id" if "study_id" in table.columns else f"trial_id IN ({_OF_STUDY})"
    for table in reversed(models.BaseModel.metadata.sorted_tables)
    if {"study_id", "trial_id"} & set(table.columns.keys())
}
"""The tables with rows of a study, the deepest first, and a condition for these rows."""

_IF_RUNNING: Final = (
    "WHERE EXISTS (SELECT 1 FROM trials WHERE trial_id = :trial AND state = 'RUNNING') ON CONFLICT"
)
_REPORT: Final = (
    "INSERT INTO trial_intermediate_values "
    "(trial_id, step, intermediate_value, intermediate_value_type) "
    f"SELECT :trial, :epoch, :score, :kind {_IF_RUNNING} DO NOTHING"
)
_ATTRIBUTE: Final = (
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
    f"SELECT :trial, :name, :value {_IF_RUNNING} (trial_id, key) "
    "DO UPDATE SET value_json = excluded.value_json"
)

BUSY_TIMEOUT_S: Final = 60.0
"""How long a command waits for a lock of another program."""

OTHER: Final = "To use another database, name it with --storage."
_AGAIN: Final = "then run the same command again."
_KEPT: Final = "Finished results are saved:"
_DELETED: Final = (
    "no longer contains this study, because another program deleted it. Its results are in the "
    "run store: run the same command again to create it again."
)
_REASONS: Final = (
    (
        "locked|lock timeout",
        f"has been locked by another program for over {BUSY_TIMEOUT_S:.0f} s. {_KEPT} end that "
        f"program, {_AGAIN}",
    ),
    (
        "readonly|read-only|permission denied for",
        "is read-only. Change its permissions, or name another with --storage.",
    ),
    (
        "unable to open",
        "cannot be opened: its folder is missing or cannot be written, which SQLite needs for "
        f"reading. Copy the folder to where you may write. {OTHER}",
    ),
    ("not a database", "is not an SQLite database. Move it away or name another with --storage."),
    (
        "malformed",
        "is corrupt. Move it away and run the same command again: results in the run store are "
        "reused.",
    ),
    (
        "disk is full|no space left|disk i/o",
        f"cannot be written: the disk is full or broken ({{}}). {_KEPT} make room, {_AGAIN}",
    ),
    (
        'authentication failed|no password supplied|role "',
        "refuses this user or password. Correct them in --storage or HPO_STORAGE.",
    ),
    ('fatal:  database "', f"does not exist. Create it: createdb DATABASE. {OTHER}"),
    (
        "connection|resolve|can't reconnect",
        f"cannot be reached: {{}}. {_KEPT} start the server, or correct its host and port in "
        f"--storage, {_AGAIN}",
    ),
    ("were matched|foreign key|has been deleted", _DELETED),
    (
        'no such table|no such column|has no column|relation "|column "',
        f"has other tables than Optuna creates: it was changed, or has another version. {OTHER}",
    ),
    ("", f"gave an error ({{}}). {_KEPT} run the same command again. {OTHER}"),
)
"""Patterns of error messages of database libraries: the first match gives the advice."""


@contextlib.contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Turn errors of the database libraries into one message with advice."""
    try:
        yield
    except KeyError as error:
        if "Record does not exist" not in str(error):  # Optuna's message for deleted records.
            raise
        raise StorageError(f"{mask(url)} {_DELETED}") from error
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        message = str(cause).strip().partition("\n")[0]
        quoted = message.rstrip(".")
        if any(secret in message for secret in secrets_of(url)):
            quoted = "its text contains the password and is not shown"
        elif type(cause).__module__.startswith(("sqlalchemy", "optuna")):
            quoted = type(cause).__name__
        reason = next(reason for regex, reason in _REASONS if re.search(regex, message.lower()))
        raise StorageError(f"{mask(url)} {reason.replace('{}', quoted)}") from error


class _Versions(rdb._VersionManager):
    """Optuna's check of its tables, which loads Alembic only for new tables, as it is slow."""

    def _init_alembic(self) -> None:
        query, self._versions = text("SELECT version_num FROM alembic_version"), list[str]()
        with self.engine.connect() as connection:
            if inspect(connection).has_table("alembic_version"):
                self._versions = list(connection.scalars(query))
        if not self._versions:
            super()._init_alembic()

    def check_table_schema_compatibility(self) -> None:
        migrations = Path(rdb.__file__).parent.glob("alembic/versions/v*.py")
        newest = max(path.stem.rstrip("_") for path in migrations)
        if not self._versions:
            super().check_table_schema_compatibility()
        elif self._versions != [newest]:
            raise RuntimeError(f"The tables are of {self._versions}, not of {newest}.")


rdb._VersionManager = _Versions  # type: ignore[misc]


class Database(RDBStorage):
    """The studies in one database, as stored by Optuna; its failures are StorageErrors.

    `notes` are sentences for the user on how it was opened. If `is_driver`, only this
    process reports to running trials, so they are not read again while they run.
    """

    def __init__(self, url: str, *, engine_kwargs: dict[str, Any]) -> None:
        self.notes: tuple[str, ...] = ()
        self.is_driver, self._running = False, set[int]()
        super().__init__(url, engine_kwargs=engine_kwargs)

    @staticmethod
    def _fill_storage_url_template(template: str) -> str:
        return template  # Optuna inserts its version into braces; here they belong to the name.

    @property
    def shown_url(self) -> str:
        """The URL as it may be printed: without a password."""
        return mask(self.url)

    def close_interrupted(self, error: BaseException | None) -> None:
        """Close a session left open by an interrupt; its transaction would lock the database.

        The session may exist only in the interrupted frames.
        """
        while error:
            traceback.clear_frames(error.__traceback__)
            error = error.__context__
        self.scoped_session.remove()
        self.engine.dispose()

    def study_names(self) -> list[str]:
        """Return the names of all studies, the oldest first."""
        return [name for (name,) in self.rows("SELECT study_name FROM studies ORDER BY study_id")]

    def is_of_hpo(self, study_id: int) -> bool:
        """Whether hpo wrote to the study, as far as its records remain."""
        query = (
            "SELECT 1 FROM study_user_attributes WHERE study_id = :id AND key IN ('hpo', 'goal') "
            "UNION ALL SELECT 1 FROM trial_user_attributes WHERE key = 'ordinal' "
            f"AND trial_id IN ({_OF_STUDY}) LIMIT 1"
        )
        return bool(self.rows(query, id=study_id))

    def n_trials(self, study_id: int) -> int:
        """Count the trials of a study without reading them."""
        counts = self.rows("SELECT count(*) FROM trials WHERE study_id = :id", id=study_id)
        return int(counts[0][0])

    def delete_study(self, study_id: int) -> None:
        """Delete a study row by row, even if parts cannot be read."""
        with self.engine.begin() as connection:
            for name, rows in TABLES.items():
                connection.execute(text(f"DELETE FROM {name} WHERE {rows}"), {"id": study_id})

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions, or none if one is damaged."""
        self.get_study_name_from_id(study_id)
        try:
            return super().get_study_directions(study_id)
        except LookupError:
            return []

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study, or raise StudyError if one is damaged."""
        try:
            return super().get_study_user_attrs(study_id)
        except (ValueError, RecursionError):
            name = self.get_study_name_from_id(study_id)
            raise damaged_study(name, self.url, "an attribute is not valid JSON") from None

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        first = min([trial_id_greater_than + 1, *included_trial_ids])
        query = "SELECT trial_id, state FROM trials WHERE study_id = :id AND trial_id >= :first"
        states_of = {
            i: state
            for i, state in self.rows(query, id=study_id, first=first)
            if i > trial_id_greater_than or i in included_trial_ids
        }
        running = {i for i, state in states_of.items() if state == "RUNNING"}
        unchanged = running & self._running & included_trial_ids if self.is_driver else set()
        ids, self._running = sorted(states_of.keys() - unchanged), running
        if len(ids) > MOST_TRIALS:
            fault = f"{len(ids):,} trials are more than {MOST_TRIALS:,}"
            raise damaged_study(self.get_study_name_from_id(study_id), self.url, fault)
        last = max(states_of, default=trial_id_greater_than)
        # A dictionary by id, because a trial that starts during the reads is in every portion.
        trials: dict[int, FrozenTrial] = {}
        for begin in range(0, len(ids) or 1, _PORTION):
            read = self._read(study_id, ids[begin : begin + _PORTION], last)
            trials |= {trial._trial_id: trial for trial in read}
        return [t for t in trials.values() if states is None or t.state in states]

    def _read(self, study_id: int, ids: Sequence[int], last: int) -> list[FrozenTrial]:
        """Read some trials, one by one if a damaged value prevents reading them at once."""
        try:
            return super()._get_trials(study_id, None, set(ids), last)
        except DAMAGE as error:
            if not ids:  # There is no such study.
                raise
            if len(ids) == 1:
                query = "SELECT number FROM trials WHERE trial_id = :id"
                return [_failed(ids[0], self.rows(query, id=ids[0])[0][0], error)]
        return [trial for i in ids for trial in self._read(study_id, [i], last)]

    def _build_frozen_trial_from_trial_model(self, trial: Any) -> FrozenTrial:
        try:
            built = super()._build_frozen_trial_from_trial_model(trial)
            _check_trial(built)
        except DAMAGE as error:
            return _failed(trial.trial_id, trial.number, error)
        return built

    def write_running(
        self,
        scores: Sequence[tuple[int, int, float]],
        attributes: Sequence[tuple[int, str, object]] = (),
    ) -> None:
        """Write scores as (trial, epoch, score) and attributes as (trial, name, value) at once.

        Optuna uses a transaction for each. Trials that another program finished are skipped.
        """
        to_stored = _EpochScore.intermediate_value_to_stored_repr
        reports = [
            {"trial": i, "epoch": epoch, "score": stored, "kind": kind.name}
            for i, epoch, score in scores
            for stored, kind in [to_stored(score)]
        ]
        others = [
            {"trial": i, "name": name, "value": json.dumps(value)} for i, name, value in attributes
        ]
        with self.engine.begin() as connection:
            for query, rows in ((_REPORT, reports), (_ATTRIBUTE, others)):
                if rows:
                    connection.execute(text(query), rows)

    def rows(self, query: str, **values: object) -> Sequence[Any]:
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return connection.execute(text(query), values).all()


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Database, *arguments: Any, **keywords: Any) -> Any:
        with translate_errors(self.url):
            return method(self, *arguments, **keywords)

    return call


# Optuna also calls these private methods.
_PRIVATE: Final = ("_create_new_trial", "_get_trials", "_set_trial_param")
for _name, _method in {**vars(RDBStorage), **vars(Database)}.items():
    if isfunction(_method) and (_name[0] != "_" or _name in _PRIVATE):
        setattr(Database, _name, _translated(_method))


def damaged_study(name: str, url: str, fault: str) -> StudyError:
    """Return the error for a damaged study."""
    command = f"hpo delete {name}{storage_option(url)}"
    return StudyError(
        f"The study {name} is damaged: {fault[:120]}. Remove it with `{command}`; its results in "
        "the run store will be reused."
    )


def damage_of(trial: FrozenTrial) -> str | None:
    """Return the damage of a trial, or None."""
    return trial.system_attrs.get(_NOTE)


def _failed(trial_id: int, number: int, error: Exception) -> FrozenTrial:
    """Return a failed trial without content in place of a damaged one."""
    is_of_field = isinstance(error, ValidationError)
    fault = first_fault(error) if is_of_field else " ".join(str(error).split())
    note = f"Trial {number} is damaged ({fault[:120]}) and is left out."
    failed = create_trial(state=TrialState.FAIL, system_attrs={_NOTE: note})
    failed.datetime_start = failed.datetime_complete = None
    failed.number, failed._trial_id = number, trial_id
    return failed


_Count: TypeAlias = Annotated[int, Field(ge=0, le=2_000_000)]


class _TrialAttributes(BaseModel):
    """The records of hpo in a trial; fields with a default may be missing."""

    model_config = ConfigDict(strict=True)

    ordinal: int = Field(ge=-1_000_000, le=1_000_000)
    repeat: _Count
    seed: _Count
    fold: _Count
    params: dict[str, Any]
    config: dict[str, Any]
    report: str = ""
    n_epochs: _Count = 0
    seconds: float = Field(default=0, ge=0, lt=1e9)
    is_reused: bool = False
    reason: str = ""
    metrics: dict[str, dict[str, float]] = {}


def _check_trial(trial: FrozenTrial) -> None:
    """Check a trial and, if it belongs to hpo, its records; other programs may record anything.

    Raises:
        ValueError: the first damaged field.
        ConfigError: the configuration cannot be trained.
    """
    if trial.state == TrialState.COMPLETE and not trial.values:
        raise ValueError("it is complete without a value")
    scores = [*(trial.values or ()), *trial.intermediate_values.values()]
    # SQLite accepts text in any column.
    if not all(
        isinstance(number, int | float) for number in (*scores, *trial.intermediate_values)
    ):
        raise ValueError("a value is not a number")
    if not trial.user_attrs.keys() >= {"config", "ordinal"}:
        return
    recorded = _TrialAttributes.model_validate(trial.user_attrs)
    if recorded.params != trial.params:
        raise ValueError("params are not those of the trial")
    _check_config(json.dumps(recorded.config))
    # A diverged training may have any loss; the AUROC is NaN if a class is missing.
    measured = [v for m in recorded.metrics.values() for name, v in m.items() if name != "loss"]
    if any(abs(value) > 1e9 for value in measured) or not all(abs(s) < 1e9 for s in scores):
        raise ValueError("a score is above 1e9 or not finite")


@lru_cache(maxsize=1_000)
def _check_config(text: str) -> None:
    TrainingConfig.from_mapping(json.loads(text))
