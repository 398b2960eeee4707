"""The commands put together, and the one place that turns errors into messages."""

import errno
import os
import sys
import tempfile
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from hpo.cli import compare, data, evaluate, manage, predict, reproduce, show, train
from hpo.errors import HpoError, Interrupted, OutputError, UsageError

# What commands are called elsewhere.
_OTHER_NAMES: Final = {
    "sweep": "grid",
    "train": "grid",
    "run": "grid",
    "tune": "search",
    "optimize": "search",
    "list": "show",
    "ls": "show",
    "test": "evaluate",
    "continue": "resume",
    "rm": "delete",
}


class _Commands(TyperGroup):
    """The commands, which know what others call them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first argument names."""
        if meant := _OTHER_NAMES.get(args[0]):
            ctx.fail(f"No such command '{args[0]}'. Did you mean {meant}?")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="hpo",
    cls=_Commands,
    help="Sweep and search the hyperparameters of a small chest X-ray classifier.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_LONGEST_SHOWN: Final = 200

_TRAIN = "Train"
_LOOK = "Look at studies"
_USE = "Use what was trained"
_KEEP = "Keep and clean up"

# Arguments that are too many reach the commands, which say what they may be.
_ANY_ARGUMENTS = {"allow_extra_args": True}

app.command(rich_help_panel=_TRAIN, context_settings=_ANY_ARGUMENTS)(train.grid)
app.command(rich_help_panel=_TRAIN, context_settings=_ANY_ARGUMENTS)(train.search)
app.command(rich_help_panel=_TRAIN)(train.resume)
app.command(rich_help_panel=_TRAIN)(train.worker)
app.command(rich_help_panel=_LOOK)(show.show)
app.command(rich_help_panel=_LOOK)(compare.compare)
app.command(rich_help_panel=_LOOK)(show.report)
app.command(rich_help_panel=_LOOK)(show.dashboard)
app.command(rich_help_panel=_USE)(evaluate.evaluate)
app.command(rich_help_panel=_USE)(predict.predict)
app.command(rich_help_panel=_USE)(reproduce.reproduce)
app.command(rich_help_panel=_KEEP)(manage.export)
app.command(rich_help_panel=_KEEP)(manage.delete)
app.add_typer(data.app, name="data", rich_help_panel=_KEEP)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(version("hpo-toolkit"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Sweep and search the hyperparameters of a small chest X-ray classifier."""


def main() -> None:
    """Run the command line; a user's mistake ends in one message and an exit code."""
    try:
        _check_text()
        code = _run()
        sys.stdout.flush()
    except HpoError as error:
        _fail(error)
    except OSError as error:
        _fail_in_system(error)
    if code == Interrupted.exit_code:
        interrupted = Interrupted(
            "Stopped. Finished trainings are saved: the same command continues."
        )
        _fail(interrupted)
    sys.exit(code)


def _check_text() -> None:
    """Refuse arguments and settings that are no text: no page and no database takes them.

    Raises:
        UsageError: names the first one.
    """
    settings = (f"{name}={value}" for name, value in os.environ.items() if name[:4] == "HPO_")
    for text in (*sys.argv[1:], *settings):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{text[:_LONGEST_SHOWN]!a} is no text in UTF-8. Rename what it names, or write "
                "it in another way."
            ) from None


def _run() -> int:
    """Run the command and return its exit code."""
    try:
        return app(standalone_mode=False) or 0
    except typer.Abort:
        raise HpoError("Canceled. Nothing was changed.") from None
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # A command without arguments has printed its help.
            return error.exit_code
        end = "" if message.endswith(("?", ".")) else "."
        raise UsageError(f"{message}{end} `hpo COMMAND --help` shows the usage.") from error
    except SystemExit as end:
        return int(end.code or 0)


def _fail_in_system(error: OSError) -> NoReturn:
    """End where the system refused what no command expects; what has no name may be the output."""
    _drop_output()
    if error.errno == errno.EPIPE:  # Who read the output has seen enough.
        sys.exit(OutputError.exit_code)
    place = error.filename or f"The output, or a temporary file in {tempfile.gettempdir()},"
    _fail(
        OutputError(
            f"{place} cannot be read or written: {error.strerror or error}. What is finished is "
            "kept: make room or mend what is wrong, then run the same command again."
        )
    )


def _fail(error: HpoError) -> NoReturn:
    from hpo.cli.output import print_json, say

    if "--json" in sys.argv:
        try:
            print_json({"error": {"kind": error.kind, "message": str(error)}})
            sys.stdout.flush()
            sys.exit(error.exit_code)
        except OSError:
            _drop_output()
    # Who stopped it knows that it is no error.
    is_wanted = isinstance(error, Interrupted)
    say(f"{'' if is_wanted else 'Error: '}{error}", style="" if is_wanted else "red")
    sys.exit(error.exit_code)


def _drop_output() -> None:
    """Let go what is left of an output that fails: Python writes it again as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
