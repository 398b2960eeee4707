"""What counts as equal, as rounding, and as different: judged on numbers alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.run.reproduce import AFTER, TOLERANCE, Numbers, Reproduction, numbers_of
from hpo.storage.runs import Epoch, Run
from hpo.study.score import SCORES

VALIDATION = {"loss": 0.2, "accuracy": 0.9, "auroc": math.nan}
LOSS = (1, "training loss")
RUN = Run(
    epochs=tuple(
        Epoch(
            learning_rate=1e-3,
            train={"loss": 0.5 / n, "accuracy": 0.8},
            validation=VALIDATION | {"loss": 0.3 / n},
        )
        for n in (1, 2, 3)
    ),
    kept_epoch=3,
    train=VALIDATION,
    validation_probabilities=(0.25, 0.75),
    test_probabilities=(0.5,),
    seconds=1.0,
    versions={},
)
NUMBERS = numbers_of(RUN.epochs, RUN, SCORES["accuracy"])


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


def test_every_number_of_a_run_is_compared_nan_included() -> None:
    assert judged(NUMBERS, dict(NUMBERS)).result == "equal"
    for key, value in NUMBERS.items():
        found = judged(NUMBERS, NUMBERS | {key: 9.0 if math.isnan(value) else value + 1})
        assert found.result == "different"
        assert found.begins is not None
        assert (found.begins.epoch or AFTER, found.begins.metric) == key


def test_the_first_difference_beyond_rounding_and_the_largest_are_named() -> None:
    later = {(3, "training loss"): 0.9, (2, "validation loss"): 0.9, (AFTER, "score"): 0.1}
    found = judged(NUMBERS, NUMBERS | later).to_document()
    begins = {"epoch": 2, "metric": "validation loss", "recorded": 0.15, "now": 0.9}
    assert found["begins"] == found["first"] == begins
    assert (found["result"], found["largest"]["metric"]) == ("different", "score")
    assert "the code or the record has changed" in found["sentences"][-1]
    near = NUMBERS | {(2, "training loss"): 0.2503}
    said = " ".join(judged(NUMBERS, near, "torch 2.12 then, 2.13 now").sentences())
    assert "the largest difference is 0.0003, in the training loss of epoch 2" in said
    assert "The environment changed: torch 2.12 then, 2.13 now." in said


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
def test_what_has_no_rounding_or_no_number_now_is_different(
    recorded: Numbers, now: Numbers
) -> None:
    assert judged(recorded, now).result == "different"
