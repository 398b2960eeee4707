"""What optuna-dashboard shows of a study beyond its own plots."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound

from hpo import curves
from hpo.errors import UsageError
from hpo.files import MAKE_ROOM, writing
from hpo.runs import Run
from hpo.storage import Storage


def attach_curves(trial: optuna.Trial, run: Run, *, folder: Path) -> None:
    """Attach the curves of a run to its trial, before it is told: the dashboard shows a table.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    with writing(folder, way_out=MAKE_ROOM), _scratch(folder) as scratch:
        path = scratch / "curves.csv"
        path.write_text(curves.to_csv(run), encoding="utf-8")
        upload_artifact(
            artifact_store=FileSystemArtifactStore(folder),
            file_path=str(path),
            study_or_trial=trial,
            mimetype="text/csv",
        )


def attached_to(study: optuna.Study, storage: Storage) -> list[str]:
    """Return the artifacts of a study's trials; those of a damaged trial are left out."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            of_trial = get_all_artifact_meta(trial, storage=storage.optuna)
            found += [artifact.artifact_id for artifact in of_trial]
    return found


def remove_attached(artifacts: Iterable[str], *, folder: Path) -> None:
    """Remove artifacts of a study that is deleted; what is no artifact of this folder stays.

    Raises:
        OutputError: a file cannot be removed.
    """
    store = FileSystemArtifactStore(folder)
    with writing(folder, way_out="The study is deleted from the database."):
        for artifact in artifacts:
            with contextlib.suppress(ArtifactNotFound, ValueError):
                store.remove(artifact)


def serve(storage: Storage, *, folder: Path, host: str, port: int) -> None:
    """Serve optuna-dashboard on a storage until it is interrupted.

    Raises:
        OutputError: the folder cannot be made.
        UsageError: the address or port cannot be listened on.
    """
    from optuna_dashboard import run_server

    with writing(folder, way_out=MAKE_ROOM):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        run_server(
            storage.optuna, host=host, port=port, artifact_store=FileSystemArtifactStore(folder)
        )
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}. Name another port "
            "with --port, or another address of this machine with --host."
        ) from error


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder for a moment, on the disk of the other one: one message fits both."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        yield Path(scratch)
