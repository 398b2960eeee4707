"""Only one command may drive a study: a second one is refused at once, readers are not."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.storage.lock import study_lock
from hpo.storage.opening import open_storage
from hpo.study.study import open_study
from tests.chaos.studies import GRID, SEARCH, Case
from tests.conftest import EVERY_STORAGE, SMALL, Hpo
from tests.processes import Child, assert_error, wait_for


@pytest.fixture
def driven(
    tmp_path: Path, xrays: Path, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Case, Child]]:
    """A study that a running command trains slowly."""
    case = Case(tmp_path / "case", xrays, GRID, storage_url)
    monkeypatch.setenv("HPO_STORAGE", case.url)
    child = case.start(epoch_s=300, n_quick=6)
    # A run is stored before its trial ends: with two runs, the first trial has ended.
    wait_for(lambda: len(case.inodes()) >= 2)
    yield case, child
    child.kill()


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_a_study_in_training_can_be_read_but_not_trained_or_deleted(
    driven: tuple[Case, Child], xrays: Path, hpo: Hpo
) -> None:
    case, child = driven
    in_use = f"The study s is in use by process {child.pid} on {socket.gethostname()} since 20"
    for command in (
        (*GRID, *SMALL, "--data", xrays),
        ("resume", "s"),
        ("resume", "s", "--data", xrays, "--dry-run"),
        ("delete", "s", "--yes"),
    ):
        assert_error(hpo(*command), in_use, "Wait until it ends, or stop it", "hpo show s")
    for command in (("show",), ("show", "s"), ("report", "s"), ("export", "s", "--no-weights")):
        assert hpo(*command).code == 0
    assert child.poll() is None
    study = open_study(open_storage(case.url), "s")
    wait_for(lambda: "RUNNING" in {t.state.name for t in study.trials})  # Not between two trials.
    shown = hpo("show", "s").out
    assert f"In training by process {child.pid} on" in shown
    assert "hpo resume" not in shown
    child.kill()
    assert "To continue: `hpo resume s" in hpo("show", "s").out
    stored = case.inodes()
    case.finish()
    assert stored.items() <= case.inodes().items()
    found = case.described()
    assert (found["n_open"], found["n_double"], len(found["trials"])) == (0, 0, 12)


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_only_one_of_many_commands_trains_a_study_and_the_others_are_refused(
    tmp_path: Path, xrays: Path, storage_url: str
) -> None:
    case = Case(tmp_path / "case", xrays, SEARCH, storage_url)
    commands = [case.start(epoch_s=0.05) for _ in range(3)]
    answers = [child.answer() for child in commands]
    assert [answer.code for answer in answers].count(0) >= 1
    for answer in answers:
        if answer.code:
            assert_error(answer, "The study s is in use by process")
    found = case.described()
    assert (found["n_open"], found["n_double"]) == (0, 0)


@pytest.mark.usefixtures("mine")
def test_evaluate_works_while_the_study_is_in_training(hpo: Hpo) -> None:
    # The command that created the study has released its lock.
    assert not [path for path in Path("studies").iterdir() if "lock" in path.name]
    with study_lock(open_storage("sqlite:///studies/hpo.db"), "mine"):
        assert hpo("evaluate", "mine").code == 0
    assert hpo("show", "mine", "--json").json["n_openings"] == 1
