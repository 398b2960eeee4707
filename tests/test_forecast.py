"""Forecasts of a plan: the counts of a dry run, and times that follow from timed epochs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData, seal
from hpo.data.source import open_data
from hpo.run import forecast as forecasts
from hpo.run.forecast import Forecast, forecast, training_seconds
from hpo.run.plan import Settings, plan_grid, plan_search
from hpo.training.device import Device
from hpo.training.machine import epoch_cost

SEARCHED = ("epochs", "learning_rate")
FREE: dict[str, Any] = {"trials": 8, "sampler": "random", "pruner": "none", "finalists": 0}
BASE = TrainingConfig(image_size=16, hidden=(8,), batch_size=20, epochs=2)
CPU = Device("cpu", "fp32")


@pytest.fixture
def settings(xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a small study; an epoch takes a second."""
    monkeypatch.chdir(tmp_path)

    def seconds(_: TrainingData, configs: Sequence[TrainingConfig], **__: object) -> list[float]:
        return [float(config.epochs) for config in configs]

    monkeypatch.setattr(forecasts, "training_seconds", seconds)
    return Settings(data=xrays, set={"image_size": 16, "hidden": "8"}, lanes=1)


def forecast_search(settings: Settings, **options: Any) -> Forecast:
    return forecast(plan_search(SEARCHED, replace(settings, **FREE | options)))


def test_the_forecast_of_a_grid_counts_all_epochs_and_has_no_range(settings: Settings) -> None:
    found = forecast(plan_grid(["learning_rate"], replace(settings, repeats=2, epochs=7)))
    assert (found.n_to_train, found.seconds, found.seconds_range) == (6, 6 * 7, (42, 42))
    # A sweep of epochs takes the longest of each repeat.
    found = forecast(plan_grid(["epochs"], replace(settings, repeats=2)))
    assert (found.n_to_train, found.seconds) == (6, 2 * 100)


def test_a_small_space_is_counted_exactly_and_a_large_one_by_its_mean(settings: Settings) -> None:
    found = forecast(plan_search(["epochs"], replace(settings, **FREE | {"trials": 50})))
    assert (found.n_configurations, found.n_to_train) == (3, 3)
    assert found.seconds == 30 + 60 + 120
    for seed in range(3):  # Epochs of 30, 60 and 120, equally often.
        found = forecast_search(settings, seed=seed, trials=12)
        assert found.seconds == pytest.approx(12 * 70, rel=0.1)


def test_some_kinds_are_timed_and_the_others_follow_from_their_cost(
    monkeypatch: pytest.MonkeyPatch, xrays: Path
) -> None:
    data, timed = seal(open_data(xrays)), list[TrainingConfig]()

    def note(_data: TrainingData, config: TrainingConfig, **_: object) -> float:
        timed.append(config)
        return 2 * epoch_cost(config, n_train=64)

    monkeypatch.setattr(forecasts, "seconds_per_epoch", note)
    kinds = [BASE.replace(hidden=(width,)) for width in range(8, 100)]
    longer = BASE.replace(epochs=9, learning_rate=0.5)
    found = training_seconds(data, [*kinds, longer], device=CPU, n_processes=1)
    assert len(timed) == 12
    costs = [config.epochs * epoch_cost(config, n_train=64) for config in [*kinds, longer]]
    assert found == pytest.approx([2 * cost for cost in costs])
    assert training_seconds(data, [], device=CPU, n_processes=1) == []
