"""How a command ends when it is told to: in order the first time, at once the second."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

from hpo.errors import Interrupted

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ends_in_order() -> Iterator[None]:
    """Let Ctrl-C, the end of the terminal and the system's word to end do the same.

    The first raises KeyboardInterrupt: trials that are cut off are put back. Another one while
    that is done ends the process where it stands; the next call finds what it left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _SIGNALS:
        signal.signal(number, _end)
    raise KeyboardInterrupt


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    text = "Ended at once. What is finished is kept: the same command goes on.\n"
    os.write(sys.stderr.fileno(), text.encode())
    os._exit(Interrupted.exit_code)
