"""One command drives a study: a second one is refused at once, and readers are not."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.storage.lock import study_lock
from hpo.storage.opening import open_storage
from hpo.study.study import open_study
from tests.chaos.studies import GRID, SEARCH, Case
from tests.conftest import EVERY_STORAGE, SMALL, Hpo
from tests.dashboards import dashboard, fetch
from tests.processes import said


def until_it_trains(case: Case, *, n_runs: int = 1) -> None:
    """Wait until so many trainings are in the run store."""
    end = time.monotonic() + 120
    while time.monotonic() < end and len(list((case.folder / "runs").glob("*.json"))) < n_runs:
        time.sleep(0.02)


@pytest.fixture
def driven(
    tmp_path: Path, xrays: Path, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Case, subprocess.Popen[bytes]]]:
    """A study that a living command trains, slowly; it ends as soon as it is told to."""
    case = Case(tmp_path / "case", xrays, GRID, storage_url)
    monkeypatch.setenv("HPO_STORAGE", case.url)
    child = case.start(epoch_s=1.5)
    # A run is stored before its trial ends: where there are two, the first trial has ended.
    until_it_trains(case, n_runs=2)
    yield case, child
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=120)


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_while_a_command_trains_others_may_read_but_neither_train_nor_delete(
    driven: tuple[Case, subprocess.Popen[bytes]], xrays: Path, hpo: Hpo
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
        _, err = child.communicate(timeout=300)
        assert child.returncode == 0, err
        reader.join()
    assert answers
    assert case.described() == whole.described()


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_what_a_killed_command_left_running_is_trained_by_the_next(
    tmp_path: Path, xrays: Path, storage_url: str
) -> None:
    case = Case(tmp_path / "case", xrays, GRID, storage_url)
    child = case.start(epoch_s=0.3)
    until_it_trains(case)
    child.kill()
    child.communicate()
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
    answers = [
        (child.communicate(timeout=300)[1].decode(), child.returncode) for child in commands
    ]
    assert [code for _, code in answers].count(0) >= 1
    for text, code in answers:
        assert code in (0, 1)
        assert "Traceback" not in text
        assert not code or "The study s is in use by process" in text
    found = case.described()
    assert (found["n_open"], found["n_double"]) == (0, 0)


def test_the_lock_is_gone_with_the_command(hpo: Hpo, xrays: Path) -> None:
    hpo(
        "grid", "--param", "batch_size", "--values", "8", "--repeats", "1", *SMALL, "--data", xrays
    )
    assert not [path for path in Path("studies").iterdir() if "lock" in path.name]
    assert hpo("grid", "--param", "batch_size", "--workers", "2").code == 2
    assert hpo("worker", "s").code == 2


OPEN = """
import sys
from hpo.study.test_access import Opening, now, record_opening
from hpo.storage.opening import open_storage
from hpo.study.study import open_study
study = open_study(open_storage(sys.argv[1]), "s")
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    record_opening(study, Opening(
        when=now(), command=sys.argv[2], threshold="0.5", trials=(number,), n_complete=1))
"""


def test_of_test_accesses_at_once_none_is_lost(hpo: Hpo, xrays: Path) -> None:
    hpo(
        *("grid", "--param", "batch_size", "--values", "8", "--repeats", "1", "--study", "s"),
        *(*SMALL, "--data", xrays),
    )
    url = "sqlite:///studies/hpo.db"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for child in children:
        assert child.stdout
        child.stdout.readline()
    for child in children:
        child.communicate("\n")
    found = hpo("show", "s", "--json").json["openings"]
    assert [o["trials"] for o in found if o["command"] == "one"] == [[n] for n in range(20)]
    assert [o["trials"] for o in found if o["command"] == "two"] == [[n] for n in range(20)]


def test_the_test_is_evaluated_while_the_study_trains_on(hpo: Hpo, xrays: Path) -> None:
    grid = ("grid", "--param", "batch_size", "--values", "8", "--study", "s", *SMALL)
    assert hpo(*grid, "--repeats", "1", "--data", xrays).code == 0
    with study_lock(open_storage("sqlite:///studies/hpo.db"), "s"):
        assert hpo("evaluate", "s").code == 0
    assert hpo("show", "s", "--json").json["n_openings"] == 1
