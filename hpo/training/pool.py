"""A pool of processes that train lanes; this process hands lanes out and collects their results.

Each process is `hpo.training.worker`, with one thread or one GPU. A request is the name of what it
is to do and the arguments, pickled; `train` and `time` are answered, with an exception where they
failed. All processes map the same file of pixels.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle, islice
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import DeviceError, OutOfMemoryError, OutputError
from hpo.modules import command
from hpo.training import stress
from hpo.training.device import Device, visible_gpus
from hpo.training.engine import LaneEpoch, TrainingResult
from hpo.training.images import check_fits
from hpo.training.machine import epoch_cost
from hpo.training.progress import root_of
from hpo.training.stack import FOLD

_Replies: TypeAlias = "queue.SimpleQueue[tuple[Process, Any]]"


class Process:
    """A process that trains, its lanes, and the cost of what is left of each.

    Its replies are put into a queue by a thread of its own: while one side sends much, the other
    must go on reading. The last one, when the process has ended, is an error.
    """

    def __init__(self, replies: _Replies, *, pixels: int, gpu: str | None) -> None:
        self.lanes: dict[int, float] = {}
        self.is_busy = False
        # Processes fill the cores already; several threads in each would wait for one another.
        own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": ""}
        if gpu:
            own["CUDA_VISIBLE_DEVICES"] = gpu
        self._child = subprocess.Popen(
            command("hpo.training.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | own,
            pass_fds=[pixels],
            # Ctrl-C is for the parent, which ends its processes itself.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=[replies], daemon=True)
        self._reader.start()

    def send(self, *request: object) -> None:
        """Send a request; a process that has ended says so by its last reply instead."""
        assert self._child.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):
            pickle.dump(request, self._child.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self._child.stdin.flush()

    def close(self) -> None:
        """End the process; what it trains is lost."""
        self._child.kill()
        self._child.wait()
        self._reader.join()
        for pipe in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe:
                    pipe.close()

    def _read(self, replies: _Replies) -> None:
        assert self._child.stdout
        with contextlib.suppress(EOFError, pickle.UnpicklingError, OSError):
            while True:
                replies.put((self, pickle.load(self._child.stdout)))
        code = self._child.wait()
        error = DeviceError(
            f"A training process ended with exit code {code}; its last lines above say why. "
            "Finished trainings are kept: run the same command again to continue."
        )
        if code == -signal.SIGKILL:
            error = OutOfMemoryError(
                "A training process was killed, which the system does when memory runs out. Use "
                "fewer trainings at a time (--lanes), a smaller network or smaller images."
            )
        replies.put((self, error))


class Pool:
    """Lanes in several processes; see `hpo.training.engine.Stack`.

    `joins` as in `hpo.training.stack.open_stack`. Also raised: DeviceError, where a process has
    ended, and OutputError, where the pixels cannot be written where all processes see them.
    """

    def __init__(
        self, data: TrainingData, device: Device, *, n_processes: int, joins: bool = False
    ) -> None:
        self._data, self._joins = data, joins
        # The file has no name: however these processes end, nothing of it stays on the disk.
        self._pixels = tempfile.TemporaryFile()  # noqa: SIM115
        self._offsets: dict[int, int] = {}
        self._replies: _Replies = queue.SimpleQueue()
        self._epoch_costs: dict[int, float] = {}
        self._roots: dict[tuple[str, int, int], Process] = {}
        self._results: dict[int, TrainingResult] = {}
        self._n_added = 0
        # Several on GPUs have one each, which is the first that they see.
        is_shared_out = device.name == "cuda:0" and n_processes > 1
        gpus = cycle(visible_gpus() if is_shared_out else [None])
        pixels = self._pixels.fileno()
        self._processes = [
            Process(self._replies, pixels=pixels, gpu=gpu) for gpu in islice(gpus, n_processes)
        ]
        # Everything but the functions that read pixels and folds.
        shared = {name: value for name, value in vars(data).items() if not callable(value)}
        for process in self._processes:
            process.send(shared, pixels, device, joins)

    @property
    def lanes(self) -> tuple[int, ...]:
        return tuple(sorted(lane for process in self._processes for lane in process.lanes))

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Start a training in the process with the least left to do."""
        check_fits(self._data, config, fold)
        images, offset = self._data.fold(fold), self._share_pixels(config.image_size)
        process = min(self._processes, key=lambda process: sum(process.lanes.values()))
        # A training that others join stays in its process.
        root = root_of(config) if self._joins else None
        if root:
            process = self._roots.setdefault((root, seed, fold), process)
        self._n_added += 1
        cost = epoch_cost(config, n_train=len(images.train))
        self._epoch_costs[self._n_added] = cost
        process.lanes[self._n_added] = cost * config.epochs
        process.send("add", self._n_added, config, seed, fold, images, offset)
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train; return the epochs that are done first: no process waits for another."""
        for process in self._processes:
            if process.lanes and not process.is_busy:
                process.send("train")
                process.is_busy = True
        done: list[LaneEpoch] = []
        while any(p.is_busy for p in self._processes) and not (done and self._replies.empty()):
            process, (epochs, results) = self._receive()
            process.is_busy = False
            for epoch in epochs:
                # Its lane may have been dropped meanwhile.
                if epoch.lane in process.lanes:
                    process.lanes[epoch.lane] -= self._epoch_costs[epoch.lane]
                    done.append(epoch)
            for lane in process.lanes.keys() & results.keys():
                self._results[lane] = results[lane]
                del process.lanes[lane]
        return sorted(done)

    def drop(self, lane: int) -> None:
        self._results.pop(lane, None)
        for process in self._processes:
            if process.lanes.pop(lane, None) is not None:
                process.send("drop", lane)

    def result(self, lane: int) -> TrainingResult:
        return self._results.pop(lane)

    def time(self, configs: Sequence[TrainingConfig]) -> list[float]:
        """Return the seconds of an epoch of each, the mean of those that each process measures.

        Each process begins with another configuration, so that different ones run side by side.
        """
        requests = [(config, self._share_pixels(config.image_size)) for config in configs]
        firsts = {process: n % len(configs) for n, process in enumerate(self._processes)}
        for process, first in firsts.items():
            images = self._data.fold(FOLD)
            process.send("time", requests[first:] + requests[:first], images)
        answers = [self._receive() for _ in firsts]
        return [
            fmean(seconds[index - firsts[process]] for process, seconds in answers)
            for index in range(len(configs))
        ]

    def close(self) -> None:
        for process in self._processes:
            process.close()
            process.lanes.clear()
        self._results.clear()
        with contextlib.suppress(OSError):  # What the disk had no room for is written again here.
            self._pixels.close()

    def _receive(self) -> tuple[Process, Any]:
        """Wait for an answer; raise it where it is an error."""
        process, reply = self._replies.get()
        if isinstance(reply, Exception):
            raise reply
        return process, reply

    def _share_pixels(self, image_size: int) -> int:
        """Return where the pixels of a size begin in the file: mapped, all share its memory."""
        if image_size not in self._offsets:
            if self._data.is_stressed:
                # Once, into the cache: the processes read it there.
                stress.changed_pixels(self._data, image_size)
            pixels = np.ascontiguousarray(self._data.pixels_at(image_size))
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


def seconds_side_by_side(
    data: TrainingData, configs: Sequence[TrainingConfig], *, device: Device, n_processes: int
) -> list[float]:
    """Return what `hpo.training.stack.seconds_per_epoch` finds when all processes are at work.

    Cores that share memory and caches are slower together than one alone.
    """
    for config in configs:
        check_fits(data, config, FOLD)
    with closing(Pool(data, device, n_processes=n_processes)) as pool:
        return pool.time(configs)
