"""Processes that train on the same data, and the file of pixels that all of them map."""

import contextlib
import os
import queue
import tempfile
from functools import partial

import numpy as np

from hpo.data.dataset import TrainingData
from hpo.errors import OutputError
from hpo.training import battery
from hpo.training.device import Device, visible_gpus
from hpo.training.processes.messages import Answer, Failed, Open, Reply, Request
from hpo.training.processes.process import Process


class Crew:
    """Processes by their numbers, from 0. `joins` as in `hpo.training.stack.open_stack`."""

    def __init__(
        self, data: TrainingData, *, device: Device, n_processes: int, joins: bool = False
    ) -> None:
        self._data = data
        # It has no name: however these processes end, nothing of it stays on the disk.
        self._pixels = tempfile.TemporaryFile()  # noqa: SIM115
        self._offsets: dict[int, int] = {}
        self._replies: queue.SimpleQueue[tuple[int, Reply]] = queue.SimpleQueue()
        opening = Open(
            fingerprint=data.fingerprint,
            labels=data.labels,
            n_test=data.n_test,
            device=device,
            joins=joins,
            is_stressed=data.is_stressed,
            pixels=self._pixels.fileno(),
        )
        # Several on GPUs have one each, which is the first that they see.
        gpus = visible_gpus() if device.name == "cuda:0" and n_processes > 1 else []
        self._processes = [
            Process(
                partial(self._take_in, k),
                pixels=opening.pixels,
                gpu=gpus[k % len(gpus)] if gpus else None,
            )
            for k in range(n_processes)
        ]
        for process in self._processes:
            process.send(opening)

    @property
    def has_reply(self) -> bool:
        """Whether `receive` would not wait."""
        return not self._replies.empty()

    def send(self, process: int, request: Request) -> None:
        """Send a request to a process."""
        self._processes[process].send(request)

    def receive(self) -> tuple[int, Answer]:
        """Wait for an answer; return it with its process.

        Raises:
            HpoError: the process could not do what was asked.
            OutOfMemoryError: there is too little memory.
            DeviceError: a process has ended.
        """
        process, reply = self._replies.get()
        if isinstance(reply, Failed):
            raise reply.error or RuntimeError(f"A process that trains failed:\n{reply.trace}")
        return process, reply

    def share_pixels(self, image_size: int) -> int:
        """Return where the pixels of a size begin in the file: mapped, all share its memory.

        Raises:
            OutputError: the file cannot be written.
        """
        if image_size not in self._offsets:
            if self._data.is_stressed:
                # Once, into the cache: the processes read it there.
                battery.changed_pixels(self._data, image_size)
            pixels = np.ascontiguousarray(self._data.pixels_at(image_size))
            try:
                offset = self._pixels.seek(0, os.SEEK_END)
                self._pixels.write(pixels.data)
                self._pixels.flush()
            except OSError as error:
                raise OutputError(
                    f"The images cannot be written to {tempfile.gettempdir()}, where the training "
                    f"processes share them: {error.strerror or error}. Make room there, set "
                    "TMPDIR to another folder, or train in one process with --lanes 1."
                ) from error
            self._offsets[image_size] = offset
        return self._offsets[image_size]

    def close(self) -> None:
        """End the processes; what they work on is lost."""
        for process in self._processes:
            process.close()
        with contextlib.suppress(OSError):  # What the disk had no room for is written again here.
            self._pixels.close()

    def _take_in(self, process: int, reply: Reply) -> None:
        self._replies.put((process, reply))
