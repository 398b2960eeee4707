"""Trials that other programs add to a study: trainable ones count, the rest never win."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpo.errors import StorageError
from hpo.run.plan import Settings, plan_grid
from hpo.run.session import open_session, training_events
from tests.cli.conftest import OUT_OF_TIME, VALUES, assert_error
from tests.conftest import SMALL, Answer, Hpo

URL = "sqlite:///studies/hpo.db"
ONE = (*VALUES, "--study", "s", "--repeats", "1")
TWO = (*VALUES, "--study", "s", "--repeats", "2")
SEARCH = (
    *("search", "--param", "learning_rate", "--param", "optimizer", "--param", "momentum"),
    *("--study", "s", "--finalists", "0", "--pruner", "none", "--metric", "accuracy"),
)
Train = Callable[..., Answer]


@pytest.fixture
def train(hpo: Hpo, xrays: Path) -> Train:
    """Run a command that trains."""

    def call(*arguments: object) -> Answer:
        return hpo(*arguments, *SMALL, "--data", xrays)

    return call


def opened() -> optuna.Study:
    """Open the study as another program does."""
    return optuna.load_study(study_name="s", storage=URL)


def states() -> list[str]:
    return [trial.state.name for trial in opened().trials]


def add(**attributes: Any) -> None:
    opened().add_trial(create_trial(**attributes))


def enqueue(**params: object) -> None:
    opened().enqueue_trial(params)


def test_an_enqueued_cell_counts_as_that_cell(train: Train) -> None:
    unfinished = train(*TWO, *OUT_OF_TIME)
    assert unfinished.code == 1
    assert "4 trainings missing. To continue: `hpo resume s`" in unfinished.out
    enqueue(batch_size=16)
    domains = {"batch_size": CategoricalDistribution((8, 16))}
    add(state=TrialState.WAITING, params={"batch_size": 16}, distributions=domains)
    found = train(*TWO, "--json").json
    assert [len(c["repeats"]) for c in found["configurations"]] == [2, 2]
    assert states() == ["COMPLETE"] * 4
    assert [trial.params for trial in opened().trials[:2]] == [{"batch_size": 16}] * 2
    assert found["left_alone_trials"] == found["foreign_trials"] == []


def test_enqueued_trials_that_are_not_missing_cells_are_ignored_and_listed(train: Train) -> None:
    train(*ONE, *OUT_OF_TIME)
    enqueue(batch_size=16, dropout=0.1)
    answer = train(*ONE)
    left = "Enqueued trials that are not a missing part of this grid are ignored (1): #0."
    assert (answer.code, left in answer.out) == (0, True)
    enqueue(batch_size=16)
    found = train(*ONE, "--json").json
    assert (found["n_trained"], found["left_alone_trials"]) == (0, [0, 3])
    assert train(*TWO, "--json").json["left_alone_trials"] == [0]
    assert states() == ["WAITING"] + ["COMPLETE"] * 4


def test_hpo_enqueue_adds_a_configuration_that_is_tried_next(train: Train, hpo: Hpo) -> None:
    train(*SEARCH, "--trials", "2")
    answer = hpo(
        "enqueue", "s", "--set", "optimizer=sgd", "--set", "momentum=0.5", "--storage", URL
    )
    assert "Enqueued in s: optimizer sgd, " in answer.out
    found = train(*SEARCH, "--trials", "2", "--json").json["configurations"]
    assert (len(found), found[2]["params"]["momentum"]) == (3, 0.5)
    wrong = ("--set", "momentum=7", "--set", "hidden=8", "--storage", URL)
    assert_error(
        hpo("enqueue", "s", *wrong),
        2,
        "momentum = 7 is not among the values: 0 to 0.95",
        "hidden is not searched",
    )
    # A value that is not searched may be repeated; here, the batch size of the study.
    same = ("--set", "optimizer=sgd", "--set", "momentum=0.7", "--set", "loss=bce")
    assert hpo("enqueue", "s", *same, "--storage", URL).code == 0
    for momentum, reason in (("0.5", "has these values already: #3"), ("0.6", "enqueued already")):
        again = ("enqueue", "s", "--set", "optimizer=sgd", "--set", f"momentum={momentum}")
        hpo(*again, "--storage", URL)
        assert_error(hpo(*again, "--storage", URL), 2, reason)


def test_a_requirement_of_zero_removes_an_earlier_one(train: Train) -> None:
    search = (*SEARCH, "--trials", "2")
    assert "sensitivity" in train(*search, "--require", "sensitivity=0.999").out
    assert "sensitivity" not in train(*search, "--require", "sensitivity=0").out


def test_a_search_starts_from_another_study_and_the_start_points_of_its_space(
    train: Train, tmp_path: Path
) -> None:
    found = train(*SEARCH, "--trials", "2", "--json").json["configurations"][1]["params"]
    found["learning_rate"] = max(0.01, found["learning_rate"])  # Into the narrower range.
    space = tmp_path / "narrow.toml"
    space.write_text("""
        [search]
        learning_rate = { low = 0.01, high = 0.1 }
        optimizer = { choices = ["adam", "adamw", "sgd"] }
        momentum = { low = 0.0, high = 0.95, when = { optimizer = "sgd" } }
        [[start]]
        learning_rate = 0.05
    """)
    narrow = (*SEARCH, "--space", space, "--study", "t", "--trials", "3", "--json")
    assert_error(train(*narrow[:-1], "--start-from", "latest#9"), 2, "s has no configuration 9")
    params = [c["params"] for c in train(*narrow, "--start-from", "1#2").json["configurations"]]
    assert params[1].items() <= found.items()
    assert [p["learning_rate"] for p in params[1:]] == [found["learning_rate"], 0.05]
    assert train(*narrow, "--start-from", "s#2").json["n_trained"] == 0
    # The points of the other search are not tried again: they are those of the same seed.
    again = (*SEARCH, "--study", "u", "--trials", "4", "--start-from", "s#2", "--json")
    tried = [c["params"] for c in train(*again).json["configurations"]]
    assert len({str(params) for params in tried}) == len(tried) == 4


def test_an_enqueued_configuration_is_completed_from_the_base_and_tried_next(train: Train) -> None:
    train(*SEARCH, "--trials", "2", *OUT_OF_TIME)
    enqueue(optimizer="sgd", momentum=0.5)
    enqueue(optimizer="sgd", momentum=7.0)
    enqueue(unknown=1)
    search = (*SEARCH, "--trials", "3", "--json")
    found = train(*search).json
    params = [c["params"] for c in found["configurations"]]
    assert params[1] == params[0] | {"optimizer": "sgd", "momentum": 0.5}
    assert len(params) == 3
    assert found["left_alone_trials"] == [1, 2]
    enqueue(learning_rate=0.01)
    more = train(*search).json["configurations"]
    assert [c["params"]["learning_rate"] for c in more[3:]] == [0.01]
    assert train(*search).json["n_trained"] == 0


def test_results_of_other_programs_never_win_and_are_listed(hpo: Hpo, train: Train) -> None:
    before = train(*SEARCH, "--trials", "2", "--json").json
    add(value=0.999, user_attrs={"batch_size": 8})
    opened().tell(opened().ask(), 0.999)
    opened().ask()
    not_counted = "Trials of other programs are not counted (3): #2, #3, #4."
    assert not_counted in train(*SEARCH, "--trials", "2").out
    after = hpo("show", "s", "--json").json
    assert after["configurations"] == before["configurations"]
    assert after["best"] == before["best"]
    assert not_counted in Path(hpo("report", "s", "--json").json["path"]).read_text()
    refused = hpo("reproduce", "s", "--trial", "3")
    assert_error(refused, 1, "Trial 3 of s was trained by another program")
    assert states()[4] == "RUNNING"


def disturb(data: Path, change: Callable[[optuna.Study], object]) -> None:
    """Train a grid, and change its study from outside at the first event."""
    settings = Settings(
        data=data,
        values={"batch_size": "8,16"},
        set={"image_size": 16, "hidden": 8},
        epochs=2,
        repeats=1,
        study="s",
        lanes=1,
    )
    with open_session(plan_grid(["batch_size"], settings)) as session:
        for number, _ in enumerate(training_events(session)):
            if number == 0:
                change(opened())


@pytest.mark.parametrize("outcome", [{"values": 0.999}, {"state": TrialState.FAIL}])
def test_a_trial_finished_by_another_program_is_trained_again(
    hpo: Hpo, xrays: Path, outcome: dict[str, Any]
) -> None:
    disturb(xrays, lambda study: study.tell(0, **outcome))
    found = hpo("show", "s", "--json").json
    assert states()[1:] == ["COMPLETE", "COMPLETE"]
    assert found["foreign_trials"] == [0]
    assert [c["state"] for c in found["configurations"]] == ["complete"] * 2
    assert all(c["score"] < 0.999 for c in found["configurations"])
    assert {r["trial"] for c in found["configurations"] for r in c["repeats"]} == {1, 2}


def test_a_parameter_of_another_type_gives_one_message(hpo: Hpo, train: Train) -> None:
    train(*ONE, *OUT_OF_TIME)
    domains = {"batch_size": FloatDistribution(1.0, 9.0)}
    add(value=0.5, params={"batch_size": 8.5}, distributions=domains)
    assert_error(train(*ONE), 1, "another type", "hpo delete s")
    assert hpo("delete", "s", "--yes").code == 0


def test_a_study_deleted_by_another_program_gives_one_message(train: Train, xrays: Path) -> None:
    with pytest.raises(StorageError, match="no longer contains this study, because another"):
        disturb(xrays, lambda _: optuna.delete_study(study_name="s", storage=URL))
    with closing(sqlite3.connect("studies/hpo.db")) as database:
        for table in ("studies", "trials", "trial_user_attributes"):
            assert database.execute(f"SELECT * FROM {table}").fetchall() == []
    assert train(*ONE).code == 0
