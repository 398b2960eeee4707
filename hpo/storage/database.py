"""Optuna's database of studies, read so that damage is named and harms nothing else.

Optuna reads all trials of a study at once and fails with whatever the first damaged value raises.
Here a damaged trial becomes a failed one without content, which says what is wrong with it.
"""

import json
import traceback
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DataError

from hpo.config import TrainingConfig
from hpo.errors import HpoError, StudyError, first_fault
from hpo.storage import MOST_TRIALS
from hpo.storage.url import mask, storage_option

DAMAGE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, HpoError),
)
"""What Optuna, SQLAlchemy and the checks of hpo raise on invalid values."""

MOST_TEXT: Final = 100_000_000
_MOST_ROWS: Final = 1_000_000
_PORTION: Final = 1_000  # Trials: until they are read, each of their rows takes 2 kB of memory.

_NOTE: Final = "hpo:damaged"
_NO_NUMBER: Final = 1_000_000_000

_OF_STUDY: Final = "SELECT trial_id FROM trials WHERE study_id = :id"


def _tables() -> Iterator[tuple[str, str, str]]:
    """Yield each table of a study, the deepest first: its name, its rows, their long text."""
    for table in reversed(models.BaseModel.metadata.sorted_tables):
        columns = set(table.columns.keys())
        long = next(iter(columns & {"value_json", "distribution_json"}), "''")
        if "study_id" in columns:
            yield table.name, "study_id = :id", long
        elif "trial_id" in columns:
            yield table.name, f"trial_id IN ({_OF_STUDY})", long


TABLES: Final = tuple(_tables())


