"""One command drives a study: a second one is refused at once, and readers are not."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.storage.lock import study_lock
from hpo.storage.opening import open_storage
from hpo.study.study import open_study
from tests.chaos.studies import GRID, SEARCH, Case
from tests.conftest import EVERY_STORAGE, SMALL, Hpo
from tests.processes import Child, said, wait_for


@pytest.fixture
def driven(
    tmp_path: Path, xrays: Path, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Case, Child]]:
    """A study that a living command trains, slowly; it ends as soon as it is told to."""
    case = Case(tmp_path / "case", xrays, GRID, storage_url)
    monkeypatch.setenv("HPO_STORAGE", case.url)
    child = case.start(epoch_s=300, n_quick=6)
    # A run is stored before its trial ends: where there are two, the first trial has ended.
    wait_for(lambda: len(case.inodes()) >= 2)
    yield case, child
    child.kill()


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_while_a_command_lives_others_may_read_but_neither_train_nor_delete(
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
        said(hpo(*command), in_use, "Wait until it ends, or stop it", "hpo show s")
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
def test_of_many_commands_on_one_study_one_trains_and_the_others_are_told_at_once(
    tmp_path: Path, xrays: Path, storage_url: str
) -> None:
    case = Case(tmp_path / "case", xrays, SEARCH, storage_url)
    commands = [case.start(epoch_s=0.05) for _ in range(3)]
    answers = [child.answer() for child in commands]
    assert [answer.code for answer in answers].count(0) >= 1
    for answer in answers:
        if answer.code:
            said(answer, "The study s is in use by process")
    found = case.described()
    assert (found["n_open"], found["n_double"]) == (0, 0)


@pytest.mark.usefixtures("mine")
def test_the_test_is_evaluated_while_the_study_trains_on(hpo: Hpo) -> None:
    # The lock of the command that made it is gone.
    assert not [path for path in Path("studies").iterdir() if "lock" in path.name]
    with study_lock(open_storage("sqlite:///studies/hpo.db"), "mine"):
        assert hpo("evaluate", "mine").code == 0
    assert hpo("show", "mine", "--json").json["n_openings"] == 1
