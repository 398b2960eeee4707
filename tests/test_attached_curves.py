"""The curves that a trial has in the dashboard, and trials that are cut off before they end."""

from pathlib import Path

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta

from hpo.run import artifacts
from hpo.search import grid
from tests.conftest import SMALL, Hpo

GRID = (
    *("grid", "--param", "batch_size", "--values", "8,16", "--repeats", "1", *SMALL),
    *("--study", "mine", "--quiet"),
)
ARTIFACTS = Path("studies/artifacts")


def load() -> optuna.Study:
    return optuna.load_study(study_name="mine", storage="sqlite:///studies/hpo.db")


def attached() -> list[list[str]]:
    """Return the artifacts of every trial; each has three lines, and there are no other files."""
    study = load()
    by_trial = [get_all_artifact_meta(t, storage=study._storage) for t in study.get_trials()]
    names = [artifact.artifact_id for found in by_trial for artifact in found]
    assert sorted(path.name for path in ARTIFACTS.iterdir()) == sorted(names)
    assert all(len((ARTIFACTS / name).read_text().splitlines()) == 3 for name in names)
    return [sorted(artifact.filename for artifact in found) for found in by_trial]


@pytest.mark.parametrize(
    ("owner", "name", "is_done"),
    [(optuna.Study, "tell", False), (artifacts, "curves_to_csv", False), (grid, "start", True)],
)
def test_a_trial_that_was_cut_off_waits_again_and_has_its_curves_once(
    hpo: Hpo,
    xrays: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    is_done: bool,
) -> None:
    """The first call of a function is interrupted, before or after it does its work."""
    function, calls = getattr(owner, name), []

    def call(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        found = function(*arguments, **options) if is_done or len(calls) > 1 else None
        if len(calls) == 1:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(owner, name, call)
    assert hpo(*GRID, "--data", xrays).code == 130
    study = load()
    assert [trial.state.name for trial in study.trials] == ["WAITING"]
    # What the user attaches stays.
    (tmp_path / "notes.txt").write_text("one\ntwo\nthree\n")
    ARTIFACTS.mkdir(exist_ok=True)
    optuna.artifacts.upload_artifact(
        artifact_store=optuna.artifacts.FileSystemArtifactStore(ARTIFACTS),
        file_path=str(tmp_path / "notes.txt"),
        study_or_trial=study.trials[0],
        storage=study._storage,
    )
    assert hpo(*GRID, "--data", xrays).code == 0
    assert attached() == [["curves.csv", "notes.txt"], ["curves.csv"]]
