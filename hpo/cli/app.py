"""The commands put together, and the one place that turns errors into messages."""

import errno
import os
import sys
import tempfile
from typing import Annotated, Final, NoReturn

import typer

from hpo.cli import compare, data, evaluate, manage, predict, reproduce, show, train
from hpo.cli.signals import ends_in_order, is_interrupted
from hpo.cli.streams import Output, outputs
from hpo.errors import (
    NO_MEMORY,
    HpoError,
    Interrupted,
    OutOfMemoryError,
    OutputError,
    UsageError,
    lacks_memory,
)

app = typer.Typer(
    name="hpo",
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

app.command(rich_help_panel=_TRAIN)(train.grid)
app.command(rich_help_panel=_TRAIN)(train.search)
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
            "--version", callback=_print_version, is_eager=True, help="Print it and end."
        ),
    ] = False,
) -> None:
    """Sweep and search the hyperparameters of a small chest X-ray classifier."""


def run() -> NoReturn:
    """Run the command line; a user's mistake ends in one message and an exit code.

    The work goes on where the output fails, and the exit code is 1. A pipe whose reader has
    closed it needs no message: the reader has seen enough.
    """
    with outputs() as out:
        code = _code(out)
        out.flush()
        if out.failure and code == 0:
            code = OutputError.exit_code
            if out.failure.errno != errno.EPIPE:
                _fail(
                    OutputError(
                        f"The output cannot be written: {out.failure.strerror}. What is finished "
                        "is kept: run the same command again where there is room for its output."
                    ),
                    out,
                )
    sys.exit(code)


def _code(out: Output) -> int:
    """Run the command, say what went wrong, and return the exit code."""
    try:
        _check_text()
        with ends_in_order():
            code = _run()
        if code == Interrupted.exit_code:
            raise KeyboardInterrupt
    except (Exception, KeyboardInterrupt) as error:
        explained = _explained(error)
        if explained is None:
            raise
        return _fail(explained, out)
    return code


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
                f"{text[:_LONGEST_SHOWN]!a} is no text in UTF-8. Rename what it names, or set a "
                "UTF-8 locale (LC_ALL=C.UTF-8)."
            ) from None


def _run() -> int:
    """Run the command and return its exit code; without --json, typer draws its usage errors."""
    try:
        return app(standalone_mode="--json" not in sys.argv) or 0
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        raise UsageError(f"{message}. `hpo COMMAND --help` tells more.") from error
    except SystemExit as end:
        return int(end.code or 0)


def _explained(error: BaseException) -> HpoError | None:
    """Return the error with a message for the user; None for a fault of hpo itself."""
    # An interrupt may come out of a library as another error.
    is_disguised = is_interrupted() and not isinstance(error, Interrupted)
    if is_disguised or isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted. What is finished is kept: the same command goes on.")
    if isinstance(error, HpoError):
        return error
    if lacks_memory(error):
        return OutOfMemoryError(NO_MEMORY)
    if isinstance(error, OSError):
        place = error.filename or f"A temporary file in {tempfile.gettempdir()}"
        return OutputError(
            f"{place} cannot be read or written: {error.strerror or error}. What is finished is "
            "kept: make room or mend what is wrong, then run the same command again."
        )
    return None


def _fail(error: HpoError, out: Output) -> int:
    try:
        from hpo.cli.output import print_json, say

        if "--json" in sys.argv:
            print_json({"error": {"kind": error.kind, "message": str(error)}})
            out.flush()
        if "--json" not in sys.argv or out.failure:
            say(f"Error: {error}", style="red")
    except MemoryError:  # Not even for colors is there enough.
        sys.stderr.write(f"Error: {error}\n")
    return error.exit_code
