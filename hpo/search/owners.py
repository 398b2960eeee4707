"""Who trains a trial: a process, told from every other that there was or is."""

import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process: its machine, its number there, and when it started.

    `host` is for people. `machine` is where process numbers mean the same: one start of one
    kernel, one container.
    """

    host: str
    machine: str
    pid: int
    started: str

    @property
    def name(self) -> str:
        """A name that no other process has."""
        return f"{self.host}/{self.machine}/{self.pid}/{self.started}"

    @property
    def is_here(self) -> bool:
        """Whether it can be seen from here if it lives."""
        return self.machine == this_process().machine

    @property
    def has_ended(self) -> bool:
        """Whether it is gone, as far as can be seen from here."""
        return self.is_here and _started(self.pid) != self.started

    def to_attribute(self) -> dict[str, Any]:
        """Return it as it is recorded in a trial."""
        return asdict(self)


def this_process() -> Owner:
    """Return the process that asks."""
    pid = os.getpid()
    return Owner(socket.gethostname(), _machine(), pid, _started(pid))


def read_owner(mark: object) -> Owner | None:
    """Return the owner on record, None where there is none or its record is damaged."""
    if not isinstance(mark, dict):
        return None
    try:
        return Owner(
            str(mark["host"]), str(mark["machine"]), int(mark["pid"]), str(mark["started"])
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


@cache
def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """Return when a process started, "" where there is none (or no /proc: then if it lives)."""
    try:
        state, *fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended; nobody has asked yet how.
        return "" if state in ("Z", "X") else fields[18]
    except OSError:
        pass
    if (_PROC / "self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return ""
    return "alive"
