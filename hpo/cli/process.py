"""The process of a command: signals, and output streams that may be closed or full."""

import codecs
import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NoReturn, TextIO, cast

from hpo.errors import Interrupted

# Windows has no SIGHUP.
_SIGNALS: Final = [s for s in signal.Signals if s.name in ("SIGINT", "SIGTERM", "SIGHUP")]
_AGAIN_S: Final = 0.01
# Replacements of the same width for characters that an encoding lacks: tables stay aligned.
_PLAIN: Final = {"\xa0": " ", "–": "-", "−": "-", "…": ".", "×": "x"}  # noqa: RUF001

_is_interrupted = False


def end_at_once() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end this process at once, before and after the work."""
    _listen(_end)


@contextlib.contextmanager
def ends_in_order() -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP raise KeyboardInterrupt: open trials are re-queued.

    A second one ends the process at once; the next command cleans up. Python drops an exception
    that is raised in a destructor or in a callback of the garbage collector: then it is raised
    again a moment later.
    """
    global _is_interrupted
    _is_interrupted = False
    hook = sys.unraisablehook

    def raise_dropped(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            hook(dropped)
        elif threading.current_thread() is threading.main_thread():
            _raise_again(_AGAIN_S)

    sys.unraisablehook = raise_dropped
    _listen(_interrupt)
    try:
        yield
    finally:
        _raise_again(0)
        _listen(_end)
        sys.unraisablehook = hook


def is_interrupted() -> bool:
    """Whether a signal has stopped this command."""
    return _is_interrupted


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if a signal came and a library dropped the first one."""
    if _is_interrupted:
        _raise_again(0)
        raise KeyboardInterrupt


def _raise_again(seconds: float) -> None:
    """Raise KeyboardInterrupt after this time, never for 0; Windows has no such timer."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _listen(handler: Callable[[int, FrameType | None], NoReturn]) -> None:
    """Set the handler of all signals, except those ignored from the start (nohup)."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    global _is_interrupted
    _is_interrupted = True
    _listen(_end)
    raise KeyboardInterrupt


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, b"Stopped at once. Finished trainings are saved.\n")
    os._exit(Interrupted.exit_code)


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    escaped = character.encode("ascii", "backslashreplace").decode()
    return _PLAIN.get(character, escaped), error.start + 1


codecs.register_error("hpo-plain", _write_plainly)


class Output:
    """A text stream whose write errors do not stop the work; `failure` is the first one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="hpo-plain")

    def write(self, text: str) -> int:
        """Write a text; record an error instead of raising it."""
        if self.failure is None:
            with self._keeps_failure():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream; record an error instead of raising it."""
        with self._keeps_failure():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _keeps_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error
            # Python writes the rest of its buffer at exit, which would fail once more.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextlib.contextmanager
def outputs() -> Iterator[Output]:
    """Replace both output streams by an Output; yield the one for standard output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # It was closed from the start. The next file opened would get its number, so let a
            # file that cannot be written take it.
            null = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            os.set_inheritable(null, True)
            mode = "w" if number else "r"
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    out, err = Output(sys.stdout), Output(sys.stderr)
    with (
        contextlib.redirect_stdout(cast(TextIO, out)),
        contextlib.redirect_stderr(cast(TextIO, err)),
    ):
        yield out
        out.flush()
        err.flush()
