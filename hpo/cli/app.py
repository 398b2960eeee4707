"""The commands put together, and the one place that turns errors into messages."""

import errno
import os
import sys
import tempfile
from typing import Annotated, Final, NoReturn

import typer

from hpo.cli import compare, data, evaluate, manage, predict, reproduce, show, train
from hpo.errors import HpoError, Interrupted, OutputError, UsageError

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
            "Interrupted. What is finished is kept: the same command goes on."
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
    """Run the command and return its exit code; without --json, typer draws its usage errors."""
    try:
        return app(standalone_mode="--json" not in sys.argv) or 0
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        raise UsageError(f"{message}. `hpo COMMAND --help` tells more.") from error
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
    say(f"Error: {error}", style="red")
    sys.exit(error.exit_code)


def _drop_output() -> None:
    """Let go what is left of an output that fails: Python writes it again as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
