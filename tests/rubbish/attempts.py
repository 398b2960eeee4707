"""Giving a reader rubbish, and what its answer must be."""

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
_LONGEST_MESSAGE = 60_000


class Hang(Exception):
    """A reader took longer than `HANG_S`."""


@dataclass(frozen=True)
class Reader:
    """`read(folder, rubbish)` writes the rubbish into a folder and reads it.

    `n` is how many pieces of rubbish the long run gives it.
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
    """Let a reader read rubbish: return the message, "" where it could be read.

    Raises:
        AssertionError: code was run, a file was left outside, or the message is no message.
        Exception: what would have been a traceback.
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
    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def trap() -> Trap:
    # Relative: every reader is run in the folder that is looked at.
    return Trap("exploded")


def message_of(call: Callable[..., object], *arguments: object) -> str:
    """Return what a call said in refusing its arguments, "" where it took them."""
    try:
        call(*arguments)
    except HpoError as error:
        return str(error)
    return ""
