"""Training again for the weights: in one stack, in as many lanes as there is room for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest

from hpo.errors import OutOfMemoryError
from hpo.run import reproduce
from hpo.run.reproduce import retrain
from hpo.run.session import lanes_of
from hpo.search.trials import job_of
from hpo.storage.opening import open_storage
from hpo.study.study import open_study, read_record
from hpo.training.engine import LaneEpoch, TrainingResult
from tests.clocked import ClockedStack
from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "3", *SMALL)


@dataclass
class Seen(ClockedStack):
    """A stack that notes how many lanes were asked for, and how many train at each step."""

    n_lanes: int = 0
    n_live: list[int] = field(default_factory=list)

    def step(self) -> list[LaneEpoch]:
        self.n_live.append(len(self.live))
        return super().step()


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """The stacks that are opened for training again."""
    return stand_in(monkeypatch, Seen)


def stand_in(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Seen]) -> list[Seen]:
    opened: list[Seen] = []

    def open_stack(*_: object, n_lanes: int) -> Seen:
        opened.append(make())
        opened[-1].n_lanes = n_lanes
        return opened[-1]

    monkeypatch.setattr(reproduce, "open_stack", open_stack)
    return opened


def trained_again(*, lanes: int | None) -> list[tuple[tuple[int, int], TrainingResult]]:
    study = opened_study()
    jobs = [job_of(trial) for trial in study.get_trials(deepcopy=False)]
    return [(job.place, result) for job, result in retrain(study, jobs, lanes=lanes)]


def opened_study() -> optuna.Study:
    return open_study(open_storage("sqlite:///studies/hpo.db", create=False), "mine")


@pytest.fixture
def _mine(hpo: Hpo, xrays: Path) -> None:
    """A finished grid of six trials."""
    assert hpo(*GRID, "--data", xrays, "--study", "mine", "--quiet").code == 0


PLACES = [(cell, repeat) for cell in (0, 1) for repeat in (0, 1, 2)]


@pytest.mark.usefixtures("_mine")
def test_an_export_trains_all_that_it_lacks_in_one_stack(hpo: Hpo, stacks: list[Seen]) -> None:
    for path in Path("studies/mine/weights").iterdir():
        path.unlink()
    answer = hpo("export", "mine", "--weights", "all", "--out", "out", "--lanes", "4")
    assert answer.code == 0
    (stack,) = stacks
    assert stack.n_live == [4, 4, 2, 2]
    assert len(list(Path("out").rglob("*.safetensors"))) == 6
    assert answer.err.count("its weights are trained again (") == 6
    assert "(6 of 6)" in answer.err
    stacks.clear()
    # Those of the best configuration are kept from now on.
    assert hpo("export", "mine", "--out", "out").code == 0
    assert stacks == []


@pytest.mark.usefixtures("_mine")
def test_each_job_comes_once_with_its_own_result(stacks: list[Seen]) -> None:
    found = trained_again(lanes=3)
    assert sorted(place for place, _ in found) == PLACES
    # The clocked weights tell seed and fold.
    assert all(result.weights["1.weight"][0, 0] == 2 * place[1] for place, result in found)
    assert [stack.n_lanes for stack in stacks] == [3]


@pytest.mark.usefixtures("_mine")
def test_as_many_train_at_once_as_the_study_would(stacks: list[Seen]) -> None:
    assert len(trained_again(lanes=None)) == 6
    assert [stack.n_lanes for stack in stacks] == [
        min(6, lanes_of(read_record(opened_study()), None))
    ]


@pytest.mark.usefixtures("_mine")
def test_lanes_out_of_range_are_wrong_usage(hpo: Hpo) -> None:
    answer = hpo("export", "mine", "--lanes", "0")
    assert (answer.code, "--lanes takes auto or 1 to 256" in answer.err) == (2, True)


@pytest.mark.usefixtures("_mine")
def test_where_memory_runs_out_fewer_go_on_and_none_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = stand_in(monkeypatch, lambda: Seen(room=1))
    assert sorted(place for place, _ in trained_again(lanes=4)) == PLACES
    assert [max(stack.n_live) for stack in opened] == [4, 2, 1]


@pytest.mark.usefixtures("_mine")
def test_where_not_even_one_has_room_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, lambda: Seen(room=0))
    with pytest.raises(OutOfMemoryError, match="not enough memory"):
        trained_again(lanes=2)
