"""A place for one training at a time: memory, a stream, and the epoch as a graph."""

import weakref

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
    captured after it, and from then on one launch is an epoch, whatever lane comes.
    """

    def __init__(self, lane: Lane, kind: Kind) -> None:
        self.kind = kind
        self._memory: Memory = open_memory(lane, kind)
        self._owner = weakref.ref(lane)
        self._scratch = Scratch(lane.device.torch)
        self._stream = torch.cuda.Stream(lane.device.torch)  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._trained = lane.parameters.first.new_zeros(3, dtype=torch.float64)
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
        device = lane.device.torch
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.device(device), torch.cuda.stream(self._stream):
            write(self._memory.table, lane)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._trained.copy_(train_epoch(self._memory))
                self._graph = self._capture()
            self._validation = read_losses(lane, lane.data.validation, self._scratch)

    def end(self, lane: Lane) -> EpochMetrics:
        """Wait for the epoch, and return what was measured."""
        assert self._validation is not None
        with torch.cuda.device(lane.device.torch), torch.cuda.stream(self._stream):
            # Here is the one wait: what was measured is copied to the host at once.
            return measure(lane, self._trained, self._validation, self._scratch)

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # Other slots may be at work on their own streams, and allocate.
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            self._trained.copy_(train_epoch(self._memory))
        finally:
            graph.capture_end()
        return graph
