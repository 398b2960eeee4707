"""One command drives a study: a second one is refused at once, and readers are not."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpo.storage.lock import study_lock
from hpo.storage.opening import open_storage
from hpo.study.study import open_study
from hpo.study.test_access import Opening, now, record_opening
from tests.chaos.studies import GRID, SEARCH, Case
from tests.conftest import EVERY_STORAGE, SMALL, Hpo
from tests.dashboards import dashboard, fetch
from tests.processes import Child, said, start


def until_it_trains(case: Case, *, n_runs: int = 1) -> None:
    """Wait until so many trainings are in the run store."""
    end = time.monotonic() + 120
    while time.monotonic() < end and len(list((case.folder / "runs").glob("*.json"))) < n_runs:
        time.sleep(0.02)


@pytest.fixture
def driven(
    tmp_path: Path, xrays: Path, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Case, Child]]:
    """A study that a living command trains, slowly; it ends as soon as it is told to."""
    case = Case(tmp_path / "case", xrays, GRID, storage_url)
    monkeypatch.setenv("HPO_STORAGE", case.url)
    child = case.start(epoch_s=300, n_quick=6)
    # A run is stored before its trial ends: where there are two, the first trial has ended.
    until_it_trains(case, n_runs=2)
    yield case, child
    child.kill()


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_while_a_command_trains_others_may_read_but_neither_train_nor_delete(
    driven: tuple[Case, Child], xrays: Path, hpo: Hpo
) -> None:
    case, child = driven
    for command in (
        (*GRID, *SMALL, "--data", xrays),
        ("resume", "s"),
        ("resume", "s", "--data", xrays, "--dry-run"),
        ("delete", "s", "--yes"),
    ):
        answer = hpo(*command)
        said(
            answer, f"The study s is in use by process {child.pid} on ", " since 20", "hpo show s"
        )
    for command in (
        ("show",),
        ("show", "s"),
        ("report", "s"),
        ("export", "s", "--weights", "none"),
    ):
        assert hpo(*command).code == 0
    assert child.poll() is None
    states = {t.state.name for t in open_study(open_storage(case.url), "s").trials}
    assert "RUNNING" in states


def test_the_dashboard_reads_while_a_command_trains(tmp_path: Path, xrays: Path) -> None:
    whole = Case(tmp_path / "whole", xrays, SEARCH)
    whole.finish()
    case = Case(tmp_path / "case", xrays, SEARCH)
    child = case.start(epoch_s=0.1)
    until_it_trains(case)
    answers: list[int] = []

    def read(url: str) -> None:
        while child.poll() is None:
            (study,) = fetch(url)["study_summaries"]
            answers.append(len(fetch(f"{url}/{study['study_id']}")["trials"]))
            time.sleep(0.1)

    with dashboard("--storage", case.url) as url:
        reader = threading.Thread(target=read, args=(url,))
        reader.start()
        answer = child.answer()
        assert answer.code == 0, answer
        reader.join()
    assert answers
    assert case.described() == whole.described()


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_what_a_killed_command_left_running_is_trained_by_the_next(
    tmp_path: Path, xrays: Path, storage_url: str
) -> None:
    case = Case(tmp_path / "case", xrays, GRID, storage_url)
    child = case.start(epoch_s=300, n_quick=6)
    until_it_trains(case)
    child.kill()
    found = case.described()
    assert "RUNNING" in {trial[1] for trial in found["trials"].values()}
    case.finish()
    found = case.described()
    assert (found["n_open"], found["n_double"]) == (0, 0)


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_of_many_commands_on_one_study_one_trains_and_the_others_are_told_at_once(
    tmp_path: Path, xrays: Path, storage_url: str
) -> None:
    case = Case(tmp_path / "case", xrays, SEARCH, storage_url)
    commands = [case.start(epoch_s=0.05) for _ in range(4)]
    answers = [child.answer() for child in commands]
    assert [answer.code for answer in answers].count(0) >= 1
    for answer in answers:
        if answer.code:
            said(answer, "The study s is in use by process")
    found = case.described()
    assert (found["n_open"], found["n_double"]) == (0, 0)


def test_the_lock_is_gone_with_the_command(hpo: Hpo, xrays: Path) -> None:
    hpo(
        "grid", "--param", "batch_size", "--values", "8", "--repeats", "1", *SMALL, "--data", xrays
    )
    assert not [path for path in Path("studies").iterdir() if "lock" in path.name]
    assert hpo("grid", "--param", "batch_size", "--workers", "2").code == 2
    assert hpo("worker", "s").code == 2


@dataclass(frozen=True)
class Opens:
    """A process that puts 20 accesses to the test on record, once the file `now` is there."""

    now: Path
    name: str

    def __call__(self) -> None:
        study = open_study(open_storage("sqlite:///studies/hpo.db"), "s")
        while not self.now.exists():
            time.sleep(0.001)
        for number in range(20):
            opening = Opening(
                when=now(), command=self.name, threshold="0.5", trials=(number,), n_complete=1
            )
            record_opening(study, opening)


def test_of_test_accesses_at_once_none_is_lost(hpo: Hpo, xrays: Path, tmp_path: Path) -> None:
    hpo(
        *("grid", "--param", "batch_size", "--values", "8", "--repeats", "1", "--study", "s"),
        *(*SMALL, "--data", xrays),
    )
    begin = tmp_path / "begin"
    children = [start(tmp_path, Opens(begin, name)) for name in ("one", "two")]
    time.sleep(0.5)
    begin.touch()
    assert [child.answer().code for child in children] == [0, 0]
    found = hpo("show", "s", "--json").json["openings"]
    assert [o["trials"] for o in found if o["command"] == "one"] == [[n] for n in range(20)]
    assert [o["trials"] for o in found if o["command"] == "two"] == [[n] for n in range(20)]


def test_the_test_is_evaluated_while_the_study_trains_on(hpo: Hpo, xrays: Path) -> None:
    grid = ("grid", "--param", "batch_size", "--values", "8", "--study", "s", *SMALL)
    assert hpo(*grid, "--repeats", "1", "--data", xrays).code == 0
    with study_lock(open_storage("sqlite:///studies/hpo.db"), "s"):
        assert hpo("evaluate", "s").code == 0
    assert hpo("show", "s", "--json").json["n_openings"] == 1
