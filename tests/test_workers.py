"""Several processes on one study: the same numbers, one that dies replaced, others welcome."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from hpo import cores, workers
from hpo.plan import Settings, plan_grid
from hpo.session import open_session
from hpo.storage import open_storage
from hpo.study import open_study
from tests.chaos.kills import children
from tests.chaos.studies import GRID, SEARCH, Case
from tests.conftest import SMALL, Hpo
from tests.dashboards import dashboard, fetch


def until(folder: Path, n_runs: int) -> None:
    """Wait until so many trainings are in the run store."""
    end = time.monotonic() + 120
    while time.monotonic() < end and len(list((folder / "runs").glob("*.json"))) < n_runs:
        time.sleep(0.02)


def hosts(case: Case) -> set[int]:
    """Return the processes that have trained trials of a study."""
    study = open_study(open_storage(case.url), "s")
    return {t.user_attrs["owner"]["pid"] for t in study.trials}


def test_two_workers_train_what_one_process_trains(
    tmp_path: Path, xrays: Path, hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("search", "--trials", "4", "--param", "learning_rate", *SMALL, "--data", xrays)
    found = []
    for n_workers in (1, 2):
        folder = tmp_path / str(n_workers)
        monkeypatch.setenv("HPO_RUNS", str(folder / "runs"))
        url = f"sqlite:///{folder}/hpo.db"
        options = ("--workers", n_workers, "--lanes", 2, "--finalists", 1, "--final-repeats", 2)
        answer = hpo(*command, "--storage", url, *options, "--json")
        assert answer.code == 0, answer.err
        assert answer.json["n_trained"] == 6
        found.append(
            [
                (c["params"], [(r["seed"], r["score"], r["metrics"]) for r in c["repeats"]])
                for c in answer.json["configurations"]
            ]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("command", [GRID, SEARCH])
def test_a_worker_that_dies_is_replaced_and_told_of(
    tmp_path: Path, xrays: Path, command: tuple[str, ...]
) -> None:
    case = Case(tmp_path / "case", xrays, command, 2)
    child = case.start(epoch_s=0.2)
    until(case.folder, 1)
    os.kill(children(child.pid)[0], signal.SIGKILL)
    _, said = child.communicate(timeout=300)
    assert child.returncode == 0, said
    assert b"it was killed (signal 9). Another goes on in its place." in said
    found = case.described()
    assert (found["n_open"], found["n_double"]) == (0, 0)
    assert len(hosts(case)) >= 2


def test_where_every_worker_dies_the_command_says_so_and_how_to_go_on(
    tmp_path: Path, xrays: Path
) -> None:
    case = Case(tmp_path / "case", xrays, GRID, 2)
    child = case.start(epoch_s=30.0)
    while child.poll() is None:
        for worker in children(child.pid):
            os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)
    _, said = child.communicate()
    assert child.returncode == 1
    assert said.count(b"Another goes on in its place") == 3
    assert b"Every process that trains has ended" in said
    assert b"the same command goes on" in said
    assert b"Traceback" not in said
    case.finish()
    assert case.described()["n_open"] == 0


def test_others_may_help_out_while_the_dashboard_reads(tmp_path: Path, xrays: Path) -> None:
    whole = Case(tmp_path / "whole", xrays, SEARCH, 1)
    whole.finish()
    case = Case(tmp_path / "case", xrays, SEARCH, 1)
    first = case.start(epoch_s=0.2)
    until(case.folder, 1)
    answers: list[int] = []
    with dashboard("--storage", case.url) as url:
        reader = threading.Thread(target=read, args=(url, first, answers))
        reader.start()
        helpers = [case.call("worker", "s", "--storage", case.url, epoch_s=0.2) for _ in "ab"]
        for child in (first, *helpers):
            _, said = child.communicate(timeout=300)
            assert child.returncode == 0, said
        reader.join()
    assert answers
    assert case.described() == whole.described()
    assert len(hosts(case)) == 3


def read(url: str, child: subprocess.Popen[bytes], answers: list[int]) -> None:
    """Read every trial again and again, as an open dashboard does."""
    while child.poll() is None:
        (study,) = fetch(url)["study_summaries"]
        answers.append(len(fetch(f"{url}/{study['study_id']}")["trials"]))
        time.sleep(0.1)


def test_data_that_lie_elsewhere_on_the_helper_s_machine_are_named(
    tmp_path: Path, xrays: Path, hpo: Hpo
) -> None:
    asked = ("--study", "s", "--data", xrays, "--finalists", "0", *SMALL)
    assert hpo("search", "--trials", "1", *asked).code == 0
    study = open_study(open_storage("sqlite:///studies/hpo.db"), "s")
    goal = study.user_attrs["goal"]
    study.set_user_attr("goal", goal | {"n_trials": 2})
    moved = xrays.rename(tmp_path / "moved")
    lost = hpo("worker", "s")
    assert lost.code == 1
    assert "Traceback" not in lost.err
    assert hpo("worker", "s", "--data", moved).code == 0
    assert len(study.get_trials()) == 2


@pytest.mark.parametrize("workers", ["0", "many", "-1", "65"])
def test_workers_that_make_no_sense_are_refused(hpo: Hpo, xrays: Path, workers: str) -> None:
    answer = hpo("grid", "--param", "hidden", "--data", xrays, *SMALL[:2], "--workers", workers)
    assert answer.code == 2
    assert "--workers takes auto or 1 to 64" in answer.err


def test_a_worker_of_no_study_is_told_what_there_is(hpo: Hpo) -> None:
    answer = hpo("worker", "nothing")
    assert answer.code == 1
    assert "hpo grid" in answer.err


def test_cores_are_shared_out_each_once_as_far_as_they_go() -> None:
    assert cores.share({0, 1, 2, 3, 4}, n_workers=2) == [{0, 2, 4}, {1, 3}]
    assert cores.share({3, 7}, n_workers=5) == [{3}, {7}, {3}, {7}, {3}]


def test_a_worker_that_does_not_end_is_killed_and_what_it_trained_is_put_back(
    xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", "import time; time.sleep(600)"))
    monkeypatch.setattr(workers, "_PATIENCE_S", 0.1)
    settings = Settings(data=xrays, storage=f"sqlite:///{tmp_path}/hpo.db", epochs=2)
    session = open_session(plan_grid(["dropout"], settings))
    events = workers.run_workers(session, 2)
    begun = session.source.next()
    assert begun
    begun.trial.set_user_attr("owner", None)  # As of a process that is gone.
    began: list[int] = []

    def interrupt(*_: object) -> None:
        began.extend(children(os.getpid()))
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "_news", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(events)
    assert len(began) >= 2
    assert not set(began) & set(children(os.getpid()))
    states = [trial.state for trial in session.study.get_trials()]
    assert TrialState.RUNNING not in states
    assert TrialState.WAITING in states
