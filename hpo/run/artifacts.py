"""Curves of a run as CSV, a row per epoch, and the artifacts that a study's trials have of them.

optuna-dashboard shows an artifact of a trial as a table.
"""

import csv
import io
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import optuna
from optuna.artifacts import ArtifactMeta

from hpo.files import MAKE_ROOM, write_atomic, writing
from hpo.storage.database import Database
from hpo.storage.runs import Run
from hpo.untrusted import csv_cell

_CURVES: Final = "curves.csv"
# Where `optuna.artifacts` reads what is attached: a system attribute for each file.
_KEY: Final = "artifacts:"
_NAME: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def curves_to_csv(run: Run) -> str:
    """Return the metrics of every epoch: epoch, learning rate, training, then validation.

    Means over the stress battery follow where it was read, with empty cells in other epochs.
    """
    first = run.epochs[0]
    stress = list(next((epoch.stress for epoch in run.epochs if epoch.stress), {}))
    header = ["epoch", "learning_rate"]
    header += [f"train_{name}" for name in first.train]
    header += [f"validation_{name}" for name in first.validation]
    header += [f"stress_{name}" for name in stress]
    rows = (
        [
            number,
            epoch.learning_rate,
            *epoch.train.values(),
            *epoch.validation.values(),
            *(epoch.stress.get(name) for name in stress),
        ]
        for number, epoch in enumerate(run.epochs, start=1)
    )
    return table_to_csv(header, rows)


def battery_to_csv(run: Run) -> str:
    """Return the metrics of the kept weights: a row for the unchanged images, one per change."""
    rows = [["unchanged", *run.kept.validation.values()]]
    rows += [[change, *metrics.values()] for change, metrics in run.stress.items()]
    return table_to_csv(["change", *run.kept.validation], rows)


def table_to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV; None is an empty cell, and no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([map(csv_cell, row) for row in (header, *rows)])
    return text.getvalue()


def attach_curves(trial: optuna.Trial, run: Run, *, name: str, folder: Path) -> None:
    """Attach the curves of a run to its trial; `name` is the run's.

    The file is named by the run: a trial that was cut off and trained again has it once. The
    record is written first, so that deleting the study finds every file.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    key = str(uuid.UUID(name))
    meta = ArtifactMeta(artifact_id=key, filename=_CURVES, mimetype="text/csv", encoding=None)
    trial.storage.set_trial_system_attr(trial._trial_id, _KEY + key, json.dumps(asdict(meta)))
    write_atomic(folder / key, curves_to_csv(run).encode(), hint=MAKE_ROOM)


def attached_to(study: optuna.Study, storage: Database) -> set[str]:
    """Return the curves that trials of a study have, and no trial of another study.

    Those of trials that cannot be read are among them.
    """
    rows = storage.rows(
        "SELECT key, value_json, study_id FROM trial_system_attributes JOIN trials "
        f"USING (trial_id) WHERE key LIKE '{_KEY}%'"
    )
    others = {key for key, _, study_id in rows if study_id != study._study_id}
    return {
        name
        for key, value, _ in rows
        if key not in others
        and _NAME.fullmatch(name := key.removeprefix(_KEY))
        and (_CURVES in str(value) or "filename" not in str(value))
    }


def remove_attached(artifacts: Iterable[str], *, folder: Path) -> None:
    """Remove artifacts of a study that is deleted, unless the folder is a link to another."""
    hint = "The study is deleted from the database; its curves here are no longer used."
    with writing(folder, hint=hint):
        for artifact in () if folder.is_symlink() else artifacts:
            (folder / artifact).unlink(missing_ok=True)
