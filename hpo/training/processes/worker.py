"""A process that trains lanes, started by a stack.

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
from collections.abc import Iterator
from typing import IO

import numpy as np

from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import NO_MEMORY, HpoError, OutOfMemoryError, lacks_memory
from hpo.training.processes.messages import (
    Add,
    Drop,
    Failed,
    Open,
    Reply,
    Request,
    Time,
    Timed,
    Train,
    Trained,
)
from hpo.training.stack import open_stack
from hpo.training.timing import FOLD, seconds_per_epoch


def main() -> None:
    """Serve until the input ends, or the reader of the output is gone."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    requests = _read(sys.stdin.buffer)
    opening = next(requests, None)
    if not isinstance(opening, Open):
        return
    with contextlib.suppress(BrokenPipeError):
        for reply in _serve(_Lanes(opening), requests):
            pickle.dump(reply, replies, protocol=pickle.HIGHEST_PROTOCOL)
            replies.flush()


def _read(source: IO[bytes]) -> Iterator[Request]:
    with contextlib.suppress(EOFError):
        while True:
            yield pickle.load(source)


def _serve(lanes: "_Lanes", requests: Iterator[Request]) -> Iterator[Reply]:
    for request in requests:
        try:
            match request:
                case Add():
                    lanes.add(request)
                case Drop():
                    lanes.drop(request.lane)
                case Train():
                    yield lanes.train()
                case Time():
                    yield lanes.time(request)
        except HpoError as error:
            yield Failed(error)
            return
        except Exception as error:
            # The trace alone: not every exception can be unpickled.
            refused = OutOfMemoryError(NO_MEMORY) if lacks_memory(error) else None
            yield Failed(refused, traceback.format_exc())
            return


class _Lanes:
    """A stack, the pixels it reads, and its lanes under the numbers that the parent gave them."""

    def __init__(self, opening: Open) -> None:
        self._device = opening.device
        self._file = opening.pixels
        self._pixels: dict[int, Pixels] = {}
        self._folds: dict[int, Fold] = {}
        self._names: dict[int, int] = {}
        self._data = TrainingData(
            fingerprint=opening.fingerprint,
            labels=opening.labels,
            n_test=opening.n_test,
            pixels_at=self._pixels.__getitem__,
            fold=self._folds.__getitem__,
            is_stressed=opening.is_stressed,
        )
        self._stack = open_stack(self._data, device=opening.device, joins=opening.joins)

    def add(self, request: Add) -> None:
        self._map(request.config.image_size, request.offset)
        self._folds[request.fold] = request.images
        lane = self._stack.add(request.config, seed=request.seed, fold=request.fold)
        self._names[lane] = request.lane

    def drop(self, name: int) -> None:
        lane = next((lane for lane, own in self._names.items() if own == name), None)
        if lane is not None:
            self._stack.drop(lane)
            del self._names[lane]

    def train(self) -> Trained:
        trained = self._stack.step()
        epochs = [done._replace(lane=self._names[done.lane]) for done in trained]
        finished = {done.lane for done in trained} - set(self._stack.lanes)
        results = {self._names.pop(lane): self._stack.result(lane) for lane in finished}
        return Trained(epochs, results)

    def time(self, request: Time) -> Timed:
        self._map(request.config.image_size, request.offset)
        self._folds[FOLD] = request.images
        return Timed(seconds_per_epoch(self._data, request.config, device=self._device))

    def _map(self, size: int, offset: int) -> None:
        if size not in self._pixels:
            n_bytes = (self._data.n_pool + self._data.n_test) * size**2
            # The position in the file is shared with the parent, which writes: none is moved here.
            mapped = mmap.mmap(self._file, offset + n_bytes, access=mmap.ACCESS_READ)
            pixels = np.frombuffer(mapped, np.uint8, n_bytes, offset)
            self._pixels[size] = pixels.reshape(-1, size, size)
