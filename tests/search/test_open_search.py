"""Searches: the base first, no proposal repeated after a stop, failures replaced."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hpo.errors import StudyError
from hpo.search.proposals import SAMPLERS
from hpo.search.pruning import PRUNERS
from hpo.space import Choices, FloatRange, Parameter
from hpo.study.record import PRUNERS as PRUNER_NAMES
from hpo.study.record import SAMPLERS as SAMPLER_NAMES
from hpo.study.record import Goal, StudyRecord
from tests.clocked import ClockedStack
from tests.clocked_studies import SPACE, Bench, open_source, record
from tests.conftest import EVERY_STORAGE


def search(**changes: Any) -> StudyRecord:
    return record("search", "learning_rate", "scheduler", "step_size", **changes)


def proposals(study: optuna.Study) -> list[dict[str, Any]]:
    """Return the parameters of the first repeats that count, by the order they were asked."""
    first = [t for t in study.trials if t.user_attrs["repeat"] == 0 and t.state != TrialState.FAIL]
    return [t.params for t in sorted(first, key=lambda t: t.user_attrs["ordinal"])]


def test_a_search_begins_with_the_base_configuration(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, Goal(1, 3))
    assert study.trials[0].params == {"learning_rate": 1e-3, "scheduler": "none"}
    assert study.trials[0].user_attrs["config"]["learning_rate"] == 1e-3


def test_a_base_outside_of_the_ranges_is_moved_into_them(bench: Bench) -> None:
    narrow = replace(SPACE, search=(Parameter("learning_rate", FloatRange(0.1, 0.2)),))
    study = bench.study(record("search", "learning_rate", space=narrow))
    bench.train(study, Goal(1, 3))
    assert study.trials[0].params == {"learning_rate": 0.1}


def test_a_base_that_the_ranges_cannot_express_is_left_out(bench: Bench) -> None:
    others = Parameter("optimizer", Choices(("sgd", "rmsprop")))
    other = replace(SPACE, search=(others, Parameter("dropout", FloatRange(0.1, 0.2))))
    study = bench.study(record("search", "optimizer", "dropout", space=other))
    bench.train(study, Goal(1, 3))
    assert all(t.params["optimizer"] in ("sgd", "rmsprop") for t in study.trials)
    assert study.trials[0].params["dropout"] != 0.2


def test_a_conditional_parameter_is_there_exactly_where_its_condition_holds(bench: Bench) -> None:
    study = bench.study(search(sampler="random"))
    bench.train(study, Goal(1, 25))
    for trial in study.trials:
        assert ("step_size" in trial.params) == (trial.params["scheduler"] == "step")
    assert {t.params["scheduler"] for t in study.trials} == {"none", "cosine", "step"}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_in_two_parts_is_the_search_in_one(tmp_path: Path, sampler: str) -> None:
    whole, parts = Bench(tmp_path / "whole"), Bench(tmp_path / "parts")
    one = whole.study(search(sampler=sampler))
    whole.train(one, Goal(1, 18))
    for n_trials in (5, 11, 18):
        two = parts.study(search(sampler=sampler))
        parts.train(two, Goal(1, n_trials))
    assert proposals(one) == proposals(two)
    assert len({str(p) for p in proposals(one)}) == 18


@pytest.mark.parametrize("storage_url", EVERY_STORAGE, indirect=True)
def test_an_interrupted_search_becomes_the_undisturbed_one(
    tmp_path: Path, storage_url: str
) -> None:
    whole, stopped = Bench(tmp_path / "whole"), Bench(tmp_path / "stopped", storage_url)
    one = whole.study(search())
    whole.train(one, Goal(1, 15))
    stopped.stack = ClockedStack(stop_at=20)
    with pytest.raises(KeyboardInterrupt):
        stopped.train(stopped.study(search()), Goal(1, 15))
    stopped.stack = ClockedStack()
    two = stopped.study(search())
    stopped.train(two, Goal(1, 15))
    assert proposals(one) == proposals(two)


def test_another_seed_is_another_search(bench: Bench) -> None:
    one, two = bench.study(search(), "one"), bench.study(search(seed=1), "two")
    bench.train(one, Goal(1, 4))
    bench.train(two, Goal(1, 4))
    assert proposals(one)[1:] != proposals(two)[1:]


def test_the_same_search_again_trains_nothing(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, Goal(1, 6))
    assert bench.train(bench.study(search()), Goal(1, 6)) == []


def test_a_failed_configuration_is_replaced_by_another(bench: Bench) -> None:
    wide = replace(SPACE, search=(Parameter("learning_rate", FloatRange(1e-3, 10.0, log=True)),))
    wide = replace(wide, base=wide.base.replace(learning_rate=10.0))
    study = bench.study(record("search", "learning_rate", space=wide))
    done = bench.train(study, Goal(1, 4))
    assert [d.outcome for d in done].count("complete") == 4
    assert done[0].outcome == "failed"
    assert len(study.trials) == 5


def test_a_search_where_everything_fails_ends_and_says_why(bench: Bench) -> None:
    ranges = {"learning_rate": FloatRange(10.0, 10.0), "dropout": FloatRange(0.0, 0.5)}
    broken = replace(SPACE, search=tuple(Parameter(*pair) for pair in ranges.items()))
    broken = replace(broken, base=broken.base.replace(learning_rate=10.0))
    study = bench.study(record("search", *ranges, space=broken))
    with pytest.raises(StudyError, match="not finite in epoch 2"):
        bench.train(study, Goal(1, 50))


def test_a_configuration_that_cannot_be_trained_fails_with_its_reason(bench: Bench) -> None:
    study = bench.study(
        record(
            "search",
            "learning_rate",
            space=replace(SPACE, base=SPACE.base.replace(batch_size=128)),
        )
    )
    with pytest.raises(StudyError, match="batch_size 128 is larger than 64 images"):
        bench.train(study, Goal(1, 2))


@pytest.mark.parametrize("n_lanes", [1, 3])
def test_every_complete_configuration_gets_its_repeats(bench: Bench, n_lanes: int) -> None:
    study = bench.study(search())
    bench.train(study, Goal(3, 4), n_lanes=n_lanes)
    seen = sorted((t.user_attrs["ordinal"], t.user_attrs["repeat"]) for t in study.trials)
    assert seen == [(ordinal, repeat) for ordinal in range(4) for repeat in range(3)]
    assert all(t.user_attrs["seed"] == t.user_attrs["repeat"] for t in study.trials)


def test_a_further_repeat_that_fails_is_not_tried_forever(bench: Bench) -> None:
    bench.stack = ClockedStack(diverging_seed=1)
    study = bench.study(search())
    done = bench.train(study, Goal(2, 4))
    assert sorted(d.outcome for d in done) == ["complete"] * 4 + ["failed"] * 4
    source = open_source(study, search(), Goal(2, 4))
    assert source.n_left() == 0
    assert bench.train(study, Goal(2, 4)) == []


def test_a_configuration_that_was_cut_off_and_then_fails_is_replaced(bench: Bench) -> None:
    study = bench.study(search())
    bench.stack = ClockedStack(stop_at=1)
    with pytest.raises(KeyboardInterrupt):
        bench.train(study, Goal(1, 2))
    bench.stack = ClockedStack(diverging_seed=0)
    with pytest.raises(StudyError, match="last 20 trainings failed"):
        bench.train(study, Goal(1, 2))
    assert [t.user_attrs["ordinal"] for t in study.trials] == list(range(20))


def test_more_repeats_are_added_to_a_finished_search(bench: Bench) -> None:
    study = bench.study(search())
    bench.train(study, Goal(1, 4))
    added = bench.train(study, Goal(2, 4))
    assert [d.job.repeat for d in added] == [1] * 4


def test_the_median_pruner_ends_trainings_that_are_behind(bench: Bench) -> None:
    long = replace(SPACE, base=SPACE.base.replace(epochs=9))
    study = bench.study(search(space=long, pruner="median", sampler="random"))
    done = bench.train(study, Goal(1, 30))
    outcomes = [d.outcome for d in done]
    assert outcomes.count("pruned") > 5
    assert len(done) == 30
    assert all(len(study.trials[d.trial].intermediate_values) >= 3 for d in done)


def test_a_run_from_the_store_is_pruned_where_its_training_would_have_been(tmp_path: Path) -> None:
    long = replace(SPACE, base=SPACE.base.replace(epochs=9))
    fresh, primed = Bench(tmp_path / "fresh"), Bench(tmp_path / "primed")
    primed.train(primed.study(search(space=long, sampler="random"), "whole"), Goal(1, 30))
    pruned = search(space=long, sampler="random", pruner="median")
    one, two = fresh.study(pruned), primed.study(pruned)
    fresh.train(one, Goal(1, 30))
    primed.train(two, Goal(1, 30))
    assert [t.state for t in one.trials] == [t.state for t in two.trials]
    assert [t.intermediate_values for t in one.trials] == [
        t.intermediate_values for t in two.trials
    ]


def test_after_the_deadline_no_training_begins(bench: Bench) -> None:
    study = bench.study(search())
    assert bench.train(study, Goal(1, 5), deadline=0.0) == []


def test_the_names_that_are_offered_are_those_there_are() -> None:
    assert set(SAMPLER_NAMES) == set(SAMPLERS)
    assert set(PRUNER_NAMES) == set(PRUNERS)
