"""When lanes wait for each other: only while their scores decide what follows."""

from dataclasses import replace

import pytest

from hpo import study as studies
from hpo.objective import TrialDone, Workplace, work
from hpo.search import run_key
from hpo.study_record import Goal, StudyRecord
from tests.clocked import ClockedStack
from tests.clocked_studies import Bench, open_source, record

GOAL = Goal(n_repeats=1, n_trials=6, n_finalists=2, n_final_repeats=3)


def search(**changes: object) -> StudyRecord:
    return record("search", "learning_rate", "scheduler", "step_size", **changes)


def opened(bench: Bench, of: StudyRecord, goal: Goal, n_lanes: int) -> tuple[list[bool], int]:
    """Train to the goal; return how each stack was opened, and how many trials were complete."""
    study = bench.study(of)
    studies.raise_goal(study, goal)
    asked: list[bool] = []

    def open_stack(_n_lanes: int, in_ticks: bool) -> ClockedStack:
        asked.append(in_ticks)
        return ClockedStack()

    place = Workplace(
        runs=bench.runs,
        key_of=lambda job: run_key(of, job),
        open_stack=open_stack,
        attach=lambda _trial, _run: None,
        score=of.score,
        n_lanes=n_lanes,
    )
    events = work(study, open_source(study, of, goal), place)
    done = [event for event in events if isinstance(event, TrialDone)]
    return asked, sum(event.outcome == "complete" for event in done)


@pytest.mark.parametrize("n_lanes", [1, 4])
def test_a_search_goes_by_ticks_until_its_finalists(bench: Bench, n_lanes: int) -> None:
    assert opened(bench, search(), GOAL, n_lanes) == ([True, False], 6 + 2 * 3)


def test_finalists_that_are_left_do_not_wait(bench: Bench) -> None:
    assert opened(bench, search(), Goal(1, 6), 2) == ([True], 6)
    assert opened(bench, search(), GOAL, 2) == ([False], 2 * 3)


def test_a_search_that_goes_on_goes_by_ticks_again(bench: Bench) -> None:
    opened(bench, search(), GOAL, 2)
    assert opened(bench, search(), replace(GOAL, n_trials=9), 2)[0][0]


def test_where_nothing_is_decided_nobody_waits(bench: Bench) -> None:
    assert opened(bench, search(sampler="random", pruner="none"), GOAL, 3)[0] == [False]
    grid = record()
    bench = Bench(bench.folder / "grid")
    assert opened(bench, grid, Goal(2), 3)[0] == [False]
