"""What is forecast of a study, with epochs of known length instead of timed ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo.forecast import Forecast, forecast, plan_cost
from hpo.forecast.times import EpochTimes
from hpo.plan import SearchSettings, Settings, plan_grid, plan_search
from tests.conftest import Hpo

SEARCHED = ("epochs", "learning_rate")
FREE = SearchSettings(trials=8, sampler="random", pruner="none", finalists=0)


@pytest.fixture(autouse=True)
def _an_epoch_takes_a_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    class Seconds(EpochTimes):
        def seconds(self, _config: object) -> float:
            return 1.0

    second = Seconds(n_train=1, timed={}, scale=1.0)
    monkeypatch.setattr(plan_cost, "time_epochs", lambda *_, **__: second)


@pytest.fixture
def settings(xrays: Path) -> Settings:
    return Settings(data=xrays, set={"image_size": 16, "hidden": "8"}, lanes=1)


def of_search(settings: Settings, search: SearchSettings) -> Forecast:
    return forecast(plan_search(SEARCHED, settings, search))


def test_a_grid_takes_all_its_epochs_and_has_no_range(settings: Settings) -> None:
    found = forecast(plan_grid(["learning_rate"], replace(settings, repeats=2, epochs=7)))
    assert found.n_to_train == 6
    assert found.seconds == 6 * 7
    assert found.seconds_range == (42, 42)


def test_a_sweep_of_epochs_takes_the_longest_of_each_repeat(settings: Settings) -> None:
    found = forecast(plan_grid(["epochs"], replace(settings, repeats=2)))
    assert (found.n_to_train, found.seconds) == (6, 2 * 100)


def test_a_search_that_decides_nothing_takes_all_its_epochs(settings: Settings) -> None:
    found = of_search(settings, FREE)
    assert 8 * 30 < found.seconds < 8 * 120
    assert found.seconds % 30 == 0
    assert found.seconds_range == (found.seconds, found.seconds)


def test_finalists_may_be_cheap_or_costly(settings: Settings) -> None:
    without = of_search(settings, FREE).seconds
    found = of_search(settings, replace(FREE, finalists=4, final_repeats=3))
    least, most = found.seconds_range
    assert found.n_to_train == 8 + 4 * 3
    assert 4 * 3 * 30 <= least - without < found.seconds - without < most - without <= 4 * 3 * 120


def test_pruned_trainings_end_at_a_third_of_the_base(settings: Settings) -> None:
    settings = replace(settings, epochs=30)
    found = forecast(plan_search(["learning_rate"], settings, replace(FREE, pruner="median")))
    assert found.seconds == pytest.approx(8 * (0.7 * 30 + 0.3 * 10))
    assert found.seconds_range == pytest.approx(
        (8 * (0.55 * 30 + 0.45 * 10), 8 * (0.8 * 30 + 0.2 * 10))
    )


def test_what_is_pruned_has_no_further_repeats(settings: Settings) -> None:
    settings = replace(settings, epochs=30, repeats=3)
    found = forecast(plan_search(["learning_rate"], settings, replace(FREE, pruner="median")))
    assert found.seconds == pytest.approx(8 * (0.7 * 90 + 0.3 * 10))


def test_finalists_are_known_when_the_search_is_over(hpo: Hpo, settings: Settings) -> None:
    command = ("search", "--param", "epochs", "--param", "learning_rate", "--pruner", "none")
    command = (*command, "--data", settings.data, "--trials", "4", "--sampler", "random")
    command = (*command, "--set", "image_size=16", "--set", "hidden=8", "--final-repeats", "2")
    chosen = hpo(*command, "--finalists", "0", "--json").json["configurations"]
    best = max(chosen, key=lambda c: c["repeats"][0]["score"])
    found = hpo(*command, "--finalists", "1", "--dry-run", "--json").json
    assert (found["n_done"], found["n_to_train"]) == (4, 2)
    assert found["seconds"] == 2 * best["config"]["epochs"]
    assert found["seconds_range"] == [found["seconds"]] * 2


def test_finalists_in_the_run_store_take_no_time(hpo: Hpo, settings: Settings) -> None:
    command = ("search", "--param", "learning_rate", "--trials", "3", "--data", settings.data)
    command = (*command, "--set", "image_size=16", "--set", "hidden=8", "--epochs", "2")
    command = (*command, "--sampler", "random", "--final-repeats", "1", "--finalists", "3")
    hpo(*command)
    found = hpo(*command, "--study", "again", "--dry-run", "--json").json
    assert (found["n_stored"], found["n_to_train"], found["seconds"]) == (6, 0, 0)


def test_a_small_space_is_gone_through_once(settings: Settings) -> None:
    search = replace(FREE, trials=50, sampler="tpe")
    found = forecast(plan_search(["epochs"], settings, search))
    assert (found.n_configurations, found.n_to_train) == (3, 3)
    assert found.seconds == 30 + 60 + 120
    assert found.seconds_range == (210, 210)


def test_the_course_of_tpe_is_a_range(settings: Settings) -> None:
    found = of_search(settings, replace(FREE, sampler="tpe"))
    least, most = found.seconds_range
    assert least / found.seconds == pytest.approx(0.7 / 0.9)
    assert most / found.seconds == pytest.approx(1.3 / 0.9)


@pytest.mark.parametrize("seed", range(5))
def test_stand_ins_cost_what_the_space_costs_whatever_the_seed(
    settings: Settings, seed: int
) -> None:
    # Epochs of 30, 60 and 120, equally often.
    search = replace(FREE, trials=12, sampler="tpe")
    found = of_search(replace(settings, seed=seed), search)
    assert found.seconds == pytest.approx(0.9 * 12 * 70, rel=0.1)
