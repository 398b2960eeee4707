"""A process that trains lanes: `python -m hpo.training.processes.worker`, started by a stack.

It reads requests from standard input and writes replies to standard output; what a library prints
goes to standard error. A parent ends its processes itself. When the input ends, the parent was
killed: then the process removes the files of pixels and ends too.
"""

import contextlib
import os
import pickle
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import HpoError
from hpo.training.engine import Stack
from hpo.training.processes.messages import Add, Drop, Failed, Open, Reply, Request, Train, Trained
from hpo.training.stacked import open_stack


def main() -> None:
    """Serve until the input ends, or the reader of the output is gone."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lanes = _Lanes()
    with contextlib.suppress(BrokenPipeError):
        for reply in _serve(lanes, _read(sys.stdin.buffer)):
            pickle.dump(reply, replies, protocol=pickle.HIGHEST_PROTOCOL)
            replies.flush()
    if lanes.folder:
        shutil.rmtree(lanes.folder, ignore_errors=True)


def _read(source: IO[bytes]) -> Iterator[Request]:
    with contextlib.suppress(EOFError):
        while True:
            yield pickle.load(source)


def _serve(lanes: "_Lanes", requests: Iterator[Request]) -> Iterator[Reply]:
    for request in requests:
        try:
            match request:
                case Open():
                    lanes.open(request)
                case Add():
                    lanes.add(request)
                case Drop():
                    lanes.drop(request.lane)
                case Train():
                    yield lanes.train()
        except HpoError as error:
            yield Failed(error)
            return
        except Exception:
            # The trace alone: not every exception can be unpickled.
            yield Failed(None, traceback.format_exc())
            return


class _Lanes:
    """A stack, the files it reads, and its lanes under the numbers that the parent gave them."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._files: dict[int, Pixels] = {}
        self._folds: dict[int, Fold] = {}
        self._names: dict[int, int] = {}
        self._stack: Stack | None = None

    @property
    def stack(self) -> Stack:
        """The stack, which the first request opens."""
        assert self._stack
        return self._stack

    def open(self, request: Open) -> None:
        data = TrainingData(
            fingerprint=request.fingerprint,
            labels=request.labels,
            n_test=request.n_test,
            pixels_at=self._files.__getitem__,
            fold=self._folds.__getitem__,
            is_stressed=request.is_stressed,
        )
        self.folder = request.folder
        self._stack = open_stack(data, device=request.device, joins=request.joins)

    def add(self, request: Add) -> None:
        size = request.config.image_size
        if size not in self._files:
            self._files[size] = np.load(request.pixels, mmap_mode="r")
        self._folds[request.fold] = request.images
        lane = self.stack.add(request.config, seed=request.seed, fold=request.fold)
        self._names[lane] = request.lane

    def drop(self, name: int) -> None:
        lane = next((lane for lane, own in self._names.items() if own == name), None)
        if lane is not None:
            self.stack.drop(lane)
            del self._names[lane]

    def train(self) -> Trained:
        trained = self.stack.step()
        epochs = [done._replace(lane=self._names[done.lane]) for done in trained]
        finished = {done.lane for done in trained} - set(self.stack.lanes)
        results = {self._names.pop(lane): self.stack.result(lane) for lane in finished}
        return Trained(epochs, results)


if __name__ == "__main__":
    main()
