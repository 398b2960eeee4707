"""How a command ends when it is told to: in order the first time, at once the second."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, NoReturn

from hpo.errors import Interrupted

# Windows has no SIGHUP.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_AGAIN_S: Final = 0.01

_is_interrupted = False


def ends_at_once() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end this process where it stands.

    For the time before and after the work, when nothing has to be put back.
    """
    _listen(_end)


@contextlib.contextmanager
def ends_in_order() -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP raise KeyboardInterrupt: open trials are put back.

    A second one ends the process where it stands; the next call finds what it left. Python drops
    an exception that is raised in a destructor or in a callback of the garbage collector: it is
    raised again a moment later.
    """
    global _is_interrupted
    _is_interrupted = False
    hook = sys.unraisablehook

    def is_dropped(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            hook(dropped)
        elif threading.current_thread() is threading.main_thread():
            _raise_again(_AGAIN_S)

    sys.unraisablehook = is_dropped
    _listen(_interrupt)
    try:
        yield
    finally:
        _raise_again(0)
        _listen(_end)
        sys.unraisablehook = hook


def is_interrupted() -> bool:
    """Whether a signal asked this command to end."""
    return _is_interrupted


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if a signal asked for it and a library dropped the first one."""
    if _is_interrupted:
        _raise_again(0)
        raise KeyboardInterrupt


def _raise_again(seconds: float) -> None:
    """Raise KeyboardInterrupt after so many seconds, or never with 0; the loop looks as well."""
    if hasattr(signal, "setitimer"):  # Windows has none.
        signal.signal(signal.SIGALRM, _interrupt_again)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _listen(handler: Any) -> None:
    """Set the handler of all signals, except those ignored from the start, as under nohup."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    global _is_interrupted
    _is_interrupted = True
    _listen(_end)
    raise KeyboardInterrupt


def _interrupt_again(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, b"Ended at once. What is finished is kept: the same command goes on.\n")
    os._exit(Interrupted.exit_code)
