"""Trainings side by side: how long they take, freely and where some wait for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.training.schedule import Work, seconds_freely, seconds_in_window

WORKS = st.lists(st.builds(Work, st.floats(0.01, 10), st.integers(1, 20)), max_size=12)


def test_freely_the_work_is_shared_unless_one_is_longer() -> None:
    even = [Work(1.0, 10)] * 4
    assert seconds_freely(even, n_processes=2) == 20
    assert seconds_freely([*even, Work(5.0, 10)], n_processes=2) == 50
    assert seconds_freely([], n_processes=2) == 0


def test_a_training_waits_for_the_end_of_what_it_is_decided_by() -> None:
    works = [Work(1.0, 9), Work(1.0, 1), Work(1.0, 2)]
    wide = seconds_in_window(works, n_lanes=2, n_processes=2, window=3)
    narrow = seconds_in_window(works, n_lanes=2, n_processes=2, window=2)
    assert (wide, narrow) == (9, 9 + 2)


def test_in_a_window_of_one_trainings_follow_each_other() -> None:
    works = [Work(3.0, 2), Work(1.0, 2), Work(1.0, 3)]
    assert seconds_in_window(works, n_lanes=4, n_processes=2, window=1) == 6 + 2 + 3


def test_a_place_is_filled_as_soon_as_it_is_free() -> None:
    works = [Work(1.0, 4), Work(1.0, 1), Work(1.0, 3)]
    assert seconds_in_window(works, n_lanes=2, n_processes=2, window=9) == 4


@given(WORKS, st.integers(1, 6), st.integers(1, 3), st.integers(1, 9))
def test_a_window_is_never_faster_than_none_and_never_slower_than_one_by_one(
    works: list[Work], n_lanes: int, n_processes: int, window: int
) -> None:
    found = seconds_in_window(works, n_lanes=n_lanes, n_processes=n_processes, window=window)
    n_used = min(n_lanes, n_processes, window)
    assert found >= seconds_freely(works, n_processes=n_used) * (1 - 1e-9)
    assert found <= sum(work.seconds for work in works) * (1 + 1e-9)


def test_without_work_there_is_no_time() -> None:
    assert seconds_in_window([], n_lanes=4, n_processes=2, window=6) == pytest.approx(0)
