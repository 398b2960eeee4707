"""Where files lie: everything stands beside the database of the studies."""

import os
from pathlib import Path

from hpo.storage_url import sqlite_path


def runs_folder(storage_url: str) -> Path:
    """Return the folder of the run store: `HPO_RUNS`, or `runs` beside the storage."""
    named = os.environ.get("HPO_RUNS")
    return Path(named) if named else _beside(storage_url) / "runs"


def study_folder(storage_url: str, name: str) -> Path:
    """Return the folder of a study: its page, weights and exports."""
    return _beside(storage_url) / name


def artifacts_folder(storage_url: str) -> Path:
    """Return the folder of what optuna-dashboard shows beside the trials."""
    return _beside(storage_url) / "artifacts"


def _beside(storage_url: str) -> Path:
    path = sqlite_path(storage_url)
    return Path("studies") if path is None else path.parent
