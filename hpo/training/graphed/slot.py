"""A place for one training at a time: memory, a stream, and the epoch as a graph."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from hpo.training.engine import EpochMetrics
from hpo.training.graphed.epoch import train_epoch
from hpo.training.graphed.kind import Kind
from hpo.training.graphed.memory import Memory, enter, open_memory
from hpo.training.graphed.table import write
from hpo.training.stacked.lane import Lane, read_losses
from hpo.training.stacked.measuring import measure
from hpo.training.stacked.scratch import Scratch


class Slot:
    """Trains lanes of one kind, one after another.

    The first epoch of all is launched piece by piece, which compiles what must be compiled; it is
    captured after it, and from then on one launch is an epoch, whatever lane comes. Without a GPU
    (Triton's interpreter) every epoch is launched piece by piece.
    """

    def __init__(self, lane: Lane, kind: Kind) -> None:
        device = lane.device.torch
        self.kind = kind
        self._memory: Memory = open_memory(lane, kind)
        # A lane that nobody else knows has left: nothing here may keep it.
        self._owner = weakref.ref(lane)
        self._scratch = Scratch(device)
        self._stream = _open_stream(device) if device.type == "cuda" else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._trained = torch.zeros(3, dtype=torch.float64, device=device)
        self._validation: Tensor | None = None

    @property
    def is_free(self) -> bool:
        """Whether the training that had the slot is forgotten by everybody else."""
        return self._owner() is None

    @property
    def n_bytes(self) -> int:
        """About what the slot takes."""
        held = self._memory
        moments = held.moments.first + held.moments.second
        tensors = (held.parameters.first, held.parameters.row, held.partial, *moments)
        return sum(tensor.nbytes for tensor in tensors)

    def enter(self, lane: Lane) -> None:
        """Let a lane of the same kind have the memory; from now on its tensors are those here."""
        enter(self._memory, lane)
        self._owner = weakref.ref(lane)

    def has(self, lane: Lane) -> bool:
        """Whether it is this lane that trains here."""
        return self._owner() is lane

    def begin(self, lane: Lane) -> None:
        """Have an epoch trained and the validation images read; do not wait for either."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with self._at_work():
            write(self._memory.table, lane)
            self._train()
            self._validation = read_losses(lane, lane.data.validation, self._scratch)

    def end(self, lane: Lane) -> EpochMetrics:
        """Wait for the epoch, and return what was measured."""
        assert self._validation is not None
        with self._at_work():
            # Here is the one wait: what was measured is copied to the host at once.
            return measure(lane, self._trained, self._validation, self._scratch)

    def _train(self) -> None:
        if self._graph is not None:
            self._graph.replay()
            return
        self._trained.copy_(train_epoch(self._memory))
        if self._stream is not None:
            self._graph = self._capture()

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # Other slots may be at work on their own streams, and allocate.
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            self._trained.copy_(train_epoch(self._memory))
        finally:
            graph.capture_end()
        return graph

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Have what is launched go to the slot's own stream."""
        if self._stream is None:
            yield
            return
        with torch.cuda.device(self._stream.device), torch.cuda.stream(self._stream):
            yield


def _open_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
