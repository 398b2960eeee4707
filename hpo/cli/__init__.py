"""The command line. Its only try/except for users' errors is in `hpo.cli.app`."""

import gc
import sys

from hpo.modules import module_path

__all__ = ["main"]


def main() -> None:
    """Run the command line; the module path and signals are set before anything is imported."""
    sys.path[:] = module_path()
    if sys.argv[1:2] == ["show"]:
        gc.set_threshold(200_000)  # Of so short a command, looking for garbage takes a tenth.
    from hpo.cli.process import end_at_once

    end_at_once()
    from hpo.cli.app import run

    run()
