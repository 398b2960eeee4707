"""Weights on disk: those of the best whole configuration, and of what is not whole yet."""

from pathlib import Path

import pytest

from hpo.run.kept_weights import KeptWeights
from hpo.study.record import Goal
from hpo.study.score import read_score
from tests.fake_studies import fake_search

GOAL = Goal(n_repeats=2, n_trials=9, n_finalists=2, n_final_repeats=2)


@pytest.fixture
def kept(tmp_path: Path) -> KeptWeights:
    return KeptWeights(tmp_path / "weights", Goal(n_repeats=2), read_score("accuracy"))


def files(kept: KeptWeights) -> set[str]:
    return {path.stem for path in kept.folder.iterdir()}


def train(kept: KeptWeights, **scores: float) -> None:
    """Finish repeats that are named by configuration and number, such as a0."""
    for run, score in scores.items():
        kept.write(run, b"w")
        kept.add(run[0], int(run[1:]), run, score, place=ord(run[0]))


def test_a_whole_configuration_that_loses_leaves(kept: KeptWeights) -> None:
    train(kept, a0=0.9, a1=0.9, b0=0.8, b1=0.8)
    assert files(kept) == {"a0", "a1"}


def test_the_best_so_far_stays_until_another_is_whole(kept: KeptWeights) -> None:
    train(kept, a0=0.8, a1=0.8, b0=0.99)
    assert files(kept) == {"a0", "a1", "b0"}
    train(kept, b1=0.9)
    assert files(kept) == {"b0", "b1"}


def test_a_lucky_repeat_does_not_win_for_its_configuration(kept: KeptWeights) -> None:
    train(kept, a0=0.8, a1=0.8, b0=0.99, b1=0.4)
    assert files(kept) == {"a0", "a1"}


def test_a_reused_run_counts_but_leaves_no_file(kept: KeptWeights) -> None:
    train(kept, a0=0.8, a1=0.8)
    kept.add("b", 0, "b0", 0.9, place=1)
    kept.add("b", 1, "b1", 0.9, place=1)
    assert files(kept) == set()


def test_where_lower_is_better_the_lowest_stays(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, Goal(n_repeats=1), read_score("log_loss"))
    train(kept, a0=0.8, b0=0.3, c0=0.5)
    assert files(kept) == {"b0"}


def test_finalists_go_before_a_better_score_of_the_search(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, GOAL, read_score("accuracy"))
    train(kept, a0=0.99, a1=0.99, b0=0.9, b1=0.9, c0=0.8, c1=0.8)
    assert files(kept) == {"a0", "a1"}
    train(kept, b2=0.85)
    assert files(kept) == {"a0", "a1", "b2"}
    train(kept, b3=0.85, a2=0.84, a3=0.84)
    assert files(kept) == {"b2", "b3"}
    train(kept, c2=0.95, c3=0.95)
    assert files(kept) == {"c2", "c3"}


def test_the_repeats_that_chose_the_winner_leave_when_the_fresh_ones_are_there(
    tmp_path: Path,
) -> None:
    kept = KeptWeights(tmp_path, GOAL, read_score("accuracy"))
    train(kept, a0=0.99, a1=0.99, a2=0.9, a3=0.9)
    assert files(kept) == {"a2", "a3"}


def test_of_equal_configurations_the_first_keeps_its_weights(kept: KeptWeights) -> None:
    train(kept, a0=0.9, b0=0.9, b1=0.9, a1=0.9)
    assert files(kept) == {"a0", "a1"}
    train(kept, a2=0.9)
    assert files(kept) == {"a0", "a1", "a2"}


def test_what_another_program_put_there_stays(kept: KeptWeights) -> None:
    kept.write("another", b"w")
    train(kept, a0=0.9, a1=0.9)
    assert files(kept) == {"another", "a0", "a1"}


def test_what_had_lost_before_is_cleared_away_too(tmp_path: Path) -> None:
    fake = fake_search(tmp_path / "runs", 10)
    lost = KeptWeights.of(fake.summary, tmp_path / "weights")
    runs = [r.run for c in fake.summary.configurations for r in c.repeats if r.run]
    for run in runs:
        lost.write(run, b"w")
    lost.add("new", 0, "new", 1.0, place=10)
    assert len(runs) > 3
    assert files(lost) == set()
