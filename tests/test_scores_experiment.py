"""The experiment on scores judges rules as its plan says."""

import numpy as np

from hpo.study.score import SCORES
from studies.scores.document import choose, document
from studies.scores.rules import Estimate, Judged
from studies.scores.targets import TARGETS, Answers, measure


def judged(rule: str, accuracy: float, auroc: float) -> Judged:
    values = {"accuracy": accuracy, "balanced_accuracy": accuracy, "auroc": auroc}
    return Judged(
        rule=rule,
        correlation={target: Estimate(0.5, 0.1, 0.9) for target in TARGETS},
        regret={t: Estimate(value, value / 2, 2 * value) for t, value in values.items()},
    )


PLAIN = judged("accuracy", 0.07, 0.02)
STRESS = judged("stress_accuracy", 0.02, 0.03)
DEAR = judged("stress_auroc", 0.01, 0.05)


def test_the_rule_with_least_regret_is_chosen_unless_auroc_pays_for_it() -> None:
    assert choose([PLAIN, STRESS, DEAR]) == "stress_accuracy"
    assert choose([PLAIN, DEAR]) == "accuracy"


def test_the_page_sums_up_every_table_and_says_what_is_missing() -> None:
    tables = {"here": [PLAIN, STRESS, DEAR], "there": [STRESS, judged("accuracy", 0.01, 0.02)]}
    notes = dict.fromkeys(tables, "A note.")
    page = document(tables, notes, ["phantom"])
    assert (
        "| here | accuracy under stress: 2.0 (1.0, 4.0) | 2.0 (1.0, 4.0) | 7.0 (3.5, 14.0) |"
        in page
    )
    assert "| there | accuracy: 1.0 (0.5, 2.0) |" in page
    assert "in 1 of 2 tables" in page
    assert "not told: phantom" in page
    assert all(SCORES[one.rule].title in page for one in tables["here"])


def test_targets_are_those_of_each_configuration_and_follow_the_weights() -> None:
    answers = Answers(
        is_right=np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0]]),
        ranks=np.array([[[1.0, 0.5], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]]),
        is_ill=np.array([True, True, False, False]),
        patients=np.array([0, 1, 2, 2]),
    )
    plain = measure(answers)
    np.testing.assert_allclose(plain["accuracy"], [0.5, 0.75])
    np.testing.assert_allclose(plain["balanced_accuracy"], [0.5, 0.75])
    np.testing.assert_allclose(plain["auroc"], [0.875, 0.25])
    weighted = measure(answers, weights=np.array([1.0, 0.0, 1.0, 0.0]))
    np.testing.assert_allclose(weighted["accuracy"], [0.5, 1.0])
    np.testing.assert_allclose(weighted["auroc"], [1.0, 0.0])


def test_patients_are_drawn_whole_and_within_their_class() -> None:
    answers = Answers(
        is_right=np.ones((1, 5)),
        ranks=np.ones((1, 2, 3)),
        is_ill=np.array([True, True, False, False, False]),
        patients=np.array([0, 1, 2, 2, 3]),
    )
    for seed in range(20):
        weights = answers.resample(np.random.default_rng(seed))
        assert weights[2] == weights[3]
        assert weights[:2].sum() == 2
        assert weights[2] + weights[4] == 2
