"""Where files lie: everything stands beside the database of the studies."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hpo.files import at_home, writing
from hpo.storage_url import sqlite_path

_LONGEST_NAME: Final = 120


def runs_folder(storage_url: str) -> Path:
    """Return the folder of the run store: `HPO_RUNS`, or `runs` beside the storage."""
    named = os.environ.get("HPO_RUNS")
    return at_home(named) if named else _beside(storage_url) / "runs"


def study_folder(storage_url: str, name: str) -> Path:
    """Return the folder of a study: its page, weights and exports."""
    return _beside(storage_url) / name


def clear_study_folder(folder: Path) -> None:
    """Remove what hpo wrote into the folder of a study, and the folder where nothing else is left.

    A folder of that name may have been there before, with the user's own files: they stay.

    Raises:
        OutputError: a file cannot be removed.
    """
    way_out = "The study is deleted from the database: remove this folder yourself."
    with writing(folder, way_out=way_out):
        (folder / "report.html").unlink(missing_ok=True)
        for weights in (folder / "weights").glob("*.safetensors"):
            weights.unlink(missing_ok=True)
    export = folder / "export"
    if (export / "configurations.csv").exists():
        shutil.rmtree(export, ignore_errors=True)
    for emptied in (folder / "weights", folder):
        with contextlib.suppress(OSError):
            emptied.rmdir()


def comparison_page(storage_url: str, names: Sequence[str]) -> Path:
    """Return where the page of a comparison of studies is; many long names are shortened."""
    name = "-".join(names)
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return _beside(storage_url) / f"compare-{name}.html"


def artifacts_folder(storage_url: str) -> Path:
    """Return the folder of what optuna-dashboard shows beside the trials."""
    return _beside(storage_url) / "artifacts"


def _beside(storage_url: str) -> Path:
    path = sqlite_path(storage_url)
    return Path("studies") if path is None else path.parent
