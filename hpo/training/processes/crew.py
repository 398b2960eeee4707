"""Processes that train on the same data, and the files of pixels that all of them map."""

import queue
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from hpo.data.dataset import TrainingData
from hpo.errors import OutputError
from hpo.training import battery
from hpo.training.device import Device, visible_gpus
from hpo.training.processes.messages import Answer, Failed, Open, Reply, Request
from hpo.training.processes.process import Process


class Crew:
    """Processes by their numbers, from 0. `joins` as in `hpo.training.stacked.open_stack`."""

    def __init__(
        self, data: TrainingData, *, device: Device, n_processes: int, joins: bool = False
    ) -> None:
        self._data = data
        self._folder = tempfile.TemporaryDirectory(prefix="hpo-", ignore_cleanup_errors=True)
        self._files: dict[int, Path] = {}
        self._replies: queue.SimpleQueue[tuple[int, Reply]] = queue.SimpleQueue()
        opening = Open(
            fingerprint=data.fingerprint,
            labels=data.labels,
            n_test=data.n_test,
            device=device,
            joins=joins,
            is_stressed=data.is_stressed,
            folder=Path(self._folder.name),
        )
        # Several on GPUs have one each, which is the first that they see.
        gpus = visible_gpus() if device.name == "cuda:0" and n_processes > 1 else []
        self._processes = [
            Process(partial(self._take_in, k), gpu=gpus[k % len(gpus)] if gpus else None)
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

    def share_pixels(self, image_size: int) -> Path:
        """Return the file of the pixels of a size: mapped, all processes share its memory.

        Raises:
            OutputError: the file cannot be written.
        """
        if image_size not in self._files:
            path = Path(self._folder.name) / f"{image_size}.npy"
            if self._data.is_stressed:
                # Once, into the cache: the processes read it there.
                battery.changed_pixels(self._data, image_size)
            try:
                np.save(path, self._data.pixels_at(image_size))
            except OSError as error:
                raise OutputError(
                    f"The images cannot be written to {path.parent}, where the processes that "
                    f"train share them: {error.strerror or error}. Make room there, set TMPDIR to "
                    "another folder, or train in one process with --lanes 1."
                ) from error
            self._files[image_size] = path
        return self._files[image_size]

    def close(self) -> None:
        """End the processes; what they work on is lost."""
        for process in self._processes:
            process.close()
        self._folder.cleanup()

    def _take_in(self, process: int, reply: Reply) -> None:
        self._replies.put((process, reply))
