"""What counts as equal, as rounding, and as different: judged on numbers alone."""

import math

import pytest
from hpo.reproduce.numbers import AFTER, Numbers, of_run
from hypothesis import given
from hypothesis import strategies as st

from hpo.run.reproduce import TOLERANCE, Judgment, Reproduction, judge, sentences, to_document
from hpo.storage.runs import Epoch, Run
from hpo.study.score import SCORES

VALIDATION = {
    "loss": 0.2, "accuracy": 0.9, "balanced_accuracy": 0.9, "auroc": math.nan, "log_loss": 0.2,
    "brier": 0.1,
}  # fmt: skip

finite = st.floats(-100, 100)


def run(**changes: float) -> Run:
    epochs = tuple(
        Epoch(
            learning_rate=1e-3,
            train={"loss": 0.5 / n, "accuracy": 0.8},
            validation=VALIDATION | {"loss": 0.3 / n},
        )
        for n in (1, 2, 3)
    )
    return Run(
        epochs=epochs,
        kept_epoch=3,
        train=VALIDATION | changes,
        validation_probabilities=(0.25, 0.75),
        test_probabilities=(0.5,),
        seconds=1.0,
        versions={},
    )


def reproduction(judgment: Judgment, *changes: str) -> Reproduction:
    return Reproduction(
        study="mine",
        name="Trial 4",
        trial=4,
        metric=SCORES["accuracy"],
        has_run=True,
        n_epochs=3,
        score=0.9,
        score_now=0.91,
        changes=changes,
        judgment=judgment,
        seconds=1.0,
    )


def test_the_same_numbers_are_equal_nan_included() -> None:
    found = judge(of_run(run(), SCORES["accuracy"]), of_run(run(), SCORES["accuracy"]))
    assert found.result == "equal"
    assert found.n_equal == found.n_numbers > 40
    assert (found.first, found.begins, found.largest) == (None, None, None)


def test_every_number_of_a_run_is_compared() -> None:
    numbers = of_run(run(), SCORES["accuracy"])
    for key, value in numbers.items():
        changed = numbers | {key: 9.0 if math.isnan(value) else value + 1}
        found = judge(numbers, changed)
        assert found.result == "different"
        assert found.begins is not None
        assert found.begins.metric == key[1]
        assert (found.begins.epoch or AFTER) == key[0]


def test_what_begins_first_is_named_by_epoch_and_metric() -> None:
    numbers = of_run(run(), SCORES["accuracy"])
    later = {(3, "training loss"): 0.9, (2, "validation loss"): 0.9, (AFTER, "score"): 0.1}
    found = judge(numbers, numbers | later)
    assert found.begins is not None
    assert (found.begins.epoch, found.begins.metric) == (2, "validation loss")
    assert found.largest is not None
    assert found.largest.metric == "score"
    (said, *_) = sentences(reproduction(found))
    assert said.startswith("Trial 4 of mine: different, from the validation loss of epoch 2 on: ")
    assert "0.15 recorded, 0.9 now" in said


@given(st.dictionaries(st.tuples(st.integers(1, 9), st.just("training loss")), finite, min_size=1))
def test_small_differences_are_rounding_and_larger_ones_are_not(numbers: Numbers) -> None:
    def moved(by: float) -> Numbers:
        return {key: value + by * max(1, abs(value)) for key, value in numbers.items()}

    assert judge(numbers, moved(0.9 * TOLERANCE)).result == "equal_within_rounding"
    assert judge(numbers, moved(1.1 * TOLERANCE)).result == "different"


def test_a_large_loss_is_compared_in_proportion() -> None:
    key = (1, "training loss")
    assert judge({key: 1000.0}, {key: 1004.0}).result == "equal_within_rounding"
    assert judge({key: 1000.0}, {key: 1006.0}).result == "different"


@pytest.mark.parametrize("key", [(1, "learning rate"), (AFTER, "kept epoch")])
def test_what_is_not_computed_from_pixels_has_no_rounding(key: tuple[int, str]) -> None:
    assert judge({key: 1e-3}, {key: 1.0001e-3}).result == "different"


@pytest.mark.parametrize("now", [math.nan, math.inf, None])
def test_a_number_that_is_none_now_is_different(now: float | None) -> None:
    key = (1, "training loss")
    found = judge({key: 0.5}, {} if now is None else {key: now})
    assert found.result == "different"
    assert found.begins is not None


def test_rounding_states_the_largest_difference_and_the_tolerance() -> None:
    numbers = of_run(run(), SCORES["accuracy"])
    found = judge(numbers, numbers | {(2, "training loss"): 0.2503})
    said = " ".join(sentences(reproduction(found, "torch 2.12 then, 2.13 now")))
    assert "equal within rounding" in said
    assert "the largest difference is 0.0003, in the training loss of epoch 2" in said
    assert "up to 0.005 apart counts as rounding" in said
    assert "Not as it was: torch 2.12 then, 2.13 now." in said
    assert "Score (accuracy) 90.00\u00a0% then, 91.00\u00a0% now." in said


def test_a_difference_is_explained_by_the_surroundings_only_where_they_changed() -> None:
    found = judge({(1, "training loss"): 0.5}, {(1, "training loss"): 0.6})
    assert "that may be all" in " ".join(sentences(reproduction(found, "cuda:0 then, cpu now")))
    assert "a record that was changed afterwards" in " ".join(sentences(reproduction(found)))


def test_the_document_names_result_beginning_and_largest() -> None:
    found = judge({(1, "training loss"): 0.5}, {(1, "training loss"): 0.6})
    document = to_document(reproduction(found))
    assert document["result"] == "different"
    assert document["begins"] == {
        "epoch": 1, "metric": "training loss", "recorded": 0.5, "now": 0.6,
    }  # fmt: skip
    assert document["largest"] == document["begins"]
