"""Hyperparameter sweeps and searches for a small chest X-ray classifier.

    from hpo import Settings, grid
    summary = grid(["batch_size"], Settings(data="chest_xray", repeats=3))

Importing `hpo` is light: the libraries come along with the first name that needs them.
"""

import importlib
from typing import Any

__all__ = [
    "SearchSettings",
    "Settings",
    "StudySummary",
    "TrainingConfig",
    "grid",
    "open_study",
    "search",
]

_HOMES = {
    "SearchSettings": "hpo.plan",
    "Settings": "hpo.plan",
    "StudySummary": "hpo.summary",
    "TrainingConfig": "hpo.config",
    "grid": "hpo.api",
    "open_study": "hpo.api",
    "search": "hpo.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}")
    home = _HOMES[name]
    module = importlib.import_module(home)
    # All names of a home at once: the package `hpo.search`, which comes along with `hpo.api`,
    # would otherwise stand where the function `search` belongs.
    globals().update({each: getattr(module, each) for each in _HOMES if _HOMES[each] == home})
    return getattr(module, name)
