"""A pool of processes that train lanes; the process that opens it shares them out.

Each runs `main`, with one thread or one GPU. A request is the name of a `Worker`'s method and its
arguments, pickled; the next one follows when it is answered, with an exception where it failed. So
neither side ever writes while the other does. All processes map the same file of pixels.
"""

import contextlib
import mmap
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import cycle, islice
from statistics import fmean
from typing import Any

import numpy as np

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import (
    NO_MEMORY,
    DeviceError,
    HpoError,
    OutOfMemoryError,
    OutputError,
    TrainingError,
    lacks_memory,
)
from hpo.modules import command
from hpo.training import stress
from hpo.training.device import Device, visible_gpus
from hpo.training.engine import LaneEpoch, TrainingResult, result_of
from hpo.training.images import check_fits, read_images
from hpo.training.machine import epoch_cost
from hpo.training.own import check_network
from hpo.training.progress import root_of
from hpo.training.stack import FOLD, open_stack, seconds_per_epoch


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
        self._epoch_costs: dict[int, float] = {}
        self._roots: dict[tuple[str, int, int], Process] = {}
        self._results: dict[int, TrainingResult | TrainingError] = {}
        self._n_added = 0
        # Several on GPUs have one each, which is the first that they see.
        is_shared_out = device.name == "cuda:0" and n_processes > 1
        gpus = cycle(visible_gpus() if is_shared_out else [None])
        pixels = self._pixels.fileno()
        self._processes = [Process(pixels, gpu=gpu) for gpu in islice(gpus, n_processes)]
        for process in self._processes:
            process.send(fields_of(data), pixels, device, joins)

    @property
    def lanes(self) -> tuple[int, ...]:
        return tuple(sorted(lane for process in self._processes for lane in process.lanes))

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Start a training in the process with the least left to do."""
        check_fits(self._data, config, fold)
        if config.model:  # What cannot be made fails here, and not in the process of others.
            check_network(config, self._data.code)
        images, offset = self._data.fold(fold), self._share_pixels(config.image_size)
        if config.align != "none":
            read_images(self._data, config, fold)  # Once, into the cache.
        process = min(self._processes, key=lambda process: sum(process.lanes.values()))
        # A training that others join stays in its process.
        if self._joins and (root := root_of(config)):
            process = self._roots.setdefault((root, seed, fold), process)
        self._n_added += 1
        cost = epoch_cost(config, n_train=len(images.train))
        self._epoch_costs[self._n_added] = cost
        process.lanes[self._n_added] = cost * config.epochs
        process.added.append((self._n_added, config, seed, fold, images, offset))
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        """Train; return the epochs that are done first: no process waits for another."""
        for process in self._processes:
            if process.lanes and not process.is_busy:
                process.train()
        done: list[LaneEpoch] = []
        while (busy := [process for process in self._processes if process.is_busy]) and not done:
            for process in select.select(busy, [], [])[0]:
                epochs, results = process.receive()
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
                process.dropped.append(lane)

    def result(self, lane: int) -> TrainingResult:
        return result_of(self._results.pop(lane))

    def time(self, configs: Sequence[TrainingConfig]) -> list[float]:
        """Return the seconds of an epoch of each, the mean of those that each process measures.

        Each process begins with another configuration, so that different ones run side by side.
        """
        requests = [(config, self._share_pixels(config.image_size)) for config in configs]
        firsts = [number % len(configs) for number in range(len(self._processes))]
        for process, first in zip(self._processes, firsts, strict=True):
            process.send("time", requests[first:] + requests[:first], self._data.fold(FOLD))
        found = [process.receive() for process in self._processes]
        return [
            fmean(seconds[index - first] for seconds, first in zip(found, firsts, strict=True))
            for index in range(len(configs))
        ]

    def close(self) -> None:
        for process in self._processes:
            process.close()
        self._results.clear()
        with contextlib.suppress(OSError):  # What the disk had no room for is written again here.
            self._pixels.close()

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


class Process:
    """A process that trains, seen from outside.

    `lanes` holds the cost of what is left of each; `added` and `dropped` are to be sent.
    """

    def __init__(self, pixels: int, *, gpu: str | None) -> None:
        self.lanes: dict[int, float] = {}
        self.added: list[tuple[object, ...]] = []
        self.dropped: list[int] = []
        self.is_busy = False
        # Processes fill the cores already; several threads in each would wait for one another.
        own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": ""}
        if gpu:
            own["CUDA_VISIBLE_DEVICES"] = gpu
        self._child = subprocess.Popen(
            command("hpo.training.pool"),
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
        """Return where its answers come from, for `select`."""
        return self._answers.fileno()

    def train(self) -> None:
        """Let it train every lane for an epoch."""
        self.send("train", self.added, self.dropped)
        self.added, self.dropped, self.is_busy = [], [], True

    def send(self, *request: object) -> None:
        """Send a request; a process that has ended gives no answer."""
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(request, self._requests, protocol=pickle.HIGHEST_PROTOCOL)
            self._requests.flush()

    def receive(self) -> Any:
        """Wait for the answer; raise it where it is an error, and another where there is none."""
        self.is_busy = False
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            answer = pickle.load(self._answers)
            if isinstance(answer, Exception):
                raise answer
            return answer
        code = self._child.wait()
        if code == -signal.SIGKILL:
            raise OutOfMemoryError(
                "A training process was killed, which the system does when memory runs out. Use "
                "fewer trainings at a time (--lanes), a smaller network or smaller images."
            )
        raise DeviceError(
            f"A training process ended with exit code {code}; its last lines above say why. "
            "Finished trainings are kept: run the same command again to continue."
        )

    def close(self) -> None:
        """End the process; what it trains is lost."""
        self._child.kill()
        self._child.wait()
        self.lanes.clear()
        self._answers.close()
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()


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


def fields_of(data: TrainingData) -> dict[str, Any]:
    """Return what a worker needs of the data, beside the functions that read pixels and folds."""
    return {name: value for name, value in vars(data).items() if not callable(value)}


class Worker:
    """A stack in a process that is not the study's: its lanes have the numbers of that one.

    `shared` are the fields of the data that are no functions. `read(size, place)` returns pool and
    test images of a size from the place that was sent with them, once for each size.
    """

    def __init__(
        self,
        shared: Mapping[str, Any],
        device: Device,
        *,
        joins: bool,
        read: Callable[[int, Any], Pixels],
        stressed_at: Callable[[int], Pixels] | None = None,
    ) -> None:
        self._device = device
        self._read = read
        self._pixels: dict[int, Pixels] = {}
        self._folds: dict[int, Fold] = {}
        self._names: dict[int, int] = {}
        readers = {
            "pixels_at": self._pixels.__getitem__,
            "fold": self._folds.__getitem__,
            "stressed_at": stressed_at,
        }
        self._data = TrainingData(**{**shared, **readers})
        self._stack = open_stack(self._data, device=device, joins=joins)

    def answer(self, name: str, *arguments: Any) -> Any:
        """Return what one of the methods below returns, or its exception."""
        try:
            return getattr(self, name)(*arguments)
        except HpoError as error:
            return error
        except Exception as error:  # Not every one can be unpickled: its trace can.
            if lacks_memory(error):
                return OutOfMemoryError(NO_MEMORY)
            return RuntimeError(f"A training process failed:\n{traceback.format_exc()}")

    def train(
        self, added: Sequence[tuple[Any, ...]], dropped: Sequence[int]
    ) -> tuple[list[LaneEpoch], dict[int, TrainingResult | TrainingError]]:
        """Train every lane for an epoch; return also what finished lanes leave behind, or why not.

        Before that some lanes begin, with the place of their pixels, and some end; those may have
        finished meanwhile.
        """
        for name, config, seed, fold, images, place in added:
            self._place(config.image_size, place)
            self._folds[fold] = images
            self._names[self._stack.add(config, seed=seed, fold=fold)] = name
        for lane in [lane for lane, name in self._names.items() if name in dropped]:
            self._stack.drop(lane)
            del self._names[lane]
        trained = self._stack.step()
        epochs = [done._replace(lane=self._names[done.lane]) for done in trained]
        results: dict[int, TrainingResult | TrainingError] = {}
        for lane in self._names.keys() - set(self._stack.lanes):
            name = self._names.pop(lane)
            try:
                results[name] = self._stack.result(lane)
            except TrainingError as error:
                results[name] = error
        return epochs, results

    def time(self, requests: Sequence[tuple[TrainingConfig, Any]], images: Fold) -> list[float]:
        """Return the seconds of an epoch of each configuration; each comes with its place."""
        self._folds[FOLD] = images
        for config, place in requests:
            self._place(config.image_size, place)
        return [seconds_per_epoch(self._data, c, device=self._device) for c, _ in requests]

    def _place(self, size: int, place: object) -> None:
        if size not in self._pixels:
            self._pixels[size] = self._read(size, place)


def _open_worker(shared: Mapping[str, Any], file: int, device: Device, joins: bool) -> Worker:
    """Return a worker that maps its pixels from a file, in which one size follows another."""
    n_images = len(shared["labels"]) + shared["n_test"]

    def read(size: int, offset: int) -> Pixels:
        n_bytes = n_images * size**2
        # The position in the file is shared with the parent, which writes: none is moved here.
        mapped = mmap.mmap(file, offset + n_bytes, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.uint8, n_bytes, offset).reshape(-1, size, size)

    return Worker(shared, device, joins=joins, read=read)


def main() -> None:
    """Serve until the input ends, as the parent was killed, or a request fails.

    What a library prints goes to standard error: answers alone go to standard output.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(EOFError, BrokenPipeError):
        worker, answer = _open_worker(*pickle.load(sys.stdin.buffer)), None
        while not isinstance(answer, Exception):
            answer = worker.answer(*pickle.load(sys.stdin.buffer))
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
