"""Damaged databases, run stores and data: one message, and nothing that was whole is lost."""

import shutil
from typing import Any

import numpy as np
import pytest

from tests.conftest import Hpo
from tests.faults.others import damage, pages
from tests.faults.studies import Study
from tests.processes import said


@pytest.mark.parametrize("content", [b"\xff", b"\0"])
def test_whatever_page_is_damaged_no_command_breaks_down(
    trained: Study, hpo: Hpo, content: bytes
) -> None:
    database = trained.home / "hpo.db"
    n_pages = pages(database)
    whole = database.read_bytes()
    for page in range(1, n_pages + 1):
        damage(database, page, content)
        for command in (("show", "mine"), ("resume", "mine")):
            answer = hpo(*command)
            if answer.code:
                said(answer)
        for file in trained.home.glob("hpo.db*"):
            file.unlink()
        database.write_bytes(whole)


def test_a_corrupt_database_moved_away_is_made_anew_from_the_run_store(
    trained: Study, undisturbed: Any
) -> None:
    database = trained.home / "hpo.db"
    for page in range(2, pages(database) + 1):
        damage(database, page, b"\xff")
    said(trained.train(), "is corrupt", "Move it away")
    database.rename(trained.folder / "corrupt.db")
    again = trained.call(*trained.grid, "--json").json
    assert (again["n_trained"], again["n_reused"]) == (0, 2)
    assert trained.shown() == undisturbed


@pytest.mark.parametrize("content", [b'{"format": 1, "epo', b'{"format": 99}', None])
def test_runs_that_are_damaged_or_gone_leave_the_study_as_it_is(
    trained: Study, undisturbed: Any, content: bytes | None
) -> None:
    for run in trained.home.glob("runs/*.json"):
        run.write_bytes(content) if content is not None else run.unlink()
    for command in ("report", "export"):
        assert trained.call(command, "mine").code == 0
    assert trained.call("show", "mine", "--curves").code == 0
    said(trained.call("evaluate", "mine"), "run store")
    assert trained.shown() == undisturbed
    assert trained.call(*trained.grid, "--json").json["n_trained"] == 0
    again = trained.call(*trained.grid, "--study", "other", "--json").json
    assert (again["n_trained"], again["n_reused"]) == (2, 0)
    assert trained.call("evaluate", "mine").code == 0


@pytest.mark.parametrize("fault", ["changed", "gone", "cut short", "no folder"])
def test_data_that_are_not_what_they_were_are_said_by_every_command_that_needs_them(
    trained: Study, undisturbed: Any, fault: str
) -> None:
    images = trained.data / "normal.npy"
    kept = trained.folder / "kept"
    shutil.copytree(trained.data, kept)
    if fault == "changed":
        np.save(images, np.load(images) + np.uint8(1))
    elif fault == "gone":
        images.unlink()
    elif fault == "cut short":
        images.write_bytes(images.read_bytes()[:1000])
    else:
        shutil.rmtree(trained.data)
    (trained.home / "mine" / "weights").rename(trained.folder / "weights")
    for command in (("resume",), ("evaluate",), ("export",)):
        said(trained.call(*command, "mine"), "xrays")
    said(trained.call("reproduce", "mine", "1"), "xrays")
    assert trained.shown() == undisturbed
    shutil.rmtree(trained.data, ignore_errors=True)
    kept.rename(trained.data)
    assert trained.call("evaluate", "mine", "--json").json["n_openings"] == 1
    assert trained.call("export", "mine").code == 0
