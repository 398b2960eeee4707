"""Weights kept on disk: those of the best configuration, and of incomplete ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo.run.session import keep_best_weights
from hpo.study.study import raise_goal
from tests.fake_studies import FakeStudy, add_finalists, fake_grid, fake_search


def kept(fake: FakeStudy, folder: Path) -> set[str]:
    """Return the runs whose weights are kept, from those of every training."""
    folder.mkdir(exist_ok=True)
    for c in fake.summary.configurations:
        for r in c.repeats:
            (folder / f"{r.run}.safetensors").write_bytes(b"w")
    (folder / "another.safetensors").write_bytes(b"w")
    keep_best_weights(fake.summary, folder)
    found = {path.stem for path in folder.iterdir()}
    assert "another" in found
    return found - {"another", "None"}


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_weights_of_the_best_configuration_are_kept(tmp_path: Path, metric: str) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=2, metric=metric)
    best = fake.summary.best
    assert kept(fake, tmp_path / "weights") == {r.run for r in best.repeats}


def test_weights_of_incomplete_configurations_are_kept(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path / "runs", ["batch_size"], n_repeats=2)
    raise_goal(fake.study, replace(fake.goal, n_repeats=3))
    every = {r.run for c in fake.summary.configurations for r in c.repeats}
    assert kept(fake, tmp_path / "weights") == every


def test_weights_of_finalists_are_kept_until_all_are_retrained(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path / "runs", 14), 0.90, 0.95, 0.88)
    winner = fake.summary.finalists.winner
    assert kept(fake, tmp_path / "weights") == {r.run for r in winner.judged}
    assert len(winner.judged) == 4
    # With another finalist that is not trained yet, none has lost.
    raise_goal(fake.study, replace(fake.summary.goal, n_finalists=4))
    members = [c for c in fake.summary.configurations if c.fresh]
    assert {r.run for c in members for r in c.repeats} <= kept(fake, tmp_path / "weights")
