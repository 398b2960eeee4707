"""The parent's end of one process that trains."""

import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import IO, Final

from hpo.errors import DeviceError, OutOfMemoryError
from hpo.modules import command
from hpo.training.processes.messages import Failed, Reply, Request

# Several processes fill the cores already; more threads would wait for each other.
_ONE_THREAD: Final[Mapping[str, str]] = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Process:
    """A process that trains, on one GPU where that is named.

    `on_reply` is called by a thread of its own with every reply.

    After the last one, when the process has ended, it is called with a Failed. The process has
    the file of `pixels` open under the same number.
    """

    def __init__(
        self, on_reply: Callable[[Reply], None], *, pixels: int, gpu: str | None = None
    ) -> None:
        self._on_reply = on_reply
        self._child = subprocess.Popen(
            command("hpo.training.processes.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ
            | _ONE_THREAD
            | {"PYTHONPATH": ""}
            | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}),
            pass_fds=[pixels],
            # Ctrl-C is for the parent, which ends its processes itself.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, request: Request) -> None:
        """Send a request; a process that has ended says so by its last reply instead."""
        try:
            pickle.dump(request, self._pipe(), protocol=pickle.HIGHEST_PROTOCOL)
            self._pipe().flush()
        except (BrokenPipeError, ValueError):
            pass

    def close(self) -> None:
        """End the process; what it trains is lost."""
        self._child.kill()
        self._child.wait()
        self._reader.join()
        for pipe in (self._child.stdin, self._child.stdout):
            try:
                if pipe:
                    pipe.close()
            except BrokenPipeError:
                pass

    def _pipe(self) -> IO[bytes]:
        assert self._child.stdin
        return self._child.stdin

    def _read(self) -> None:
        assert self._child.stdout
        try:
            while True:
                self._on_reply(pickle.load(self._child.stdout))
        except (EOFError, pickle.UnpicklingError, OSError):
            self._on_reply(Failed(_ended(self._child.wait())))


def _ended(code: int) -> DeviceError:
    if code == -signal.SIGKILL:
        return OutOfMemoryError(
            "A process that trains was killed, which the system does where memory runs out. Use "
            "fewer trainings at a time (--lanes), a smaller network or smaller images."
        )
    return DeviceError(
        f"A process that trains ended with exit code {code}; its last lines above say why. What "
        "is finished is kept: the same command goes on."
    )
