"""Folders that cannot be written: one message from every command, and nothing is lost."""

from typing import Any

import pytest

from tests.faults.mounts import ReadOnly, has_mounts
from tests.faults.studies import Study
from tests.processes import said

pytestmark = has_mounts


@pytest.mark.parametrize(
    "command",
    [
        ("show",),
        ("show", "mine"),
        ("resume", "mine"),
        ("report", "mine"),
        ("evaluate", "mine"),
        ("delete", "mine", "--yes"),
    ],
)
def test_a_folder_of_studies_that_cannot_be_written_is_said(
    trained: Study, command: tuple[str, ...]
) -> None:
    answer = trained.call(*command, fault=ReadOnly(trained.home))
    said(answer, "hpo.db", "cannot be written", "Copy the folder")
    assert len(trained.scores()) == 2


def test_training_goes_on_once_the_folder_can_be_written(study: Study, undisturbed: Any) -> None:
    study.home.mkdir()
    said(study.train(fault=ReadOnly(study.home)), "hpo.db", "cannot be written")
    assert list(study.home.iterdir()) == []
    assert study.train().code == 0
    assert study.shown() == undisturbed


@pytest.mark.parametrize("folder", ["runs", "artifacts", "mine"])
def test_a_folder_beside_the_database_that_cannot_be_written_is_said(
    study: Study, undisturbed: Any, folder: str
) -> None:
    place = study.home / folder
    place.mkdir(parents=True)
    said(study.train(fault=ReadOnly(place)), f"studies/{folder}", "Read-only file system")
    assert study.train().code == 0
    assert study.shown() == undisturbed


def test_a_page_or_an_export_that_cannot_be_written_is_said(trained: Study) -> None:
    (trained.home / "mine" / "export").mkdir()
    for command in ("report", "export"):
        answer = trained.call(command, "mine", fault=ReadOnly(trained.home / "mine"))
        said(answer, "studies/mine", "Read-only file system")
        assert trained.call(command, "mine").code == 0


def test_files_of_a_deleted_study_that_cannot_be_removed_are_said(trained: Study) -> None:
    answer = trained.call("delete", "mine", "--yes", fault=ReadOnly(trained.home / "mine"))
    said(answer, "studies/mine", "Read-only file system", "remove this folder yourself")


def test_curves_of_a_deleted_study_that_cannot_be_removed_are_said(trained: Study) -> None:
    answer = trained.call("delete", "mine", "--yes", fault=ReadOnly(trained.home / "artifacts"))
    said(answer, "studies/artifacts", "Read-only file system", "deleted from the database")
    assert not (trained.home / "mine").exists()


def test_data_that_cannot_be_written_to_are_read(study: Study, undisturbed: Any) -> None:
    assert study.train(fault=ReadOnly(study.data)).code == 0
    assert study.shown() == undisturbed
