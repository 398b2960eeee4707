"""Training again for the weights: in one stack, in as many lanes as there is room for."""

from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest

from hpo.errors import OutOfMemoryError
from hpo.run import reproduce
from hpo.run.reproduce import retrain
from hpo.run.session import lanes_of
from hpo.storage.opening import open_storage
from hpo.study.study import open_study, read_record
from hpo.study.trials import job_of
from hpo.training.engine import LaneEpoch
from tests.clocked import ClockedStack
from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "3", *SMALL)
PLACES = [(cell, repeat) for cell in (0, 1) for repeat in (0, 1, 2)]


@dataclass
class Seen(ClockedStack):
    """A stack that notes how many lanes were asked for, and how many train at each step."""

    n_lanes: int = 0
    n_live: list[int] = field(default_factory=list)

    def step(self) -> list[LaneEpoch]:
        self.n_live.append(len(self.live))
        return super().step()


@pytest.fixture
def mine(hpo: Hpo, xrays: Path) -> optuna.Study:
    """A finished grid of six trials."""
    assert hpo(*GRID, "--data", xrays, "--study", "mine", "--quiet").code == 0
    return open_study(open_storage("sqlite:///studies/hpo.db", create=False), "mine")


def opened(monkeypatch: pytest.MonkeyPatch, *, room: int = 1_000) -> list[Seen]:
    """Return the stacks that are opened for training again."""
    stacks: list[Seen] = []

    def open_stack(*_: object, n_lanes: int) -> Seen:
        stacks.append(Seen(room=room, n_lanes=n_lanes))
        return stacks[-1]

    monkeypatch.setattr(reproduce, "open_stack", open_stack)
    return stacks


def places(study: optuna.Study, lanes: int | None) -> list[tuple[int, int]]:
    """Train all jobs of a study again; each comes with its own result."""
    jobs = [job_of(trial) for trial in study.get_trials(deepcopy=False)]
    found = list(retrain(study, jobs, lanes=lanes))
    # The weights of the clocked stack are seed + fold.
    assert all(result.weights["1.weight"][0, 0] == 2 * job.repeat for job, result in found)
    return sorted(job.place for job, _ in found)


@pytest.mark.usefixtures("mine")
def test_an_export_trains_all_that_it_lacks_in_one_stack(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks = opened(monkeypatch)
    for path in Path("studies/mine/weights").iterdir():
        path.unlink()
    answer = hpo("export", "mine", "--weights", "all", "--out", "out", "--lanes", "4")
    assert answer.code == 0
    assert [stack.n_live for stack in stacks] == [[4, 4, 2, 2]]
    assert len(list(Path("out").rglob("*.safetensors"))) == 6
    assert answer.err.count("Retrained ") == 6
    # Those of the best configuration are kept from now on.
    assert hpo("export", "mine", "--out", "out").code == 0
    assert len(stacks) == 1


def test_as_many_train_at_once_as_the_study_would_or_as_there_is_room(
    mine: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks = opened(monkeypatch)
    assert places(mine, lanes=None) == places(mine, lanes=3) == PLACES
    assert [stack.n_lanes for stack in stacks] == [min(6, lanes_of(read_record(mine), None)), 3]
    stacks = opened(monkeypatch, room=1)
    assert places(mine, lanes=4) == PLACES
    assert [max(stack.n_live) for stack in stacks] == [4, 2, 1]
    opened(monkeypatch, room=0)
    with pytest.raises(OutOfMemoryError, match="not enough memory"):
        places(mine, lanes=2)
