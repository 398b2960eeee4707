"""The experiment on scores judges rules as its plan says."""

import shutil
from pathlib import Path

import numpy as np

from studies.scores.__main__ import SCORES, main
from studies.scores.document import choose
from studies.scores.rules import TARGETS, Answers, Judged


def judged(rule: str, accuracy: float, auroc: float) -> Judged:
    values = {"accuracy": accuracy, "balanced_accuracy": accuracy, "auroc": auroc}
    return Judged(
        rule=rule,
        correlation=dict.fromkeys(TARGETS, (0.5, 0.1, 0.9)),
        regret={target: (value, value / 2, 2 * value) for target, value in values.items()},
    )


def test_the_rule_with_least_regret_is_chosen_unless_auroc_pays_for_it() -> None:
    plain = judged("accuracy", 0.07, 0.02)
    stress, dear = judged("stress_accuracy", 0.02, 0.03), judged("stress_auroc", 0.01, 0.05)
    assert choose([plain, stress, dear]) == "stress_accuracy"
    assert choose([plain, dear]) == "accuracy"


def test_the_page_is_written_from_its_figures_alone(tmp_path: Path) -> None:
    shutil.copy(SCORES.with_suffix(".json"), tmp_path / "here.json")
    assert main(["--out", str(tmp_path / "here.md")]) == 0
    assert (tmp_path / "here.md").read_bytes() == SCORES.read_bytes()
    assert main(["--out", str(tmp_path / "there.md")]) == 2


def test_targets_are_those_of_each_configuration_and_follow_the_weights() -> None:
    answers = Answers(
        is_right=np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0]]),
        ranks=np.array([[[1.0, 0.5], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]]),
        is_ill=np.array([True, True, False, False]),
        patients=np.array([0, 1, 2, 2]),
    )
    plain, weighted = answers.targets(), answers.targets(np.array([1.0, 0.0, 1.0, 0.0]))
    np.testing.assert_allclose(plain["accuracy"], [0.5, 0.75])
    np.testing.assert_allclose(plain["balanced_accuracy"], [0.5, 0.75])
    np.testing.assert_allclose(plain["auroc"], [0.875, 0.25])
    np.testing.assert_allclose(weighted["accuracy"], [0.5, 1.0])
    np.testing.assert_allclose(weighted["auroc"], [1.0, 0.0])
    # Patients are drawn whole and within their class.
    for seed in range(20):
        weights = answers.resample(np.random.default_rng(seed))
        assert weights[2] == weights[3]
        assert weights[:2].sum() == 2
