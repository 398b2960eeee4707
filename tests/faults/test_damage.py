"""Damaged databases, run stores and data: one message, and nothing undamaged is lost."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpo.storage.opening import open_storage
from hpo.study.gathering import summarize_all
from hpo.study.summary import StudySummary
from tests.conftest import SMALL, Hpo
from tests.faults.faults import damage, pages
from tests.faults.studies import Study
from tests.processes import assert_error


def test_no_damaged_database_page_causes_a_traceback(trained: Study, hpo: Hpo) -> None:
    database = trained.home / "hpo.db"
    n_pages = pages(database)
    whole = database.read_bytes()
    for page in range(1, n_pages + 1):
        damage(database, page, b"\xff" if page % 2 else b"\0")
        for command in (("show", "mine"), ("resume", "mine")):
            answer = hpo(*command)
            if answer.code:
                assert_error(answer)
        for file in trained.home.glob("hpo.db*"):
            file.unlink()
        database.write_bytes(whole)


def test_a_corrupt_database_is_rebuilt_from_the_run_store(
    trained: Study, undisturbed: Any
) -> None:
    database = trained.home / "hpo.db"
    for page in range(2, pages(database) + 1):
        damage(database, page, b"\xff")
    assert_error(trained.train(), "is corrupt", "Move it away")
    database.rename(trained.folder / "corrupt.db")
    again = trained.call(*trained.grid, "--json").json
    assert (again["n_trained"], again["n_reused"]) == (0, 2)
    assert trained.shown() == undisturbed


def test_damaged_or_missing_runs_do_not_change_the_study(trained: Study, undisturbed: Any) -> None:
    damaged, gone = trained.home.glob("runs/*.json")
    damaged.write_bytes(b'{"format": 1, "epo')
    gone.unlink()
    for command in (("report",), ("export", "--no-weights")):
        assert trained.call(*command, "mine").code == 0
    assert trained.call("show", "mine", "--curves").code == 0
    assert_error(trained.call("evaluate", "mine"), "run store")
    shown = trained.shown()
    assert "2 of 2 trainings are not in the run store" in shown["verdict"]["basis"]
    # Both are read from the runs.
    of_runs = {key: undisturbed[key] for key in ("verdict", "warnings")}
    assert shown | of_runs == undisturbed
    assert trained.call(*trained.grid, "--json").json["n_trained"] == 0
    again = trained.call(*trained.grid, "--study", "other", "--json").json
    assert (again["n_trained"], again["n_reused"]) == (2, 0)
    assert trained.call("evaluate", "mine").code == 0


def test_unreadable_data_are_reported_by_every_command_that_needs_them(
    trained: Study, undisturbed: Any
) -> None:
    images = trained.data / "normal.npy"
    whole = images.read_bytes()
    images.write_bytes(whole[:1000])
    shutil.rmtree(trained.home / "mine" / "weights")
    for command in (("resume",), ("evaluate",), ("export",), ("reproduce", "1")):
        assert_error(trained.call(command[0], "mine", *command[1:]), "xrays")
    assert trained.shown() == undisturbed
    images.write_bytes(whole)
    assert trained.call("evaluate", "mine", "--json").json["n_openings"] == 1
    assert trained.call("export", "mine").code == 0


OF_TRIAL = "UPDATE trial_user_attributes SET value_json = ? WHERE key = ? AND trial_id = 2"
OF_STUDY = "UPDATE study_user_attributes SET value_json = ? WHERE key = ? AND study_id = 2"

DAMAGED_TRIALS = [
    (OF_TRIAL, '"x"', "config"),
    (OF_TRIAL, "1e999", "seconds"),
    (OF_TRIAL, '{"validation": "x"}', "metrics"),
    ("DELETE FROM trial_user_attributes WHERE key = 'params' AND trial_id = 2",),
    ("DELETE FROM trial_values WHERE trial_id = 2",),
    ("UPDATE trial_intermediate_values SET step = 'x' WHERE trial_id = 2 AND step = 1",),
    ("UPDATE trials SET state = 'LOST' WHERE trial_id = 2",),
]
DAMAGED_STUDIES = [
    (OF_STUDY, "{", "hpo"),
    (OF_STUDY, "[" * 100_000, "hpo"),
    (OF_STUDY, '{"n_repeats": ' + "9" * 5000 + "}", "goal"),
    (OF_STUDY, '{"n_trials": 1000000}', "goal"),
    ("DELETE FROM study_user_attributes WHERE key = 'hpo' AND study_id = 2",),
    ("DELETE FROM study_directions WHERE study_id = 2",),
]


class TwoStudies:
    """A database of two studies; each test damages the second."""

    def __init__(self, hpo: Hpo, xrays: Path) -> None:
        grid = ("grid", "--param", "batch_size", "--repeats", "1", *SMALL, "--data", xrays)
        assert hpo(*grid, "--study", "whole", "--values", "8").code == 0
        assert hpo(*grid, "--study", "mine", "--values", "8,16").code == 0
        self.path = Path("studies/hpo.db")
        pages(self.path)
        self.content = self.path.read_bytes()

    def damage(self, statement: str, *values: object) -> None:
        for file in self.path.parent.glob("hpo.db*"):
            file.unlink()
        self.path.write_bytes(self.content)
        with closing(sqlite3.connect(self.path)) as database, database:
            assert database.execute(statement, values).rowcount

    def summaries(self) -> tuple[list[StudySummary], dict[str, str]]:
        storage = open_storage(f"sqlite:///{self.path}")
        found, unreadable, _ = summarize_all(storage)
        storage.engine.dispose()
        return list(found.values()), unreadable


@pytest.fixture
def two_studies(hpo: Hpo, xrays: Path) -> TwoStudies:
    return TwoStudies(hpo, xrays)


def test_a_damaged_trial_is_named_and_left_out(hpo: Hpo, two_studies: TwoStudies) -> None:
    for fault in reversed(DAMAGED_TRIALS):
        two_studies.damage(*fault)
        (whole, mine), unreadable = two_studies.summaries()
        assert (whole.damaged, unreadable) == ((), {})
        (named,) = mine.damaged
        assert named.startswith("Trial 0 is damaged ("), (fault, named)
        assert [c.params for c in mine.configurations] == [{"batch_size": 16}], fault
    for command in ("show", "report", "export", "evaluate"):
        assert hpo(command, "mine").code == 0, command
    assert "Trial 0 is damaged" in hpo("show", "mine").out
    assert "Trial 0 is damaged" in Path("studies/mine/report.html").read_text()
    again = hpo("resume", "mine", "--json").json
    assert (again["n_trained"], again["n_reused"], len(again["configurations"])) == (0, 1, 2)


def test_a_damaged_study_is_named_and_hides_no_other(hpo: Hpo, two_studies: TwoStudies) -> None:
    for fault in DAMAGED_STUDIES:
        two_studies.damage(*fault)
        summaries, unreadable = two_studies.summaries()
        assert [summary.name for summary in summaries] == ["whole"], fault
        assert list(unreadable) == ["mine"], fault
        assert "The study mine is damaged: " in unreadable["mine"], fault
    listed = hpo("show")
    assert "whole" in listed.out
    assert "The study mine is damaged: " in listed.err
    assert list(hpo("show", "--json").json["unreadable"]) == ["mine"]
    for command in ("show", "report", "resume"):
        assert_error(hpo(command, "mine"), "The study mine is damaged: ", "hpo delete mine")


def test_a_damaged_study_can_be_deleted(hpo: Hpo, two_studies: TwoStudies) -> None:
    for fault in (*DAMAGED_TRIALS[::4], *DAMAGED_STUDIES):
        two_studies.damage(*fault)
        assert hpo("delete", "mine", "--yes").code == 0, fault
        assert [summary.name for summary in two_studies.summaries()[0]] == ["whole"]
        with closing(sqlite3.connect(two_studies.path)) as database:
            left = "SELECT trial_id FROM trial_user_attributes WHERE trial_id > 1"
            assert database.execute(left).fetchall() == []


def test_a_study_with_too_many_trials_is_not_read_but_can_be_deleted(
    hpo: Hpo, two_studies: TwoStudies
) -> None:
    two_studies.damage(
        "WITH RECURSIVE k(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM k LIMIT 60000) "
        "INSERT INTO trials (number, study_id, state) SELECT i, 2, 'FAIL' FROM k"
    )
    assert_error(hpo("show", "mine"), "60,002 trials", "more than 50,000", "hpo delete mine")
    assert [summary.name for summary in two_studies.summaries()[0]] == ["whole"]
    assert hpo("delete", "mine", "--yes").code == 0
