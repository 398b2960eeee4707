"""The command as it was typed, for the record of a study."""

import shlex
import sys


def command_line() -> str:
    """Return the command line that this process was started with."""
    return shlex.join(["hpo", *sys.argv[1:]])
