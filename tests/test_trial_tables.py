"""Reading trials by whole tables: the same as Optuna reads them, and read once."""

import math
from pathlib import Path
from typing import Any, NoReturn

import optuna
import pytest
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from hpo import trial_tables, trial_writes
from hpo.storage import Storage, open_storage
from hpo.trial_tables import read_ahead
from tests.conftest import SIZE, Hpo
from tests.long_studies import in_database, in_memory, long_search


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(f"sqlite:///{tmp_path}/hpo.db")


def n_selects(storage: Storage, study: optuna.Study) -> int:
    """Count what asking a study for its trials asks of the database."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sqlalchemy.event.listen(storage.optuna.engine, "before_cursor_execute", note)
    study.get_trials(deepcopy=False)
    sqlalchemy.event.remove(storage.optuna.engine, "before_cursor_execute", note)
    return len(asked)


def fields(trial: FrozenTrial) -> dict[str, Any]:
    """Return all that a trial holds; nan is not equal to itself, but its text is."""
    return vars(trial) | {"intermediate_values": repr(trial.intermediate_values)}


def load(storage: Storage, name: str = "long") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=storage.optuna)


def test_it_reads_what_optuna_reads(storage: Storage) -> None:
    study = in_database(long_search(40), storage)
    in_database(long_search(20), storage, "another")
    for value in (math.inf, -math.inf, math.nan, 0.1 + 0.2):
        trial = study.ask()
        trial.report(value, step=1)
        trial.set_user_attr("nested", {"a": [1, "ä", None]})
        if not math.isnan(value):
            study.tell(trial, value)
    study.enqueue_trial({"dropout": 0.5})
    study.tell(study.ask(), state=TrialState.FAIL)
    study.enqueue_trial({"dropout": 0.25})
    ahead = load(storage)
    read_ahead(ahead)
    assert list(map(fields, ahead.get_trials())) == list(map(fields, load(storage).get_trials()))
    assert {trial.state for trial in ahead.trials} == set(TrialState)


def test_what_is_finished_is_read_once_and_what_is_not_again(storage: Storage) -> None:
    study = in_database(long_search(20), storage)
    trial = study.ask()
    other = load(storage)
    read_ahead(other)
    study.tell(trial, 0.9)
    study.tell(study.ask(), 0.8)
    assert [found.value for found in other.get_trials()[-2:]] == [0.9, 0.8]
    alone = load(storage)
    assert n_selects(storage, alone) > n_selects(storage, other)


def test_a_study_without_trials_and_one_in_memory_are_left_alone(storage: Storage) -> None:
    empty = optuna.create_study(study_name="empty", storage=storage.optuna)
    memory = in_memory(long_search(20))
    for study, n in ((empty, 0), (memory, 20)):
        read_ahead(study)
        assert len(study.get_trials()) == n


@pytest.mark.parametrize("version", ["5.1.0", "6.0.0"])
def test_another_version_of_optuna_reads_by_itself(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    in_database(long_search(20), storage)
    study = load(storage)
    monkeypatch.setattr(optuna, "__version__", version)
    read_ahead(study)
    alone = load(storage)
    load(storage).get_trials()  # The first to read a study measures it.
    assert n_selects(storage, study) == n_selects(storage, alone)
    assert len(study.get_trials()) == 20


def test_commands_work_with_an_optuna_whose_tables_are_other_ones(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the version that was tried they would end there."""

    class Renamed:
        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(name)

    for module in (trial_tables, trial_writes):
        monkeypatch.setattr(module, "models", Renamed())
    grid = ("grid", "--param", "hidden", "--values", "8,16", "--repeats", "1", "--data", xrays)
    command = (*grid, "--set", f"image_size={SIZE}", "--epochs", "2", "--study", "s")
    with pytest.raises(AttributeError):
        hpo(*command)
    monkeypatch.setattr(optuna, "__version__", "5.1.0")
    for more in (command, ("show", "s"), ("evaluate", "s")):
        answer = hpo(*more)
        assert answer.code == 0, answer.err
    assert len(hpo("show", "s", "--json").json["configurations"]) == 2


def test_a_study_written_by_whole_tables_is_one_that_optuna_wrote(storage: Storage) -> None:
    long = long_search(20)
    optunas, ours = in_memory(long), in_database(long, storage)
    for one, other in zip(optunas.get_trials(), ours.get_trials(), strict=True):
        for name in ("params", "value", "state", "intermediate_values", "distributions"):
            assert getattr(one, name) == getattr(other, name)
        # JSON has no tuples.
        assert one.user_attrs.keys() == other.user_attrs.keys()
        assert one.user_attrs["params"] == other.user_attrs["params"]
