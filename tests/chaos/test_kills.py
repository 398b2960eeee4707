"""A short form of `make chaos`: commands are killed at writes and at random."""

import os
from pathlib import Path

import pytest

from benchmarks.kills import disturb, killed_everywhere
from tests.chaos.studies import GRID, SEARCH, Case

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.mark.parametrize(("kind", "step"), [("search", 131), ("grid", 83)])
def test_a_study_killed_at_any_write_resumes_to_the_same_result(
    xrays: Path, tmp_path: Path, kind: str, step: int
) -> None:
    differences = list(killed_everywhere(kind, xrays, tmp_path / "studies", step=step))
    assert len(differences) >= 2
    assert [found for found in differences if found] == []


@pytest.mark.parametrize("command", [SEARCH, GRID])
def test_a_study_killed_at_random_resumes_to_the_same_result(
    xrays: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    whole = Case(tmp_path / "whole", xrays, command)
    whole.finish()
    case = Case(tmp_path / "killed", xrays, command)
    found = disturb(case, whole.described(), n_kills=2, seed=1)
    assert (found.n_lost, found.n_double, found.differences) == (0, 0, ())
