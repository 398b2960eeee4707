"""Moved data: a study continues with them at their new path, and records it."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from hpo.run.plan import Settings, plan_grid
from hpo.storage.runs import RunStore
from tests.conftest import SMALL, Hpo, make_images
from tests.processes import assert_error

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--study", "mine", *SMALL)
ONE, TWO = ("--repeats", "1"), ("--repeats", "2")

ASKED = (("resume", "mine"), ("evaluate", "mine"), ("export", "mine"), ("reproduce", "mine", "1"))


@pytest.fixture
def moved(hpo: Hpo, xrays: Path, tmp_path: Path) -> Path:
    """The new path of the data of a finished grid called mine, whose weights are not kept."""
    assert hpo(*GRID, *ONE, "--data", xrays).code == 0
    shutil.rmtree("studies/mine/weights")
    return xrays.rename(tmp_path / "new place")


def recorded() -> dict[str, Any]:
    """Return the record of the study."""
    study = optuna.load_study(study_name="mine", storage="sqlite:///studies/hpo.db")
    found: dict[str, Any] = study.user_attrs["hpo"]
    return found


def test_the_same_command_with_the_new_path_continues_the_study(hpo: Hpo, moved: Path) -> None:
    answer = hpo(*GRID, *TWO, "--data", moved, "--test", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["n_trained"] == 2
    assert answer.json["n_openings"] == 1
    assert recorded()["data"]["path"] == str(moved)
    assert recorded()["data"]["name"] == answer.json["data"]["name"] == moved.name
    assert moved.name in hpo("show").out
    assert str(moved) in Path("studies/mine/report.html").read_text()
    assert hpo("resume", "mine").code == 0
    assert hpo(*shlex.split(recorded()["command"])[1:]).code == 0


def test_every_command_that_reads_the_data_accepts_a_new_path(hpo: Hpo, moved: Path) -> None:
    for n, command in enumerate(ASKED):
        moved = moved.rename(moved.with_name(f"offered place {n}"))
        lost = assert_error(hpo(*command))
        assert "There is no" in lost
        assert "HPO_DATA" not in lost
        offer = shlex.split(lost.rpartition("trains nothing: hpo ")[2])
        assert hpo(*[str(moved) if word == "PATH" else word for word in offer]).code == 0
        assert hpo(*command).code == 0

        before, n_openings = recorded(), hpo("show", "mine", "--json").json["n_openings"]
        moved = moved.rename(moved.with_name(f"other place {n}"))
        images = np.load(moved / "test_normal.npy")
        np.save(moved / "test_normal.npy", make_images(8, is_ill=False, seed=77))
        assert "have changed" in assert_error(hpo(*command, "--data", moved))
        if n == 0:
            assert hpo(*GRID, *TWO, "--data", moved, "--dry-run").code == 1
        np.save(moved / "test_normal.npy", images)
        if n == 0:
            assert hpo(*GRID, *TWO, "--data", moved, "--dry-run").code == 0
        assert recorded() == before
        assert hpo("show", "mine", "--json").json["n_openings"] == n_openings
        answer = hpo(*command, "--data", moved)
        assert answer.code == 0, answer.err
        assert recorded()["data"]["path"] == str(moved)
        assert hpo(*command).code == 0


def test_the_recorded_path_is_absolute(
    xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for typed in (xrays.name, f"~/{xrays.name}", f"./{xrays.name}/"):
        assert plan_grid(["loss"], Settings(data=typed)).record.data.path == str(xrays)


def test_data_that_change_during_a_sweep_stop_it_and_no_wrong_run_is_kept(
    hpo: Hpo, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    sweep = ("grid", "--param", "image_size", "--values", "16,24", "--repeats", "1")
    command = (*sweep, "--set", "hidden=8", "--epochs", "2", "--study", "mine", "--data", xrays)
    images = np.load(xrays / "normal.npy")
    save = RunStore.save

    def save_and_change(*arguments: Any) -> None:
        save(*arguments)
        np.save(xrays / "normal.npy", images[::-1] // 2)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "save", save_and_change)
        stopped = assert_error(hpo(*command))
    assert "has changed since it was opened: normal.npy[0] is now another image" in stopped
    assert len(list(Path("studies/runs").iterdir())) == 1
    assert "have changed" in assert_error(hpo("resume", "mine"))

    np.save(xrays / "normal.npy", images)
    found = hpo(*command, "--json").json
    for name, folder in (("HPO_CACHE", "other cache"), ("HPO_RUNS", "other runs")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    clean = hpo(*command[:-3], "clean", *command[-2:], "--json").json
    assert (found["n_trained"], clean["n_trained"]) == (1, 2)
    scores = [[c["score"] for c in one["configurations"]] for one in (found, clean)]
    assert scores[0] == scores[1]
