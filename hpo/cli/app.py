"""The command-line application, and the one place that turns errors into messages."""

import errno
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from hpo.cli import data, models, studies, train
from hpo.cli.commands import Command, Group
from hpo.cli.output import print_json, say
from hpo.cli.process import Output, ends_in_order, is_interrupted, outputs
from hpo.errors import (
    NO_MEMORY,
    HpoError,
    Interrupted,
    OutOfMemoryError,
    OutputError,
    UsageError,
    lacks_memory,
)

# Names of these commands in other programs.
_OTHER_NAMES: Final = {
    "train": "grid", "run": "grid", "tune": "search", "optimize": "search",
    "list": "show", "ls": "show", "test": "evaluate", "continue": "resume", "rm": "delete",
    "help": "--help",
}  # fmt: skip
_LONGEST_SHOWN: Final = 200


class _Commands(Group):
    """The commands; for the names that other programs use, an error suggests the right one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names."""
        if meant := _OTHER_NAMES.get(args[0]):
            ctx.fail(f"No such command '{args[0]}'. Did you mean {meant}?")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="hpo",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PANELS: Final[dict[str, tuple[Callable[..., None], ...]]] = {
    "Train": (train.grid, train.search, train.resume, studies.enqueue, train.demo),
    "Look at studies": (studies.show, studies.compare, studies.report, studies.dashboard),
    "Use the results": (models.evaluate, models.predict, models.reproduce),
    "Keep and clean up": (studies.export, studies.delete),
}
for _panel, _commands in _PANELS.items():
    for _each in _commands:
        app.command(cls=Command, rich_help_panel=_panel)(_each)
app.command("sweep", cls=Command, hidden=True)(train.grid)
app.add_typer(data.app, name="data", rich_help_panel="Keep and clean up")


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        typer.echo(version("hpo-toolkit"))
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
]


@app.callback()
def _root(version: _Version = False) -> None:
    """Sweep and search the hyperparameters of a small chest X-ray classifier.

    Start here:

        hpo grid batch_size --data chest_xray        Does batch size matter?

        hpo search --trials 50 --data chest_xray     Find a good model.

        hpo show                                     List the studies.
    """


def run() -> NoReturn:
    """Run the command line; a user's mistake ends in one message and an exit code.

    If the output cannot be written, the work still finishes, and the exit code is 1. A closed
    pipe needs no message, because its reader has stopped reading.
    """
    with outputs() as out:
        try:
            _check_encoding()
            with ends_in_order():
                code = _call()
            if code == Interrupted.exit_code:
                raise KeyboardInterrupt
        except (Exception, KeyboardInterrupt) as error:
            translated = _translate(error)
            if translated is None:
                raise
            _print_error(translated, out)
            code = translated.exit_code
        out.flush()
        if out.failure and code == 0:
            code = OutputError.exit_code
            if out.failure.errno != errno.EPIPE:
                message = (
                    f"Cannot write the output: {out.failure.strerror}. Finished work is "
                    "saved. Run the same command again where there is room for its output."
                )
                _print_error(OutputError(message), out)
    sys.exit(code)


def _check_encoding() -> None:
    """Refuse arguments and settings that are not UTF-8: no page or database can store them."""
    settings = (f"{name}={value}" for name, value in os.environ.items() if name[:4] == "HPO_")
    for text in (*sys.argv[1:], *settings):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{text[:_LONGEST_SHOWN]!a} is not valid UTF-8. Rename the file, or set a "
                "UTF-8 locale (LC_ALL=C.UTF-8)."
            ) from None


def _call() -> int:
    """Call the command that the arguments name, and return its exit code."""
    try:
        return app(standalone_mode=False) or 0
    except typer.Abort:
        raise HpoError("Canceled. Nothing was changed.") from None
    except typer.TyperException as error:
        if isinstance(error.__cause__, ValueError):  # Replace the message of pydantic.
            from hpo.config import faults  # The help does not need pydantic.

            error.message = " ".join(faults(error.__cause__))
        message = error.format_message()
        if not message:  # Without arguments the help was printed.
            return error.exit_code
        paths = [word for word in sys.argv[1:] if f"({word})" in message and Path(word).exists()]
        end = "" if message.endswith(("?", ".")) else "."
        end += f" For data, write --data {paths[0]}." if paths else ""
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hpo"
        raise UsageError(f"{message}{end} `{command} --help` shows the usage.") from error
    except SystemExit as end:
        return int(end.code or 0)


def _translate(error: BaseException) -> HpoError | None:
    """Return the error with a message for the user; None for a bug in hpo."""
    # A library may have replaced the interrupt by another error.
    is_disguised = is_interrupted() and not isinstance(error, Interrupted)
    if is_disguised or isinstance(error, KeyboardInterrupt):
        return Interrupted("Stopped. Finished trainings are saved: the same command continues.")
    if isinstance(error, HpoError):
        return error
    if lacks_memory(error):
        return OutOfMemoryError(NO_MEMORY)
    if isinstance(error, OSError):
        place = error.filename or f"A temporary file in {tempfile.gettempdir()}"
        return OutputError(
            f"Cannot read or write {place}: {error.strerror or error}. Finished work is "
            "saved. Make room or fix the problem, then run the same command again."
        )
    return None


def _print_error(error: HpoError, out: Output) -> None:
    try:
        if "--json" in sys.argv:
            print_json({"error": {"kind": error.kind, "message": str(error)}})
            out.flush()
        if "--json" not in sys.argv or out.failure:
            # An interrupt by the user is not an error.
            is_wanted = isinstance(error, Interrupted)
            say(f"{'' if is_wanted else 'Error: '}{error}", style="" if is_wanted else "red")
    except MemoryError:  # There is not even enough for colors.
        sys.stderr.write(f"Error: {error}\n")
