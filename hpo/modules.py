"""Where modules are imported from: never the working folder, whose files may be a stranger's."""

# pathlib imports modules of which that folder may have its own.
# ruff: noqa: PTH100, PTH109, PTH117, PTH120

import os
import sys
from typing import Final

_OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder that holds hpo. Whoever runs it from a checkout trusts that folder."""


def module_path() -> list[str]:
    """Return `sys.path` without the working folder, which `python -m` puts first."""
    try:
        here = os.getcwd()
    except OSError:  # It was deleted.
        here = ""
    kept = (_OWN, os.path.dirname(os.__file__))
    return [p for p in sys.path if p in kept or (os.path.isabs(p) and p != here)]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command of a process that calls `main` of a module, with the same module path.

    Start it with an empty PYTHONPATH: Python looks there before the path is set.
    """
    start = f"import sys; sys.path[:] = {module_path()!a}; from {module} import main; main()"
    return [sys.executable, "-P", "-c", start, *arguments]
