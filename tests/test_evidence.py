"""Evidence in the run store for the comparison of repeats."""

from dataclasses import replace

import numpy as np
import pytest

from hpo.choices import ScoredWeights
from hpo.stats.intervals import wilson
from hpo.study.intervals import gather_evidence, mean_score, settled_score
from hpo.study.score import SCORES
from hpo.study.summary import Repeat
from hpo.training.engine import Epoch, OtherWeights, Run
from tests.clocked_studies import record

ACCURACY, STRESS = SCORES["accuracy"], SCORES["stress_accuracy"]


def run(
    accuracies: list[float], rates: list[float] | None = None, other: ScoredWeights = "average"
) -> Run:
    epochs = tuple(
        Epoch(
            learning_rate=rate,
            train={"accuracy": 0.5},
            validation={"accuracy": accuracy},
            stress={"accuracy": accuracy / 2} if i % 2 else {},
        )
        for i, (accuracy, rate) in enumerate(
            zip(accuracies, rates or [0.1] * len(accuracies), strict=True)
        )
    )
    return Run(
        epochs=epochs,
        kept_epoch=len(epochs),
        train={},
        validation_probabilities=(0.9, 0.2, 0.6),
        test_probabilities=(),
        seconds=1.0,
        versions={},
        stress={"one": {"accuracy": 0.4}},
        validation_images=(1, 4, 6),
        validation_labels=(1, 1, 1),
        validation_patients=(0, 2, 2),
        other=OtherWeights(
            weights=other,
            validation={"accuracy": 0.75},
            validation_probabilities=(0.1, 0.2, 0.6),
            test_probabilities=(),
        ),
    )


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0.1, 0.1, 0.1, 0.1, 0.1, 0.1], 0.8),  # The last half.
        ([0.1, 0.1, 0.1, 0.1, 0.1, 0.01], 0.9),  # Only the last epoch has the last rate.
        ([1.0, 1.0, 1.0, 1.0, 0.04, 0.01], 0.85),  # Two have 5 % of the highest, or less.
    ],
)
def test_a_settled_score_is_the_mean_of_the_last_epochs(rates: list, expected: float) -> None:
    found = settled_score(run([0.4, 0.5, 0.6, 0.7, 0.8, 0.9], rates), ACCURACY)
    assert found == pytest.approx(expected)


def test_settled_scores_count_only_kept_epochs_and_measured_stress() -> None:
    stopped = replace(run([0.4, 0.9, 0.6, 0.5]), kept_epoch=2)
    assert settled_score(stopped, ACCURACY) == 0.9
    assert settled_score(run([0.4, 0.5, 0.6, 0.7, 0.8, 0.9]), STRESS) == pytest.approx(0.4)
    assert settled_score(run([0.4]), STRESS) == pytest.approx(0.4)


def repeat(number: int, score: float) -> Repeat:
    return Repeat(
        trial=number,
        repeat=number,
        seed=number,
        fold=number,
        state="complete",
        score=score,
        reported={},
        accuracies=(),
        n_epochs=2,
        seconds=1.0,
        is_reused=False,
        run=f"{number:032x}",
        reason=None,
        metrics={},
    )


class Runs(dict[str, Run]):
    """A run store in memory."""

    read = dict.get


KEPT = {"a": [repeat(1, 0.9)], "b": [repeat(2, 0.8)]}


def store(*runs: Run) -> Runs:
    return Runs({f"{number:032x}": run for number, run in enumerate(runs, start=1)})


def test_settled_scores_and_predictions_for_every_image_are_gathered() -> None:
    repeats = {"a": [repeat(1, 0.9), None], "b": [repeat(2, 0.8), repeat(3, 0.7)]}
    runs = store(*(run([0.5, 0.6 + i / 100]) for i in (1, 2, 3)))
    scores, answers, basis = gather_evidence(repeats, ACCURACY, runs)
    assert scores == {"a": [0.61, None], "b": [0.62, 0.63]}
    assert "last epochs" in basis
    assert answers is not None
    assert np.isnan(answers.right[0, 1]).all()
    assert list(answers.right[1, 0][[1, 4, 6]]) == [1, 0, 1]
    assert np.isnan(answers.right[1, 0][[0, 2, 3, 5]]).all()
    assert list(np.asarray(answers.patients)[[1, 4, 6]]) == [0, 2, 2]


def test_settled_and_last_scores_are_never_mixed() -> None:
    bare = replace(run([0.5]), epochs=(replace(run([0.5]).epochs[0], validation={}),))
    for runs in (store(run([0.5, 0.6])), store(run([0.5, 0.6]), bare)):
        scores, _, basis = gather_evidence(KEPT, ACCURACY, runs)
        assert scores == {"a": [0.9], "b": [0.8]}
        assert "1 of 2 trainings are not in the run store" in basis
    assert gather_evidence(KEPT, ACCURACY, None)[2] == ""


def test_scores_and_predictions_of_the_other_weights_are_gathered_on_request() -> None:
    both = run([0.5, 0.6]), run([0.7, 0.8])
    scores, answers, basis = gather_evidence(KEPT, ACCURACY, store(*both), "average")
    assert scores == {"a": [0.75], "b": [0.75]}
    assert "averaged weights" in basis
    assert answers is not None
    assert list(answers.right[0, 0][[1, 4, 6]]) == [0, 0, 1]
    lacking = store(both[0], replace(both[1], other=None))
    scores, _, basis = gather_evidence(KEPT, ACCURACY, lacking, "average")
    assert scores == {"a": [0.6], "b": [0.8]}
    assert "1 of 2 trainings lack a score of the other weights" in basis


def test_an_older_run_has_no_score_of_a_newer_metric() -> None:
    older = run([0.5, 0.6])
    assert SCORES["brier"].of_run(older) is None
    assert SCORES["stress_brier"].of_run(older) is None


@pytest.mark.parametrize("score", ["accuracy", "stress_accuracy"])
def test_the_interval_of_equal_repeats_follows_from_their_images(score: str) -> None:
    info = replace(record().data, n_train=32, n_validation=8, has_own_validation=False)
    one = replace(record(), data=info, metric=score)
    # Folds 1 and 6 are different fifths of the images; they are counted once.
    found = mean_score([repeat(fold, 1.0) for fold in (0, 1, 6)], one)
    assert found
    assert (found.low, found.high) == pytest.approx(wilson(1.0, 16))
