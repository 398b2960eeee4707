"""The command line in its own process, with an optional fault."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from tests.conftest import Answer

Fault = Callable[[], None]
"""A picklable function that is called in the process before its command."""

_LIMIT_S: Final = 300
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Loaded once: each process is then a copy that starts at once.
_PRELOADED: Final = [
    *("hpo.cli", "hpo.cli.work", "hpo.report.page", "hpo.export", "hpo.weights.predict"),
    *("hpo.training.stack", "hpo.training.processes", "sklearn.linear_model", "alembic.command"),
    *("optuna.storages._rdb.models", "optuna.importance", "rich.progress", "plotly.io"),
    *("sqlalchemy.dialects.sqlite", "torch._dynamo", "typer._adapters", "pytest", "hypothesis"),
    "tests.warmed",
]


def assert_error(answer: Answer, *words: str) -> str:
    """Check a failure: exit code 1, no traceback, one message with these words; return it."""
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err, answer.err
    assert answer.err.count("Error: ") == 1, answer.err
    text = " ".join(answer.err.split())
    assert all(word in text for word in words), text
    return text


@dataclass(frozen=True)
class Child:
    """A started process, and the files of its output."""

    process: BaseProcess
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    def poll(self) -> int | None:
        """Return its exit code, below 0 the signal that killed it; None while it runs."""
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.join()

    def answer(self, limit_s: float = _LIMIT_S) -> Answer:
        """Wait until it exits, and return its output."""
        self.process.join(limit_s)
        code = self.poll()
        if code is None:
            self.kill()
            raise subprocess.TimeoutExpired(str(self.process), limit_s)
        return Answer(code, self.out.read_text(), self.err.read_text())


def start(
    folder: Path, run: Callable[[], object], *, ignored: tuple[signal.Signals, ...] = ()
) -> Child:
    """Run something in a folder, in a new process that ignores these signals.

    It is forked from a process that has loaded everything, with the environment of this one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".child-", dir=folder))
    arguments = (run, folder, dict(os.environ), place, ignored)
    process = context.Process(target=_serve, args=arguments)
    process.start()
    return Child(process, place / "out", place / "err")


def call(folder: Path, arguments: tuple[object, ...], fault: Fault | None = None) -> Answer:
    """Run a command in a folder until it exits, with a fault in its process."""
    return start(folder, Command(tuple(map(str, arguments)), fault)).answer()


@dataclass(frozen=True)
class Command:
    """A command of hpo, with an optional fault in its process."""

    words: tuple[str, ...]
    fault: Fault | None = None

    def __call__(self) -> None:
        from hpo.cli import main

        sys.argv = ["hpo", *self.words]
        if self.fault:
            self.fault()
        main()


def _serve(
    run: Callable[[], object],
    folder: Path,
    environment: dict[str, str],
    place: Path,
    ignored: tuple[signal.Signals, ...],
) -> None:
    os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT), number)
    for number in _SIGNALS:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in ignored else default)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # It was set from the environment of another test.
    run()


def wait_for(is_there: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + _LIMIT_S
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]
