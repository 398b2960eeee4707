"""Weights on disk: those of the best complete configuration, and of what is not complete yet."""

from pathlib import Path

import pytest

from hpo.run.kept_weights import KeptWeights
from hpo.study.record import Goal
from hpo.study.score import read_score
from tests.fake_studies import fake_search

TWO = Goal(n_repeats=2)
FINAL = Goal(n_repeats=2, n_trials=9, n_finalists=2, n_final_repeats=2)


def files(kept: KeptWeights) -> set[str]:
    return {path.stem for path in kept.folder.iterdir()}


def train(kept: KeptWeights, **scores: float) -> None:
    """Finish repeats that are named by configuration and number, such as a0."""
    for run, score in scores.items():
        kept.write(run, b"w")
        kept.add(run[0], int(run[1:]), run, score, place=ord(run[0]))


@pytest.mark.parametrize(
    ("goal", "metric", "steps"),
    [
        # A complete configuration that loses leaves.
        (TWO, "accuracy", [({"a0": 0.9, "a1": 0.9, "b0": 0.8, "b1": 0.8}, {"a0", "a1"})]),
        # The best so far stays until another is complete.
        (TWO, "accuracy", [({"a0": 0.8, "a1": 0.8, "b0": 0.99}, {"a0", "a1", "b0"}),
                           ({"b1": 0.9}, {"b0", "b1"})]),
        # One lucky repeat does not win for its configuration.
        (TWO, "accuracy", [({"a0": 0.8, "a1": 0.8, "b0": 0.99, "b1": 0.4}, {"a0", "a1"})]),
        # Of equal configurations the first keeps its weights.
        (TWO, "accuracy", [({"a0": 0.9, "b0": 0.9, "b1": 0.9, "a1": 0.9}, {"a0", "a1"}),
                           ({"a2": 0.9}, {"a0", "a1", "a2"})]),
        # Where lower is better the lowest stays.
        (Goal(n_repeats=1), "log_loss", [({"a0": 0.8, "b0": 0.3, "c0": 0.5}, {"b0"})]),
        # Finalists go before a better score of the search.
        (FINAL, "accuracy", [({"a0": 0.99, "a1": 0.99, "b0": 0.9, "b1": 0.9, "c0": 0.8, "c1": 0.8},
                              {"a0", "a1"}),
                             ({"b2": 0.85}, {"a0", "a1", "b2"}),
                             ({"b3": 0.85, "a2": 0.84, "a3": 0.84}, {"b2", "b3"}),
                             ({"c2": 0.95, "c3": 0.95}, {"c2", "c3"})]),
        # The repeats that chose the winner leave when the new ones are there.
        (FINAL, "accuracy", [({"a0": 0.99, "a1": 0.99, "a2": 0.9, "a3": 0.9}, {"a2", "a3"})]),
    ],
)  # fmt: skip
def test_the_weights_of_the_best_are_kept(
    tmp_path: Path, goal: Goal, metric: str, steps: list[tuple[dict[str, float], set[str]]]
) -> None:
    kept = KeptWeights(tmp_path, goal, read_score(metric))
    for scores, expected in steps:
        train(kept, **scores)
        assert files(kept) == expected


def test_a_reused_run_counts_but_leaves_no_file_and_other_files_stay(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, TWO, read_score("accuracy"))
    kept.write("another", b"w")
    train(kept, a0=0.8, a1=0.8)
    kept.add("b", 0, "b0", 0.9, place=1)
    kept.add("b", 1, "b1", 0.9, place=1)
    assert files(kept) == {"another"}


def test_what_had_lost_before_is_cleared_away_too(tmp_path: Path) -> None:
    fake = fake_search(tmp_path / "runs", 10)
    lost = KeptWeights.of(fake.summary, tmp_path / "weights")
    runs = [r.run for c in fake.summary.configurations for r in c.repeats if r.run]
    for run in runs:
        lost.write(run, b"w")
    lost.add("new", 0, "new", 1.0, place=10)
    assert len(runs) > 3
    assert files(lost) == set()
