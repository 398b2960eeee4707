"""The command as it was typed, for the record of a study."""

import shlex
import sys
from typing import Final

import typer

_PLACES: Final = ("data", "space", "storage")


def command_line(context: typer.Context | None = None) -> str:
    """Return the command line that this process was started with.

    With its context, it holds what it took from the environment too: elsewhere that is another.
    """
    words = ["hpo", *sys.argv[1:]]
    for parameter in context.command.params if context else ():
        name = parameter.name or ""
        if context and name in _PLACES and is_from(context, name, "ENVIRONMENT"):
            words += [parameter.opts[0], str(context.params[name])]
    return shlex.join(words)


def is_from(context: typer.Context, name: str, source: str) -> bool:
    """Whether the value of a parameter is from this source: COMMANDLINE or ENVIRONMENT."""
    found = context.get_parameter_source(name)
    return found is not None and found.name == source
