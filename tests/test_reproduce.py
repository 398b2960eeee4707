"""What counts as equal, as rounding, and as different: judged on numbers alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.run.reproduce import (
    AFTER,
    TOLERANCE,
    Numbers,
    Reproduction,
    numbers_of_run,
)
from hpo.storage.runs import Epoch, Run
from hpo.study.score import SCORES

VALIDATION = {
    "loss": 0.2, "accuracy": 0.9, "balanced_accuracy": 0.9, "auroc": math.nan, "log_loss": 0.2,
    "brier": 0.1,
}  # fmt: skip
LOSS = (1, "training loss")


def numbers_of(**changes: float) -> Numbers:
    epochs = tuple(
        Epoch(
            learning_rate=1e-3,
            train={"loss": 0.5 / n, "accuracy": 0.8},
            validation=VALIDATION | {"loss": 0.3 / n},
        )
        for n in (1, 2, 3)
    )
    run = Run(
        epochs=epochs,
        kept_epoch=3,
        train=VALIDATION | changes,
        validation_probabilities=(0.25, 0.75),
        test_probabilities=(0.5,),
        seconds=1.0,
        versions={},
    )
    return numbers_of_run(run, SCORES["accuracy"])


def judged(recorded: Numbers, now: Numbers, *changes: str) -> Reproduction:
    return Reproduction(
        study="mine",
        name="Trial 4",
        trial=4,
        metric=SCORES["accuracy"],
        has_run=True,
        n_epochs=3,
        recorded=recorded | {(AFTER, "score"): 0.9},
        now=now | {(AFTER, "score"): now.get((AFTER, "score"), 0.9)},
        changes=changes,
        seconds=1.0,
    )


def test_the_same_numbers_are_equal_nan_included() -> None:
    found = judged(numbers_of(), numbers_of())
    assert (found.result, found.begins, found.largest) == ("equal", None, None)
    assert len(found.recorded) > 40


def test_every_number_of_a_run_is_compared() -> None:
    numbers = numbers_of()
    for key, value in numbers.items():
        found = judged(numbers, numbers | {key: 9.0 if math.isnan(value) else value + 1})
        assert found.result == "different"
        assert found.begins is not None
        assert (found.begins.epoch or AFTER, found.begins.metric) == key


def test_the_first_difference_beyond_rounding_is_named_by_epoch_and_metric() -> None:
    numbers = numbers_of()
    later = {(3, "training loss"): 0.9, (2, "validation loss"): 0.9, (AFTER, "score"): 0.1}
    found = judged(numbers, numbers | later).to_document()
    begins = {"epoch": 2, "metric": "validation loss", "recorded": 0.15, "now": 0.9}
    assert found["begins"] == found["first"] == begins
    assert (found["result"], found["largest"]["metric"]) == ("different", "score")
    said = " ".join(found["sentences"])
    assert "Trial 4 of mine: different, from the validation loss of epoch 2 on: 0.15" in said
    assert "the code or the record has changed" in said


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


@pytest.mark.parametrize("key", [(1, "learning rate"), (AFTER, "kept epoch")])
def test_what_is_not_computed_from_pixels_has_no_rounding(key: tuple[int, str]) -> None:
    assert judged({key: 1e-3}, {key: 1.0001e-3}).result == "different"


@pytest.mark.parametrize("now", [{LOSS: math.nan}, {LOSS: math.inf}, {}])
def test_a_number_that_is_none_now_is_different(now: Numbers) -> None:
    assert judged({LOSS: 0.5}, now).result == "different"


def test_rounding_states_the_largest_difference_the_tolerance_and_the_environment() -> None:
    numbers = numbers_of()
    now = numbers | {(2, "training loss"): 0.2503}
    said = " ".join(judged(numbers, now, "torch 2.12 then, 2.13 now").sentences())
    assert "equal within rounding" in said
    assert "the largest difference is 0.0003, in the training loss of epoch 2" in said
    assert "up to 0.005 count as rounding" in said
    assert "The environment changed: torch 2.12 then, 2.13 now." in said
    assert "Score (accuracy): 90.00\u00a0% recorded, 90.00\u00a0% now." in said
