"""Retraining for the weights: in one stack, in as many lanes as fit."""

from pathlib import Path

import optuna
import pytest

from hpo.errors import OutOfMemoryError
from hpo.run import reproduce
from hpo.run.session import lanes_of
from hpo.storage.opening import open_storage
from hpo.study.study import open_study, read_record
from hpo.study.trials import job_of
from tests.clocked import ClockedStack
from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "3", *SMALL)


def retrained(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, *, lanes: int | None, room: int
) -> list[int]:
    """Train all six jobs of a study again; return how many lanes were opened each time."""
    opened: list[int] = []

    def open_stack(*_: object, n_lanes: int) -> ClockedStack:
        opened.append(n_lanes)
        return ClockedStack(room=room)

    monkeypatch.setattr(reproduce, "open_stack", open_stack)
    jobs = [job_of(trial) for trial in study.get_trials(deepcopy=False)]
    found = list(reproduce.retrain(study, jobs, lanes=lanes))
    assert sorted(job.place for job, _ in found) == sorted(job.place for job in jobs)
    # Each comes with its own result: the weights of the clocked stack are seed + fold.
    assert all(result.weights["1.weight"][0, 0] == 2 * job.repeat for job, result in found)
    return opened


def test_retraining_uses_the_lanes_of_the_study_or_as_many_as_fit(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hpo(*GRID, "--data", xrays, "--study", "mine", "--quiet").code == 0
    mine = open_study(open_storage("sqlite:///studies/hpo.db", create=False), "mine")
    usual = min(6, lanes_of(read_record(mine), None))
    assert retrained(mine, monkeypatch, lanes=None, room=9) == [usual]
    assert retrained(mine, monkeypatch, lanes=3, room=9) == [3]
    assert retrained(mine, monkeypatch, lanes=4, room=1) == [4, 2, 1]
    with pytest.raises(OutOfMemoryError, match="not enough memory"):
        retrained(mine, monkeypatch, lanes=2, room=0)
