"""What a search still lacks: the forecast counts what the search then does."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo.forecast.coming import of_search
from hpo.space import Choices, IntRange, Parameter
from hpo.study_record import Goal, StudyRecord
from tests.clocked import ClockedStack
from tests.clocked_studies import SPACE, Bench, open_source, record

# The engine refuses batch sizes above 64.
OPEN = (Parameter("batch_size", IntRange(2, 96)),)
FEW = (Parameter("batch_size", Choices((8, 16, 128))),)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def search(ranges: tuple[Parameter, ...], **changes: object) -> StudyRecord:
    space = replace(SPACE, search=ranges)
    return record("search", "batch_size", space=space, **changes)


def test_configurations_that_failed_are_replaced_by_others(bench: Bench) -> None:
    made = search(OPEN, sampler="random")
    study = bench.study(made)
    outcomes = [done.outcome for done in bench.train(study, Goal(1, 11))]
    assert outcomes.count("complete") == 11
    assert "failed" in outcomes
    coming = of_search(made, Goal(1, 20), study)
    assert (coming.n_configurations, coming.n_trainings) == (20, 9)
    done = bench.train(study, Goal(1, 20))
    assert [job.config for job in coming.searched] == [d.job.config for d in done[:9]]


def test_what_failed_in_a_small_space_is_not_tried_again(bench: Bench) -> None:
    made, goal = search(FEW), Goal(1, 50)
    study = bench.study(made)
    assert of_search(made, goal, study).n_trainings == 3
    bench.train(study, goal)
    coming = of_search(made, goal, study)
    assert (coming.n_configurations, coming.n_done, coming.n_trainings) == (3, 2, 0)


@pytest.mark.parametrize("stop_at", [2, 5, 12, 30])
def test_what_was_interrupted_is_counted_as_the_search_counts_it(
    bench: Bench, stop_at: int
) -> None:
    made, goal = search(OPEN), Goal(2, 8, 2, 3)
    study = bench.study(made)
    bench.stack = ClockedStack(stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        bench.train(study, goal, n_lanes=2)
    assert of_search(made, goal, study).n_trainings == open_source(study, made, goal).n_left()


def test_a_fresh_repeat_that_failed_is_not_tried_again(bench: Bench) -> None:
    made, goal = search(OPEN), Goal(1, 6, 2, 3)
    study = bench.study(made)
    bench.stack = ClockedStack(diverging_seed=2)
    bench.train(study, goal)
    assert of_search(made, goal, study).n_trainings == 0
