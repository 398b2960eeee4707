"""A process that trains lanes, started by `hpo.training.pool`.

It reads requests from standard input and writes replies to standard output; what a library prints
goes to standard error. A parent ends its processes itself. When the input ends, the parent was
killed: then the process ends too.
"""

import contextlib
import mmap
import os
import pickle
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import NO_MEMORY, HpoError, OutOfMemoryError, lacks_memory
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, TrainingResult
from hpo.training.stack import FOLD, open_stack, seconds_per_epoch


def main() -> None:
    """Serve until the input ends, a request fails, or the reader of the output is gone."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(EOFError, BrokenPipeError):
        worker = Worker(*pickle.load(sys.stdin.buffer))
        reply: object = None
        while not isinstance(reply, Exception):
            name, *arguments = pickle.load(sys.stdin.buffer)
            try:
                reply = getattr(worker, name)(*arguments)
            except HpoError as error:
                reply = error
            except Exception as error:  # Not every one can be unpickled: its trace can.
                reply = RuntimeError(f"A training process failed:\n{traceback.format_exc()}")
                if lacks_memory(error):
                    reply = OutOfMemoryError(NO_MEMORY)
            if reply is not None:
                pickle.dump(reply, replies, protocol=pickle.HIGHEST_PROTOCOL)
                replies.flush()


class Worker:
    """A stack, the pixels it reads, and its lanes under the numbers that the parent gave them.

    `shared` are the fields of the data that are no functions; `pixels` is the number of an open
    file: pool and test images of one size after another.
    """

    def __init__(self, shared: dict[str, Any], pixels: int, device: Device, joins: bool) -> None:
        self._device = device
        self._file = pixels
        self._pixels: dict[int, Pixels] = {}
        self._folds: dict[int, Fold] = {}
        self._names: dict[int, int] = {}
        self._data = TrainingData(
            pixels_at=self._pixels.__getitem__, fold=self._folds.__getitem__, **shared
        )
        self._stack = open_stack(self._data, device=device, joins=joins)

    def add(
        self, name: int, config: TrainingConfig, seed: int, fold: int, images: Fold, offset: int
    ) -> None:
        """Begin a lane. `offset` is where the pixels of its image size begin in the file."""
        self._map(config.image_size, offset)
        self._folds[fold] = images
        self._names[self._stack.add(config, seed=seed, fold=fold)] = name

    def drop(self, name: int) -> None:
        """Forget a lane; it may have finished meanwhile."""
        for lane in [lane for lane, own in self._names.items() if own == name]:
            self._stack.drop(lane)
            del self._names[lane]

    def train(self) -> tuple[list[LaneEpoch], dict[int, TrainingResult]]:
        """Train every lane for an epoch; return also what finished lanes leave behind."""
        trained = self._stack.step()
        epochs = [done._replace(lane=self._names[done.lane]) for done in trained]
        finished = {done.lane for done in trained} - set(self._stack.lanes)
        return epochs, {self._names.pop(lane): self._stack.result(lane) for lane in finished}

    def time(self, requests: Sequence[tuple[TrainingConfig, int]], images: Fold) -> list[float]:
        """Return the seconds of an epoch of each configuration; each comes with its offset."""
        self._folds[FOLD] = images
        for config, offset in requests:
            self._map(config.image_size, offset)
        return [seconds_per_epoch(self._data, c, device=self._device) for c, _ in requests]

    def _map(self, size: int, offset: int) -> None:
        if size not in self._pixels:
            n_bytes = (self._data.n_pool + self._data.n_test) * size**2
            # The position in the file is shared with the parent, which writes: none is moved here.
            mapped = mmap.mmap(self._file, offset + n_bytes, access=mmap.ACCESS_READ)
            pixels = np.frombuffer(mapped, np.uint8, n_bytes, offset)
            self._pixels[size] = pixels.reshape(-1, size, size)