class Database(RDBStorage):
    """The studies in one database, as Optuna keeps them.

    `notes` holds what the user should know about how it was opened.
    """

    def __init__(self, url: str, *, engine_kwargs: dict[str, Any]) -> None:
        self.notes: tuple[str, ...] = ()
        self._measured: set[int] = set()
        self._of_hpo: set[int] = set()
        super().__init__(url, engine_kwargs=engine_kwargs)

    @staticmethod
    def _fill_storage_url_template(template: str) -> str:
        return template  # Optuna puts its version into braces; here they belong to the name.

    @property
    def shown_url(self) -> str:
        """The URL as it may be printed: without a password."""
        return mask(self.url)

    def close_interrupted(self, error: BaseException | None) -> None:
        """Close what an interrupt left open: its transaction would lock the database.

        The frames that an interrupt cut off may hold a session that nobody closes any more.
        """
        while error:
            traceback.clear_frames(error.__traceback__)
            error = error.__context__
        self.scoped_session.remove()
        self.engine.dispose()

    def study_names(self) -> list[str]:
        """Return the names of all studies, the oldest first."""
        found = self._rows("SELECT study_name FROM studies ORDER BY study_id")
        return [name for (name,) in found if isinstance(name, str)]

    def is_of_hpo(self, study_id: int) -> bool:
        """Whether hpo wrote into the study, as far as anything of that is left."""
        query = (
            "SELECT 1 FROM study_user_attributes WHERE study_id = :id AND key IN ('hpo', 'goal') "
            "UNION ALL SELECT 1 FROM trial_user_attributes WHERE key = 'ordinal' "
            f"AND trial_id IN ({_OF_STUDY}) LIMIT 1"
        )
        return bool(self._rows(query, id=study_id))

    def n_trials(self, study_id: int) -> int:
        """Count the trials of a study without reading them."""
        found = self._rows("SELECT count(*) FROM trials WHERE study_id = :id", id=study_id)
        return int(found[0][0])

    def trial_attributes(self, study_id: int, prefix: str) -> dict[str, str]:
        """Return the texts of trials' system attributes whose names begin with a prefix."""
        columns = "key, value_json FROM trial_system_attributes"
        query = f"SELECT {columns} WHERE trial_id IN ({_OF_STUDY}) AND key LIKE :pattern"
        found = self._rows(query, id=study_id, pattern=f"{prefix}%")
        return {str(key): str(value) for key, value in found}

    def delete_study(self, study_id: int) -> None:
        """Delete a study row by row, whatever in it cannot be read."""
        with self.engine.begin() as connection:
            for name, rows, _ in TABLES:
                connection.execute(text(f"DELETE FROM {name} WHERE {rows}"), {"id": study_id})

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions, none where one is damaged."""
        self.get_study_name_from_id(study_id)
        try:
            return super().get_study_directions(study_id)
        except LookupError:
            return []

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study, or raise StudyError where one is damaged."""
        return self._attributes("study_user_attributes", study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of a study, or raise StudyError where one is damaged."""
        return self._attributes("study_system_attributes", study_id)

    def _attributes(self, table: str, study_id: int) -> dict[str, Any]:
        name = self.get_study_name_from_id(study_id)
        self._measure(study_id)
        found = {}
        query = f"SELECT key, value_json FROM {table} WHERE study_id = :id"
        for key, value in self._rows(query, id=study_id):
            if not _is_json(value):
                raise damaged_study(name, self.url, f"{key!r} is not valid JSON")
            found[key] = json.loads(value)
        return found

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        self._measure(study_id)
        if study_id not in self._of_hpo and self.is_of_hpo(study_id):
            self._of_hpo.add(study_id)
        query = f"{_OF_STUDY} AND trial_id > :last ORDER BY trial_id"
        new = [i for (i,) in self._rows(query, id=study_id, last=trial_id_greater_than)]
        ids = sorted(i for i in included_trial_ids if i <= trial_id_greater_than) + new
        last = max(ids, default=trial_id_greater_than)
        found: list[FrozenTrial] = []
        for begin in range(0, len(ids) or 1, _PORTION):
            found += self._read(study_id, ids[begin : begin + _PORTION], last)
        return [t for t in _numbered(found) if states is None or t.state in states]

    def _read(self, study_id: int, ids: Sequence[int], last: int) -> list[FrozenTrial]:
        """Read some trials, by halves where a value keeps Optuna from reading them at once."""
        try:
            return super()._get_trials(study_id, None, set(ids), last)
        except DAMAGE as error:
            if not ids:  # There is no such study.
                raise
            if len(ids) == 1:
                query = "SELECT number FROM trials WHERE trial_id = :id"
                return [_failed(ids[0], self._rows(query, id=ids[0])[0][0], _words(error))]
        half = len(ids) // 2
        return self._read(study_id, ids[:half], last) + self._read(study_id, ids[half:], last)

    def _build_frozen_trial_from_trial_model(self, trial: Any) -> FrozenTrial:
        try:
            built = super()._build_frozen_trial_from_trial_model(trial)
            _check_values(built)
            if trial.study_id in self._of_hpo:
                scores = [*(built.values or ()), *built.intermediate_values.values()]
                _check_trial(built.user_attrs, built.params, scores)
        except DAMAGE as error:
            attributes = (*trial.user_attributes, *trial.system_attributes)
            broken = [a.key for a in attributes if not _is_json(a.value_json)]
            fault = f"{broken[0]!r} is not valid JSON" if broken else _words(error)
            return _failed(trial.trial_id, trial.number, fault)
        return built

    def _measure(self, study_id: int) -> None:
        """Refuse a study that would fill the memory; each is measured once."""
        if study_id in self._measured:
            return
        sizes = " UNION ALL ".join(
            f"SELECT count(*) AS n, sum(length({long})) AS size FROM {name} WHERE {rows}"
            for name, rows, long in TABLES
        )
        query = f"SELECT sum(n), coalesce(sum(size), 0) FROM ({sizes}) AS tables"
        fault = ""
        try:
            n_rows, size = self._rows(query, id=study_id)[0]
        except DataError:
            fault = f"a value is larger than {MOST_TEXT / 1e6:.0f} MB"
        else:
            n_trials = self.n_trials(study_id)
            if n_trials > MOST_TRIALS or n_rows > _MOST_ROWS or size > MOST_TEXT:
                fault = (
                    f"{n_trials:,} trials in {n_rows:,} rows, with {size / 1e6:,.0f} MB of text, "
                    f"are more than {MOST_TRIALS:,}, {_MOST_ROWS:,} or {MOST_TEXT / 1e6:.0f} MB"
                )
        if fault:
            raise damaged_study(self.get_study_name_from_id(study_id), self.url, fault)
        self._measured.add(study_id)

    def _rows(self, query: str, **values: object) -> Sequence[Any]:
        with self.engine.connect() as connection:
            return connection.execute(text(query), values).all()


def damaged_study(name: str, url: str, fault: str) -> StudyError:
    """Return the error of a study of which something is damaged."""
    command = f"hpo delete {name}{storage_option(url)}"
    return StudyError(
        f"The study {name} is damaged: {fault[:120]}. Remove it with `{command}`; what the run "
        "store holds is not trained again."
    )


def damage_of(trial: FrozenTrial) -> str | None:
    """Say how a trial is damaged, None where it is not."""
    fault = trial.system_attrs.get(_NOTE)
    if fault is None:
        return None
    which = f"{trial.number}" if trial.number < _NO_NUMBER else f"of id {trial._trial_id}"
    return f"Trial {which} is damaged ({fault}) and is left out."


def _failed(trial_id: int, number: object, fault: str) -> FrozenTrial:
    """Return what stands for a damaged trial: one that failed and has nothing else."""
    failed = create_trial(state=TrialState.FAIL, system_attrs={_NOTE: fault[:120]})
    failed.datetime_start = failed.datetime_complete = None
    failed.number = number if type(number) is int and number >= 0 else _NO_NUMBER + trial_id
    failed._trial_id = trial_id
    return failed


def _numbered(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return each trial once; of two with one number the later is damaged."""
    by_id = {trial._trial_id: trial for trial in trials}
    by_number: dict[int, FrozenTrial] = {}
    for trial_id, trial in by_id.items():
        if trial.number in by_number:
            trial = _failed(trial_id, None, f"another trial has its number {trial.number}")
        by_number[trial.number] = trial
    return list(by_number.values())


def _check_values(trial: FrozenTrial) -> None:
    """Refuse what SQLite keeps in a column of another type."""
    if type(trial.number) is not int or trial.number < 0:
        raise ValueError("its number is not a whole number")
    if trial.state == TrialState.COMPLETE and not trial.values:
        raise ValueError("it is complete without a value")
    numbers = [*(trial.values or ()), *trial.intermediate_values.values()]
    if not all(type(value) in (int, float) for value in numbers):
        raise ValueError("a value is not a number")
    if not all(type(step) is int for step in trial.intermediate_values):
        raise ValueError("a step is not a whole number")


_Count: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000)]
_Place: TypeAlias = Annotated[int, Field(ge=0, le=2_000_000)]


