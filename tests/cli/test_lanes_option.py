"""--lanes: the number of parallel trainings, which must not change results."""

import select
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hpo.training import machine, processes, stack
from tests.cli.conftest import assert_error
from tests.conftest import SMALL, Answer, Hpo

GRID = ("grid", "--param", "hidden", "--values", "8,16", "--set", "image_size=16", "--epochs", "2")
SEARCH = ("search", "--trials", "5", "--param", "learning_rate", "--param", "dropout", *SMALL)

RunFresh = Callable[..., Answer]


@pytest.fixture
def run_fresh(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFresh:
    """Run a command where nothing was trained before."""
    numbers = count()

    def run(*arguments: object) -> Answer:
        folder = tmp_path / str(next(numbers))
        monkeypatch.setenv("HPO_RUNS", str(folder / "runs"))
        answer = hpo(*arguments, "--storage", f"sqlite:///{folder}/hpo.db", "--json")
        assert answer.code == 0, answer.err
        return answer

    return run


def numbers(answer: Answer) -> list[Any]:
    """Return everything but times and the order in which trials ended."""
    return [
        (c["params"], [(r["seed"], r["score"], r["metrics"]) for r in c["repeats"]])
        for c in answer.json["configurations"]
    ]


def test_a_grid_is_the_same_with_any_number_of_lanes(
    run_fresh: RunFresh, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*GRID, "--repeats", "2", "--data", xrays)
    alone = run_fresh(*command, "--lanes", "1")
    # In processes, if this machine has two cores.
    assert numbers(run_fresh(*command, "--lanes", "3")) == numbers(alone)
    assert run_fresh(*command, "--lanes", "3", "--dry-run").json["n_lanes"] == 3
    # As on Windows, where one process trains all lanes.
    monkeypatch.delattr(select, "poll")
    monkeypatch.setattr(processes, "Processes", None)
    assert numbers(run_fresh(*command, "--lanes", "3")) == numbers(alone)


def test_a_search_is_the_same_with_other_lanes_cores_and_memory(
    run_fresh: RunFresh, hpo: Hpo, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*SEARCH, "--data", xrays, "--window", "3", "--finalists", "0")
    monkeypatch.setattr(machine, "n_cores", lambda: 1)
    whole = run_fresh(*command, "--lanes", "3")
    assert whole.json["window"] == 3
    with monkeypatch.context() as patch:
        patch.setattr(machine, "n_cores", lambda: 16)
        patch.setattr(machine, "available_bytes", lambda _: 1)
        assert numbers(run_fresh(*command, "--lanes", "auto")) == numbers(whole)
    monkeypatch.setenv("HPO_RUNS", str(tmp_path / "parts" / "runs"))
    parts = (*command, "--storage", f"sqlite:///{tmp_path}/parts/hpo.db", "--json")
    first = hpo(*parts, "--trials", "2", "--lanes", "1")
    # Eight lanes are allowed, but there is work for only three.
    assert numbers(hpo(*parts, "--lanes", "8")) == numbers(whole)
    study = ("--study", first.json["study"])
    assert_error(hpo(*parts[:-1], *study, "--window", "2"), 1, "--window: 3 there, 2 here")


def test_a_sweep_of_epochs_is_one_training_per_repeat(
    run_fresh: RunFresh, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    run_epoch = stack.run_epoch

    def counted(lanes: Any) -> Any:
        trained.extend(lane.progress.epoch for lane in lanes)
        return run_epoch(lanes)

    monkeypatch.setattr(stack, "run_epoch", counted)
    command = ("grid", "--param", "epochs", "--values", "1,2,4", "--repeats", "2", "--data", xrays)
    found = run_fresh(*command, *SMALL[:4], "--set", "scheduler=none").json
    assert sorted(trained) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [len(c["repeats"]) for c in found["configurations"]] == [2, 2, 2]


def test_patience_ends_a_search_at_the_same_trial_with_any_number_of_lanes(
    run_fresh: RunFresh, hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "n_cores", lambda: 1)
    search = ("search", "learning_rate", *SMALL, "--data", xrays, "--metric", "accuracy")
    command = (*search, "--trials", "12", "--window", "2", "--finalists", "0", "--patience", "2")
    whole = run_fresh(*command, "--lanes", "1")
    n = len(whole.json["configurations"])
    assert n < 12
    assert numbers(run_fresh(*command, "--lanes", "3")) == numbers(whole)
    shown = hpo("show", whole.json["study"], "--storage", whole.json["storage"])
    assert f"The search ended after {n} of 12 configurations: 2 in a row" in shown.out
    more = hpo(*command, "--patience", "12", "--storage", whole.json["storage"], "--json")
    assert len(more.json["configurations"]) == 12
