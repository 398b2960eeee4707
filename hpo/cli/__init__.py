"""The command line. Its only try/except for users' errors is in `main`."""

from hpo.cli.app import main

__all__ = ["main"]
