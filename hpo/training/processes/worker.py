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

from hpo.config import TrainingConfig
from hpo.data.dataset import Fold, Pixels, TrainingData
from hpo.errors import HpoError
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
    shutil.rmtree(opening.folder, ignore_errors=True)


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
        except Exception:
            # The trace alone: not every exception can be unpickled.
            yield Failed(None, traceback.format_exc())
            return


class _Lanes:
    """A stack, the files it reads, and its lanes under the numbers that the parent gave them."""

    def __init__(self, opening: Open) -> None:
        self._device = opening.device
        self._files: dict[int, Pixels] = {}
        self._folds: dict[int, Fold] = {}
        self._names: dict[int, int] = {}
        self._data = TrainingData(
            fingerprint=opening.fingerprint,
            labels=opening.labels,
            n_test=opening.n_test,
            pixels_at=self._files.__getitem__,
            fold=self._folds.__getitem__,
            is_stressed=opening.is_stressed,
        )
        self._stack = open_stack(self._data, device=opening.device, joins=opening.joins)

    def add(self, request: Add) -> None:
        self._map(request.config, request.pixels)
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
        self._map(request.config, request.pixels)
        self._folds[FOLD] = request.images
        return Timed(seconds_per_epoch(self._data, request.config, device=self._device))

    def _map(self, config: TrainingConfig, pixels: Path) -> None:
        if config.image_size not in self._files:
            self._files[config.image_size] = np.load(pixels, mmap_mode="r")


if __name__ == "__main__":
    main()
