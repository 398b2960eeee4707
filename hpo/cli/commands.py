"""Common to all commands: help in panels, and shell completion."""

import contextlib
import sqlite3
from typing import Any, Final

from typer import Context
from typer.core import TyperCommand, TyperGroup

from hpo.storage.url import default_storage, sqlite_path

_PANELS: Final = {
    "What to vary": "param values set_ space model trials patience sampler "
    "start_from pruner window",
    "Data": "data positive negative patient_regex merge_val allow_shared_patients skip_broken on",
    "Budget": "repeats until_decided max_repeats epochs seed finalists final_repeats timeout "
    "with_baselines dry_run",
    "Verdict": "metric margin weights require test",
    "Hardware": "device precision lanes ray mixed_processors",
    "Output": "study storage json quiet no_images open_ help",
}
"""The panels of the training commands, each with its parameters in order."""


class Command(TyperCommand):
    """A command whose flags show no type, with its options in panels if it has many."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters as the help shows them."""
        parameters = _without_types(super().get_params(ctx))
        if any(p.name == "dry_run" for p in parameters):
            panels = {name: panel for panel, names in _PANELS.items() for name in names.split()}
            options = [p for p in parameters if p.param_type_name == "option"]
            for option in options:
                option.rich_help_panel = panels[option.name]
            options.sort(key=lambda option: list(panels).index(option.name))
            parameters = [p for p in parameters if p not in options] + options
        return parameters

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage line, `[OPTIONS] STUDY`."""
        arguments = [p.metavar for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *arguments]


class Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters as the help shows them."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


def complete_study(context: Context, incomplete: str) -> list[str]:
    """Return the studies whose names begin with a text; read without Optuna."""
    url = context.params.get("storage") or default_storage()
    path = sqlite_path(url)
    names = ["latest"]
    if path and path.is_file():
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(
                sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            ) as db,
        ):
            names += [name for (name,) in db.execute("SELECT study_name FROM studies")]
    return [name for name in names if name.startswith(incomplete)]


def complete_name(incomplete: str) -> list[str]:
    """Return the hyperparameters whose names begin with a text."""
    from hpo.space.records import names_of

    return [name for name in names_of(None) if name.startswith(incomplete)]


def complete_pair(incomplete: str) -> list[str]:
    """Return such hyperparameters followed by `=`."""
    return [f"{name}=" for name in complete_name(incomplete)]


def complete_space(incomplete: str) -> list[str]:
    """Return the built-in spaces whose names begin with a text."""
    from hpo.space import space_names

    return [name for name in space_names() if name.startswith(incomplete)]
