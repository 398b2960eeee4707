"""Trials that other programs put into a study: what can be trained counts, the rest never wins."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpo import space as spaces
from hpo.errors import StorageError
from hpo.run.plan import Settings, plan_grid
from hpo.run.session import open_session, training_events
from hpo.study.study import read_record
from hpo.study.trials import first_repeat, requeue_running, start
from tests.conftest import SMALL, Answer, Hpo

URL = "sqlite:///studies/hpo.db"
GRID = (
    *("grid", "--param", "batch_size", "--values", "8,16", "--study", "s", "--lanes", "1"),
    *SMALL,
)
NOTHING_YET = ("--timeout", "0.000001")
SEARCH = (
    *("search", "--param", "learning_rate", "--param", "optimizer", "--param", "momentum"),
    *("--study", "s", "--finalists", "0", "--pruner", "none", "--metric", "accuracy", *SMALL),
)
SIZES = CategoricalDistribution((8, 16))


@dataclass
class Made:
    """A study that hpo made and trains with the same command."""

    hpo: Hpo
    data: Path

    def call(self, *arguments: object) -> Answer:
        return self.hpo(*arguments, "--data", self.data)

    def json(self, *arguments: object) -> Any:
        answer = self.call(*arguments, "--json")
        assert answer.code == 0, answer.err
        return answer.json


@pytest.fixture
def made(hpo: Hpo, xrays: Path) -> Made:
    return Made(hpo, xrays)


def opened() -> optuna.Study:
    """Open the study as another program does."""
    return optuna.load_study(study_name="s", storage=URL)


def states() -> list[str]:
    return [trial.state.name for trial in opened().trials]


def enqueue(study: optuna.Study) -> None:
    study.enqueue_trial({"batch_size": 16})


def add_waiting(study: optuna.Study) -> None:
    params, domains = {"batch_size": 16}, {"batch_size": SIZES}
    study.add_trial(create_trial(state=TrialState.WAITING, params=params, distributions=domains))


@pytest.mark.parametrize(("put", "n_repeats"), [(enqueue, 1), (enqueue, 2), (add_waiting, 1)])
def test_a_cell_that_is_enqueued_counts_as_that_cell(
    made: Made, put: Callable[[optuna.Study], None], n_repeats: int
) -> None:
    unfinished = made.call(*GRID, "--repeats", n_repeats, *NOTHING_YET)
    assert unfinished.code == 1
    assert f"{2 * n_repeats} trainings missing. To continue: `hpo resume s`" in unfinished.out
    put(opened())
    found = made.json(*GRID, "--repeats", n_repeats)
    assert [len(c["repeats"]) for c in found["configurations"]] == [n_repeats] * 2
    assert found["configurations"][1]["params"] == {"batch_size": 16}
    assert states() == ["COMPLETE"] * 2 * n_repeats
    assert opened().trials[0].params == {"batch_size": 16}
    assert found["left_alone_trials"] == found["foreign_trials"] == []


@pytest.mark.parametrize(
    "asked", [{"batch_size": 32}, {"batch_size": 16, "dropout": 0.1}, {"batch": 8}]
)
def test_what_is_enqueued_and_no_cell_is_left_alone_and_named(
    made: Made, asked: dict[str, Any]
) -> None:
    made.call(*GRID, "--repeats", "1", *NOTHING_YET)
    opened().enqueue_trial(asked)
    answer = made.call(*GRID, "--repeats", "1")
    assert answer.code == 0
    assert (
        "Enqueued trials that are not a missing part of this grid are left alone (1): #0."
        in answer.out
    )
    assert states() == ["WAITING", "COMPLETE", "COMPLETE"]
    assert made.hpo("show", "s", "--json").json["left_alone_trials"] == [0]


def test_a_cell_that_is_there_already_is_left_alone(made: Made) -> None:
    made.call(*GRID, "--repeats", "1")
    opened().enqueue_trial({"batch_size": 16})
    found = made.json(*GRID, "--repeats", "1")
    assert (found["n_trained"], found["left_alone_trials"]) == (0, [2])
    assert made.json(*GRID, "--repeats", "2")["left_alone_trials"] == []
    assert states() == ["COMPLETE"] * 4


def test_what_is_enqueued_in_a_search_is_proposed_next_completed_from_the_base(
    made: Made,
) -> None:
    made.call(*SEARCH, "--trials", "2", *NOTHING_YET)
    opened().enqueue_trial({"optimizer": "sgd", "momentum": 0.5})
    opened().enqueue_trial({"optimizer": "sgd", "momentum": 7.0})
    opened().enqueue_trial({"unknown": 1})
    found = made.json(*SEARCH, "--trials", "3")
    params = [c["params"] for c in found["configurations"]]
    assert params[1] == {"learning_rate": 0.001, "optimizer": "sgd", "momentum": 0.5}
    assert len(params) == 3
    assert found["left_alone_trials"] == [1, 2]
    opened().enqueue_trial({"learning_rate": 0.01})
    more = made.json(*SEARCH, "--trials", "3")
    assert [c["params"]["learning_rate"] for c in more["configurations"][3:]] == [0.01]
    assert made.json(*SEARCH, "--trials", "3")["n_trained"] == 0


@pytest.mark.parametrize("command", [(*GRID, "--repeats", "1"), (*SEARCH, "--trials", "2")])
def test_a_result_of_another_program_never_wins_and_is_named(
    made: Made, command: tuple[str, ...]
) -> None:
    before = made.json(*command)
    opened().add_trial(create_trial(value=0.999, user_attrs={"batch_size": 8}))
    asked = opened().ask()
    opened().tell(asked, 0.999)
    opened().ask()
    answer = made.call(*command)
    assert answer.code == 0
    assert "Trials of another program are not counted (3): #2, #3, #4." in answer.out
    after = made.hpo("show", "s", "--json").json
    assert after["configurations"] == before["configurations"]
    assert after["best"] == before["best"]
    page = Path(made.hpo("report", "s", "--json").json["path"]).read_text()
    assert "Trials of another program are not counted (3): #2, #3, #4." in page
    refused = made.hpo("reproduce", "s", "--trial", "3")
    assert refused.code == 1
    assert "Trial 3 of s was trained by another program" in refused.err
    assert states()[4] == "RUNNING"


def tell_at_first_event(
    made: Made, tell: Callable[[optuna.Study], object]
) -> tuple[list[str], Any]:
    """Train a grid while another program tells its first trial."""
    settings = Settings(
        data=made.data,
        values={"batch_size": "8,16"},
        set={"image_size": 16},
        epochs=2,
        repeats=1,
        study="s",
        lanes=1,
    )
    with open_session(plan_grid(["batch_size"], settings)) as session:
        for number, _ in enumerate(training_events(session)):
            if number == 0:
                tell(opened())
    return states(), made.hpo("show", "s", "--json").json


@pytest.mark.parametrize(
    "tell",
    [
        lambda study: study.tell(0, 0.999),
        lambda study: study.tell(0, state=TrialState.FAIL),
        lambda study: study.tell(0, state=TrialState.PRUNED),
    ],
    ids=["complete", "failed", "pruned"],
)
def test_a_trial_that_another_program_tells_is_told_by_hpo_once_more(
    made: Made, tell: Callable[[optuna.Study], object]
) -> None:
    told, found = tell_at_first_event(made, tell)
    assert told[1:] == ["COMPLETE", "COMPLETE"]
    assert found["foreign_trials"] == [0]
    assert [c["state"] for c in found["configurations"]] == ["complete"] * 2
    assert all(c["score"] < 0.999 for c in found["configurations"])
    assert {r["trial"] for c in found["configurations"] for r in c["repeats"]} == {1, 2}


def test_a_waiting_trial_that_another_program_takes_is_trained_all_the_same(made: Made) -> None:
    made.call(*GRID, "--repeats", "1", *NOTHING_YET)
    study = opened()
    record = read_record(study)
    cell = spaces.cells(record.space, record.names)[0]
    job = first_repeat(record, cell, ordinal=cell.ordinal)
    start(study, record, job)
    requeue_running(study)
    taken = opened().ask()
    assert taken.number == 0
    assert made.json(*GRID, "--repeats", "1")["n_trained"] == 2
    with pytest.raises(ValueError, match="Cannot tell a COMPLETE trial"):
        opened().tell(taken, 0.999)


def test_a_parameter_of_another_type_ends_in_one_message(made: Made) -> None:
    made.call(*GRID, "--repeats", "1", *NOTHING_YET)
    other = create_trial(
        value=0.5,
        params={"batch_size": 8.5},
        distributions={"batch_size": FloatDistribution(1.0, 9.0)},
    )
    opened().add_trial(other)
    answer = made.call(*GRID, "--repeats", "1")
    assert answer.code == 1
    assert answer.err.count("Error: ") == 1
    assert "of another type" in answer.err
    assert "hpo delete s" in answer.err
    assert made.hpo("delete", "s", "--yes").code == 0


def rows(table: str) -> int:
    with closing(sqlite3.connect("studies/hpo.db")) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_study_that_another_program_deletes_meanwhile_ends_in_one_message_and_leaves_nothing(
    made: Made,
) -> None:
    def delete(study: optuna.Study) -> None:
        optuna.delete_study(study_name=study.study_name, storage=URL)

    with pytest.raises(StorageError, match="no longer holds this study: another program deleted"):
        tell_at_first_event(made, delete)
    assert [rows(table) for table in ("studies", "trials", "trial_user_attributes")] == [0, 0, 0]
    assert made.call(*GRID, "--repeats", "1").code == 0


def test_trials_that_a_deleted_study_left_belong_to_no_other(made: Made) -> None:
    made.call(*GRID, "--repeats", "1")
    # As another program may delete it, and as older versions did while it trained.
    forget("studies", "study_directions", "study_user_attributes")
    assert rows("trials") == 2
    again = made.json(*GRID, "--repeats", "1")
    assert (again["n_trained"], again["n_reused"], rows("trials")) == (0, 2, 2)
    # A study that took them over is made anew, and it can be deleted.
    forget("study_user_attributes")
    again = made.json(*GRID, "--repeats", "1")
    assert (again["n_trained"], again["n_reused"], rows("trials")) == (0, 2, 2)
    forget("study_user_attributes")
    assert made.hpo("delete", "s", "--yes").code == 0
    assert rows("studies") == rows("trials") == rows("trial_params") == 0


def forget(*tables: str) -> None:
    with closing(sqlite3.connect("studies/hpo.db")) as database, database:
        for table in tables:
            database.execute(f"DELETE FROM {table}")
