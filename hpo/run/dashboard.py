"""What optuna-dashboard shows of a study beyond its own plots."""

import contextlib
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import optuna
import sqlalchemy
from optuna.artifacts import ArtifactMeta, FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import FrozenTrial

from hpo.errors import UsageError
from hpo.files import MAKE_ROOM, write_whole, writing
from hpo.run import curve_files as curves
from hpo.run.dashboard_guard import Server
from hpo.storage.opening import Storage
from hpo.storage.runs import Run

_CURVES: Final = "curves.csv"
# Where `optuna.artifacts` reads what is attached: a system attribute for each file.
_KEY: Final = "artifacts:"
_NAME: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def attach_curves(trial: optuna.Trial, run: Run, *, folder: Path) -> None:
    """Attach the curves of a run to its trial, before it is told: the dashboard shows a table.

    A trial that was cut off before it was told may name them already. They are on record before
    they are written: whoever takes the trial over writes them under the same name.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    attached = _attached(trial, trial.storage)
    names = [artifact.artifact_id for artifact in attached if artifact.filename == _CURVES]
    name = names[0] if names else str(uuid.uuid4())
    if not names:
        artifact = ArtifactMeta(
            artifact_id=name, filename=_CURVES, mimetype="text/csv", encoding=None
        )
        trial.storage.set_trial_system_attr(
            trial._trial_id, _KEY + name, json.dumps(asdict(artifact))
        )
    write_whole(folder / name, curves.to_csv(run).encode(), way_out=MAKE_ROOM)


def attached_to(study: optuna.Study, storage: Storage) -> set[str]:
    """Return the curves of a study's trials, also of those that cannot be read."""
    attached = storage.optuna.trial_attributes(study._study_id, _KEY)
    return {
        name
        for key, value in attached.items()
        if _NAME.fullmatch(name := key.removeprefix(_KEY)) and _is_curves(value)
    }


def _is_curves(value: str) -> bool:
    """Whether an artifact is one of ours, as far as its record can be read."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return bool(json.loads(json.loads(value))["filename"] == _CURVES)
    return True


def all_attached(storage: Storage) -> set[str]:
    """Return every artifact that a study or a trial of the database has."""
    tables = ("trial_system_attributes", "study_system_attributes")
    queries = (f"SELECT key FROM {table} WHERE key LIKE '{_KEY}%'" for table in tables)
    with storage.optuna.engine.connect() as connection:
        keys = connection.scalars(sqlalchemy.text(" UNION ".join(queries)))
        return {key.removeprefix(_KEY) for key in keys}


def remove_attached(artifacts: Iterable[str], *, folder: Path) -> None:
    """Remove artifacts of a study that is deleted, unless the folder is a link to another.

    Raises:
        OutputError: a file cannot be removed.
    """
    way_out = "The study is deleted from the database; nothing reads its curves that stay here."
    with writing(folder, way_out=way_out):
        for artifact in () if folder.is_symlink() else artifacts:
            (folder / artifact).unlink(missing_ok=True)


def _attached(
    trial: optuna.Trial | FrozenTrial, storage: optuna.storages.BaseStorage
) -> list[ArtifactMeta]:
    """Return the artifacts of a trial, none where one is damaged or would lead out of a folder."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = get_all_artifact_meta(trial, storage=storage)
        if all(_NAME.fullmatch(artifact.artifact_id) for artifact in found):
            return found
    return []


def open_server(storage: Storage, *, folder: Path, host: str, port: int, token: str) -> Server:
    """Listen for optuna-dashboard on a storage; only who has the token changes studies.

    Raises:
        OutputError: the folder cannot be made.
        UsageError: the address or port cannot be listened on.
    """
    from optuna_dashboard import wsgi

    with writing(folder, way_out=MAKE_ROOM):
        folder.mkdir(parents=True, exist_ok=True)
    app = wsgi(storage.optuna, artifact_store=FileSystemArtifactStore(folder))
    try:
        return Server(app, host=host, port=port, token=token)
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}. Name another port "
            "with --port, or another address of this machine with --host."
        ) from error
