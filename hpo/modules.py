"""The module path, without the working folder, whose files may not be trusted."""

# pathlib imports modules that the working folder may shadow.
# ruff: noqa: PTH100, PTH109, PTH117, PTH120

import os
import sys
from typing import Final

_OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder that contains hpo. Users who run hpo from a checkout trust that folder."""


def module_path() -> list[str]:
    """Return `sys.path` without the working folder, which `python -m` puts first."""
    try:
        working_folder = os.getcwd()
    except OSError:  # The folder was deleted.
        working_folder = ""
    needed = (_OWN, os.path.dirname(os.__file__))
    return [p for p in sys.path if p in needed or (os.path.isabs(p) and p != working_folder)]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command for a process that calls `main` of a module, with the same module path.

    Start it with an empty PYTHONPATH, which Python uses before the path is set.
    """
    start = f"import sys; sys.path[:] = {module_path()!a}; from {module} import main; main()"
    return [sys.executable, "-P", "-c", start, *arguments]
