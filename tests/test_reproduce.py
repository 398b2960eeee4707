"""What counts as equal, as rounding, and as different."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.run.reproduce import AFTER, TOLERANCE, Numbers, Reproduction
from hpo.study.score import SCORES

LOSS = (1, "training loss")


def judged(recorded: Numbers, now: Numbers, *changes: str) -> Reproduction:
    return Reproduction(
        study="mine",
        name="Trial 4",
        trial=4,
        metric=SCORES["accuracy"],
        has_run=True,
        n_epochs=3,
        recorded=recorded,
        now=now,
        changes=changes,
        seconds=1.0,
    )


@given(
    st.dictionaries(
        st.tuples(st.integers(1, 9), st.just("training loss")), st.floats(-1e4, 1e4), min_size=1
    )
)
def test_small_differences_are_rounding_and_larger_ones_are_not(numbers: Numbers) -> None:
    def moved(by: float) -> Numbers:
        return {key: value + by * max(1, abs(value)) for key, value in numbers.items()}

    assert judged(numbers, moved(0.9 * TOLERANCE)).result == "equal_within_rounding"
    assert judged(numbers, moved(1.1 * TOLERANCE)).result == "different"


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        ({(1, "learning rate"): 1e-3}, {(1, "learning rate"): 1.0001e-3}),
        ({(AFTER, "kept epoch"): 1e-3}, {(AFTER, "kept epoch"): 1.0001e-3}),
        *(({LOSS: 0.5}, now) for now in ({LOSS: math.nan}, {LOSS: math.inf}, {})),
    ],
)
def test_settings_and_missing_numbers_have_no_tolerance(recorded: Numbers, now: Numbers) -> None:
    assert judged(recorded, now).result == "different"
