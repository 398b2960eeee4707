"""The command line. Its only try/except for users' errors is in `hpo.cli.app`."""

import sys

from hpo.modules import module_path

__all__ = ["main"]


def main() -> None:
    """Run the command line; the module path and signals are set before anything is imported."""
    sys.path[:] = module_path()
    from hpo.cli.process import end_at_once

    end_at_once()
    from hpo.cli.app import run

    run()
