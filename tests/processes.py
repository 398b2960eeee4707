"""The command line in a process of its own, in which something may go wrong."""

import contextlib
import io
import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from tests.conftest import Answer

Fault = Callable[[], None]
"""What is called in the process before its command; it can be pickled."""

_LIMIT_S: Final = 300

# Loaded once: each process is then a copy that begins at once.
_PRELOADED: Final = [
    *("hpo.cli", "hpo.cli.work", "hpo.report", "hpo.export", "hpo.evaluate", "hpo.weights"),
    *("hpo.training.stack", "hpo.training.pool", "sklearn.linear_model", "alembic.command"),
    *("optuna.storages._rdb.models", "optuna.importance", "rich.progress", "plotly.io"),
    *("sqlalchemy.dialects.sqlite", "torch._dynamo", "typer._adapters", "pytest", "hypothesis"),
]


def said(answer: Answer, *words: str) -> None:
    """Check a failure: exit code 1, one message, no traceback, and what must be in it."""
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err, answer.err
    assert answer.err.count("Error: ") == 1, answer.err
    text = " ".join(answer.err.split())
    assert all(word in text for word in words), text


def call(folder: Path, arguments: tuple[object, ...], fault: Fault | None = None) -> Answer:
    """Run a command in a folder to its end, after a fault was put into its process.

    A process that ended without an answer has -1 as its code.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    ours, theirs = context.Pipe()
    words = [str(argument) for argument in arguments]
    place = (folder, dict(os.environ))
    process = context.Process(target=_serve, args=(theirs, words, place, fault))
    process.start()
    theirs.close()
    answer = Answer(-1, "", "no answer")
    with contextlib.suppress(EOFError):
        if ours.poll(_LIMIT_S):
            answer = ours.recv()
    process.join(_LIMIT_S)
    return answer


def _serve(
    connection: Connection,
    arguments: list[str],
    place: tuple[Path, dict[str, str]],
    fault: Fault | None,
) -> None:
    from hpo.cli import main

    folder, environment = place
    os.chdir(folder)
    os.environ.update(environment)
    tempfile.tempdir = None  # It was settled by the environment of another test.
    sys.argv = ["hpo", *arguments]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if fault:
                fault()
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            # What the interpreter would do.
            code = 1
            traceback.print_exc()
    connection.send(Answer(code, out.getvalue(), err.getvalue()))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]
