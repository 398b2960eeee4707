import itertools
from pathlib import Path

import pytest

from hpo.config import TrainingConfig
from hpo.data import TrainingData, open_data, seal
from hpo.forecast import times
from hpo.forecast.times import EpochTimes, even_choice, time_epochs
from hpo.training.cost import epoch_cost
from hpo.training.device import Device

BASE = TrainingConfig(image_size=16, hidden=(8,), batch_size=20)
N_TRAIN = 64  # Four of five folds of 80 images.
CPU = Device("cpu", "fp32")


@pytest.fixture
def data(xrays: Path) -> TrainingData:
    return seal(open_data(xrays))


def cost(config: TrainingConfig) -> float:
    return epoch_cost(config, n_train=N_TRAIN)


def test_an_even_choice_takes_the_middles_of_equal_parts() -> None:
    assert even_choice(range(12), 3) == [2, 6, 10]
    assert even_choice(range(3), 5) == [0, 1, 2]
    assert even_choice([], 5) == []
    assert even_choice(range(5), 0) == []


@pytest.mark.parametrize(("n", "wanted"), [*itertools.product((1, 7, 50), (1, 5, 60))])
def test_an_even_choice_has_as_many_as_there_are_and_none_twice(n: int, wanted: int) -> None:
    chosen = even_choice(range(n), wanted)
    assert len(set(chosen)) == len(chosen) == min(n, wanted)
    assert chosen == sorted(chosen)


def test_what_was_not_timed_follows_from_its_cost() -> None:
    found = EpochTimes(n_train=N_TRAIN, timed={}, scale=2.0)
    assert found.seconds(BASE) == pytest.approx(2 * cost(BASE))


def test_each_kind_is_timed_once_and_taken_as_timed(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData
) -> None:
    timed: list[TrainingConfig] = []

    def note(_data: TrainingData, config: TrainingConfig, **_: object) -> float:
        timed.append(config)
        return float(len(timed))

    monkeypatch.setattr(times, "seconds_per_epoch", note)
    wide = BASE.replace(hidden=(64,))
    same = BASE.replace(epochs=99, learning_rate=0.5)
    found = time_epochs(data, [wide, BASE, same], device=CPU, n_processes=1)
    assert [config.hidden for config in timed] == [(8,), (64,)]
    assert [found.seconds(config) for config in (BASE, same, wide)] == [1, 1, 2]


def test_of_many_kinds_some_are_timed(monkeypatch: pytest.MonkeyPatch, data: TrainingData) -> None:
    monkeypatch.setattr(times, "seconds_per_epoch", lambda _data, config, **_: 3 * cost(config))
    configs = [BASE.replace(hidden=(width,)) for width in range(10, 200, 5)]
    found = time_epochs(data, configs, device=CPU, n_processes=1)
    assert len(found.timed) == 12
    for config in configs:
        assert found.seconds(config) == pytest.approx(3 * cost(config))
