"""Hyperparameter sweeps and searches for a small chest X-ray classifier.

    from hpo import grid
    study = grid("batch_size", data="chest_xray", repeats=3)

Importing `hpo` is light: libraries are loaded with the first name that needs them.
"""

import importlib
from typing import Any

_HOMES = {
    "HpoError": "hpo.errors",
    "Settings": "hpo.run.plan",
    "Study": "hpo.api",
    "StudySummary": "hpo.study.summary",
    "TrainingConfig": "hpo.config",
    "grid": "hpo.api",
    "open_study": "hpo.api",
    "search": "hpo.api",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
