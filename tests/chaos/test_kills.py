"""A short form of `make chaos`: killed at writes and at random, alone and in company."""

import os
from pathlib import Path

import pytest

from tests.chaos.kills import disturb
from tests.chaos.points import killed_everywhere
from tests.chaos.studies import GRID, SEARCH, Case

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.mark.parametrize(("kind", "step"), [("search", 67), ("grid", 41)])
def test_killed_at_a_write_a_study_becomes_the_undisturbed_one(
    xrays: Path, tmp_path: Path, kind: str, step: int
) -> None:
    differences = list(killed_everywhere(kind, xrays, tmp_path / "studies", step=step))
    assert len(differences) >= 4
    assert [found for found in differences if found] == []


@pytest.mark.parametrize(("command", "n_workers"), [(SEARCH, 2), (GRID, 1), (GRID, 3)])
def test_killed_at_random_a_study_becomes_the_undisturbed_one(
    xrays: Path, tmp_path: Path, command: tuple[str, ...], n_workers: int
) -> None:
    whole = Case(tmp_path / "whole", xrays, command, 1)
    whole.finish()
    case = Case(tmp_path / "killed", xrays, command, n_workers)
    found = disturb(case, whole.described(), n_kills=3, seed=n_workers)
    assert (found.n_lost, found.n_double, found.differences) == (0, 0, ())
