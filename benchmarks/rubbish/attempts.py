"""Giving a reader rubbish, and the requirements for its answer."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from hpo.errors import HpoError

HANG_S = 10
# On a loaded machine a reader may wait without hanging.
_LOADED = 10
_LONGEST_MESSAGE = 60_000


class Hang(Exception):
    """A reader took more processor time than `HANG_S`, or waited forever."""


@dataclass(frozen=True)
class Reader:
    """`read(folder, rubbish)` writes the rubbish into a folder and reads it.

    `n` is the number of inputs in the long run.
    """

    rubbish: st.SearchStrategy[Any]
    read: Callable[[Path, Any], object]
    n: int


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.mark,)


def attempt(reader: Reader, folder: Path, rubbish: object) -> str:
    """Let a reader read rubbish: return the message, "" if it could be read.

    Raises:
        AssertionError: code was run, a file was left outside, or the message is invalid.
        Exception: a would-be traceback.
    """
    home = folder / "home"
    home.mkdir(exist_ok=True)
    message = ""
    with _in_time(), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            reader.read(home, rubbish)
        except HpoError as error:
            message = str(error)
            assert message.strip()
            assert len(message) < _LONGEST_MESSAGE
            assert "Traceback" not in message
    assert [path.name for path in folder.iterdir()] == ["home"], "something was left outside"
    assert not (home / "exploded").exists(), "code was run"
    return message


@contextmanager
def _in_time() -> Iterator[None]:
    """Raise Hang if the body takes too long, in processor time or in waiting."""
    rings = []

    def ring(number: int, _: object) -> None:
        rings.append(number)
        raise Hang

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, HANG_S)}
    timers[signal.SIGALRM] = (signal.ITIMER_REAL, HANG_S * _LOADED)
    before = {number: signal.signal(number, ring) for number in timers}
    try:
        for timer, seconds in timers.values():
            signal.setitimer(timer, seconds, seconds)
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if rings:  # It was raised where exceptions are dropped.
        raise Hang


def trap() -> Trap:
    # Relative: every reader is run in the folder that is checked.
    return Trap("exploded")


def message_of(call: Callable[..., object], *arguments: object) -> str:
    """Return the message of a call that refuses its arguments, "" if it accepts them."""
    try:
        call(*arguments)
    except HpoError as error:
        return str(error)
    return ""
