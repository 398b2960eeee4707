"""Weights on disk: those of the best whole configuration, and of what is not whole yet."""

from pathlib import Path

import pytest

from hpo.kept_weights import KeptWeights


@pytest.fixture
def kept(tmp_path: Path) -> KeptWeights:
    return KeptWeights(tmp_path / "weights", n_repeats=2)


def files(kept: KeptWeights) -> set[str]:
    return {path.stem for path in kept.folder.iterdir()}


def test_a_whole_configuration_that_loses_leaves(kept: KeptWeights) -> None:
    for run, score in (("a0", 0.9), ("a1", 0.9), ("b0", 0.8), ("b1", 0.8)):
        kept.add(run[0], run, score, b"w")
    assert files(kept) == {"a0", "a1"}


def test_the_best_so_far_stays_until_another_is_whole(kept: KeptWeights) -> None:
    for run, score in (("a0", 0.8), ("a1", 0.8), ("b0", 0.99)):
        kept.add(run[0], run, score, b"w")
    assert files(kept) == {"a0", "a1", "b0"}
    kept.add("b", "b1", 0.9, b"w")
    assert files(kept) == {"b0", "b1"}


def test_a_lucky_repeat_does_not_win_for_its_configuration(kept: KeptWeights) -> None:
    for run, score in (("a0", 0.8), ("a1", 0.8), ("b0", 0.99), ("b1", 0.4)):
        kept.add(run[0], run, score, b"w")
    assert files(kept) == {"a0", "a1"}


def test_a_reused_run_counts_but_leaves_no_file(kept: KeptWeights) -> None:
    for run, score in (("a0", 0.8), ("a1", 0.8)):
        kept.add(run[0], run, score, b"w")
    kept.add("b", "b0", 0.9, None)
    kept.add("b", "b1", 0.9, None)
    assert files(kept) == set()
