"""Workers in processes of this machine: one per core, with one thread, or one per GPU.

Each runs `main`. A request is the name of a `Worker` method with its arguments, pickled; the next
one follows after the answer, which is an exception if the request failed. So the two sides never
write at the same time. All processes map the same file of pixels.
"""

import contextlib
import math
import mmap
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import cycle, islice
from statistics import fmean
from typing import Any

import numpy as np

from hpo.config import TrainingConfig
from hpo.data.dataset import Pixels, TrainingData
from hpo.errors import DeviceError, OutOfMemoryError, OutputError
from hpo.modules import command
from hpo.training import stress
from hpo.training.device import Device, visible_gpus
from hpo.training.images import check_fits
from hpo.training.pool import Trained, Worker, fields_of
from hpo.training.stack import FOLD


class Processes:
    """The workers of `hpo.training.pool.Pool` on this machine. If one ends, the pool ends."""

    goes_ahead = False

    def __init__(
        self, data: TrainingData, device: Device, *, n_processes: int, joins: bool = False
    ) -> None:
        self.data, self.joins = data, joins
        # The file has no name, so it disappears however these processes end.
        self._pixels = tempfile.TemporaryFile()  # noqa: SIM115
        self._offsets: dict[int, int] = {}
        # Each of several processes on GPUs sees only its own GPU.
        is_per_gpu = device.name == "cuda:0" and n_processes > 1
        gpus = cycle(visible_gpus() if is_per_gpu else [None])
        pixels = self._pixels.fileno()
        self.members = [Process(pixels, gpu=gpu) for gpu in islice(gpus, n_processes)]
        for process in self.members:
            process.send(fields_of(data), pixels, device, joins)

    def share(self, image_size: int) -> int:
        """Return the offset of the pixels of a size in the file, whose mapped memory is shared."""
        if image_size not in self._offsets:
            if self.data.is_stressed:
                # This fills the cache, from which the processes read.
                stress.changed_pixels(self.data, image_size)
            pixels = np.ascontiguousarray(self.data.pixels_at(image_size))
            try:
                offset = self._pixels.seek(0, os.SEEK_END)
                self._pixels.write(pixels.data)
                self._pixels.flush()
            except OSError as error:
                raise OutputError(
                    f"The images cannot be written to {tempfile.gettempdir()}, where the training "
                    f"processes share them: {error.strerror or error}. Free space there, set "
                    "TMPDIR to another folder, or train in one process with --lanes 1."
                ) from error
            self._offsets[image_size] = offset
        return self._offsets[image_size]

    def receive(self) -> list[Trained]:
        """Wait for the processes that finish first."""
        busy = [process for process in self.members if process.is_busy]
        return [process.receive() for process in select.select(busy, [], [])[0]]

    def close(self) -> None:
        for process in self.members:
            process.close()
        with contextlib.suppress(OSError):  # A full disk fails again here.
            self._pixels.close()


class Process:
    """A process that trains, as seen by its parent."""

    def __init__(self, pixels: int, *, gpu: str | None) -> None:
        self.is_busy = False
        # The processes already fill the cores; several threads in each would block each other.
        own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": ""}
        if gpu:
            own["CUDA_VISIBLE_DEVICES"] = gpu
        self._child = subprocess.Popen(
            command("hpo.training.processes"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | own,
            pass_fds=[pixels],
            # Ctrl-C is for the parent, which ends its processes itself.
            start_new_session=True,
        )
        assert self._child.stdin
        assert self._child.stdout
        self._requests, self._answers = self._child.stdin, self._child.stdout

    def fileno(self) -> int:
        """Return the file number of its answers, for `select`."""
        return self._answers.fileno()

    def room(self, _config: TrainingConfig) -> float:
        """Return no limit: the number of trainings is limited for all processes together."""
        return math.inf

    def train(self, added: Sequence[tuple[Any, ...]], lanes: Sequence[int]) -> None:
        """Start `hpo.training.pool.Worker.train` in it."""
        self.send("train", added, lanes)
        self.is_busy = True

    def send(self, *request: object) -> None:
        """Send a request; a process that has ended gives no answer."""
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(request, self._requests, protocol=pickle.HIGHEST_PROTOCOL)
            self._requests.flush()

    def receive(self) -> Any:
        """Wait for the answer; raise it if it is an error, and another error if there is none."""
        self.is_busy = False
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            answer = pickle.load(self._answers)
            if isinstance(answer, Exception):
                raise answer
            return answer
        code = self._child.wait()
        if code == -signal.SIGKILL:
            raise OutOfMemoryError(
                "A training process was killed, usually because memory ran out. Use fewer "
                "parallel trainings (--lanes), a smaller network or smaller images."
            )
        raise DeviceError(
            f"A training process ended with exit code {code}; see its last lines above. Finished "
            "trainings are saved: run the same command again to continue."
        )

    def close(self) -> None:
        """End the process; its trainings are lost."""
        self._child.kill()
        self._child.wait()
        self._answers.close()
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()


def seconds_side_by_side(
    data: TrainingData, configs: Sequence[TrainingConfig], *, device: Device, n_processes: int
) -> list[float]:
    """Return the result of `hpo.training.stack.seconds_per_epoch` with all processes busy.

    Cores that share memory and caches are slower together than alone. Each process starts with
    another configuration, so that different ones run side by side; the result is the mean.
    """
    for config in configs:
        check_fits(data, config, FOLD)
    with closing(Processes(data, device, n_processes=n_processes)) as group:
        requests = [(config, group.share(config.image_size)) for config in configs]
        firsts = [number % len(configs) for number in range(n_processes)]
        for process, first in zip(group.members, firsts, strict=True):
            process.send("time", requests[first:] + requests[:first], data.fold(FOLD))
        measured = [process.receive() for process in group.members]
    return [
        fmean(seconds[index - first] for seconds, first in zip(measured, firsts, strict=True))
        for index in range(len(configs))
    ]


def _open_worker(shared: Mapping[str, Any], file: int, device: Device, joins: bool) -> Worker:
    """Return a worker that maps its pixels from a file that holds all sizes."""
    n_images = len(shared["labels"]) + shared["n_test"]

    def read(size: int, offset: int) -> list[Pixels]:
        n_bytes = n_images * size**2
        # The file position is shared with the parent, which writes, so it is not moved here.
        mapped = mmap.mmap(file, offset + n_bytes, access=mmap.ACCESS_READ)
        return [np.frombuffer(mapped, np.uint8, n_bytes, offset).reshape(-1, size, size)]

    return Worker(shared, device, joins=joins, read=read)


def main() -> None:
    """Serve until the input ends, because the parent was killed, or a request fails.

    Output of libraries goes to standard error; standard output is only for answers.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(EOFError, BrokenPipeError):
        worker, answer = _open_worker(*pickle.load(sys.stdin.buffer)), None
        while not isinstance(answer, Exception):
            answer = worker.answer(*pickle.load(sys.stdin.buffer))
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