class _TrialAttributes(BaseModel):
    """What hpo records in a trial; not every trial has the fields with a default."""

    model_config = ConfigDict(strict=True)

    ordinal: int = Field(ge=-1_000_000, le=1_000_000)
    repeat: _Place
    seed: _Place
    fold: _Place
    params: dict[str, Any]
    config: dict[str, Any]
    report: str = ""
    n_epochs: _Count = 0
    seconds: float = Field(default=0, ge=0, lt=1e9)
    is_reused: bool = False
    reason: str = ""
    metrics: dict[str, dict[str, float]] = {}


def _check_trial(
    attributes: Mapping[str, Any], params: Mapping[str, Any], scores: Collection[float]
) -> None:
    """Check what hpo recorded in a trial; one of another program may hold anything.

    `params` are those that Optuna recorded, `scores` all that were reported.

    Raises:
        ValueError: the first field that is damaged.
        ConfigError: the configuration cannot be trained.
    """
    if not attributes.keys() & {"config", "ordinal"}:
        return
    recorded = _TrialAttributes.model_validate(attributes)
    if recorded.params != params:
        raise ValueError("params are not those of the trial")
    _check_config(json.dumps(recorded.config))
    # The loss of a training that diverged may be anything; without one class the AUROC is NaN.
    measured = [v for m in recorded.metrics.values() for name, v in m.items() if name != "loss"]
    if any(abs(value) > 1e9 for value in measured):
        raise ValueError("metrics hold a value above 1e9")
    if not all(abs(score) < 1e9 for score in scores):
        raise ValueError("a score is not finite")


@lru_cache(maxsize=1_000)
def _check_config(text: str) -> None:
    TrainingConfig.from_mapping(json.loads(text))


def _is_json(value: Any) -> bool:
    try:
        json.loads(value)
    except DAMAGE:
        return False
    return True


def _words(error: Exception) -> str:
    """Return the first line that is about one value."""
    if isinstance(error, ValidationError):
        return first_fault(error)
    lines = [line.strip(" -") for line in str(error).splitlines() if not line.endswith(":")]
    return lines[0] if lines and len(lines[0]) > 3 else "a value that cannot be read"
