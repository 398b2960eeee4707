"""The curves that a trial has in the dashboard: one table each, whatever ended the training."""

from pathlib import Path

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta

from hpo.run import artifacts
from tests.conftest import SMALL, Hpo

GRID = ("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", *SMALL)
ARTIFACTS = Path("studies/artifacts")


def attached() -> list[list[str]]:
    """Return the artifacts of every trial; each has three lines, and there are no other files."""
    study = optuna.load_study(study_name="mine", storage="sqlite:///studies/hpo.db")
    by_trial = [get_all_artifact_meta(t, storage=study._storage) for t in study.get_trials()]
    names = [artifact.artifact_id for found in by_trial for artifact in found]
    assert sorted(path.name for path in ARTIFACTS.iterdir()) == sorted(names)
    assert all(len((ARTIFACTS / name).read_text().splitlines()) == 3 for name in names)
    return [[artifact.filename for artifact in found] for found in by_trial]


def cut_off_once(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """Let the first call of a function be cut off before it does anything."""
    function, calls = getattr(owner, name), []

    def call(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(("owner", "name"), [(optuna.Study, "tell"), (artifacts, "curves_to_csv")])
def test_a_trial_that_was_cut_off_before_it_was_told_has_its_curves_once(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    cut_off_once(monkeypatch, owner, name)
    grid = (*GRID, "--data", xrays, "--study", "mine", "--quiet")
    assert hpo(*grid).code == 130
    assert hpo(*grid).code == 0
    assert attached() == [["curves.csv"], ["curves.csv"]]


def test_what_the_user_attached_to_a_trial_stays(
    hpo: Hpo, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off_once(monkeypatch, optuna.Study, "tell")
    grid = (*GRID, "--data", xrays, "--study", "mine", "--quiet")
    assert hpo(*grid).code == 130
    study = optuna.load_study(study_name="mine", storage="sqlite:///studies/hpo.db")
    (tmp_path / "notes.txt").write_text("one\ntwo\nthree\n")
    optuna.artifacts.upload_artifact(
        artifact_store=optuna.artifacts.FileSystemArtifactStore(ARTIFACTS),
        file_path=str(tmp_path / "notes.txt"),
        study_or_trial=study.trials[0],
        storage=study._storage,
    )
    assert hpo(*grid).code == 0
    assert sorted(map(sorted, attached())) == [["curves.csv"], ["curves.csv", "notes.txt"]]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_study_is_deleted_whatever_became_of_its_curves(
    hpo: Hpo, xrays: Path, is_gone: bool
) -> None:
    assert hpo(*GRID, "--data", xrays, "--study", "mine", "--quiet").code == 0
    for path in ARTIFACTS.iterdir():
        path.unlink()
        if not is_gone:
            path.mkdir()
    if is_gone:
        ARTIFACTS.rmdir()
    answer = hpo("delete", "mine", "--yes")
    assert answer.code == (0 if is_gone else 1)
    assert ("studies/artifacts cannot be written" in answer.err) == (not is_gone)
    assert ("deleted from the database" in answer.err) == (not is_gone)
    assert not Path("studies/mine").exists()
    assert hpo("show", "mine").code == 1
