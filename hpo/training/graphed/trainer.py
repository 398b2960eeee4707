"""Trains lanes side by side on a GPU; see `hpo.training.stacked.trainer.Trainer`."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import torch

from hpo.training.device import Device
from hpo.training.engine import EpochMetrics, TrainingResult
from hpo.training.graphed.kind import kind_of
from hpo.training.graphed.slot import Slot
from hpo.training.memory import memory_explained
from hpo.training.stacked.lane import Lane
from hpo.training.stacked.trainer import CohortTrainer

# What slots without a lane may hold in all, in bytes: a kind that comes again finds its graph.
_MOST_IDLE: Final = 4 << 30


class GraphedTrainer:
    """Gives every lane a slot, has all train at once, and then waits for one after another."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._slots: list[Slot] = []
        self._others = CohortTrainer(device)

    def train(self, lanes: Sequence[Lane]) -> list[EpochMetrics]:
        """Train lanes for their next epoch and read their validation images.

        The time is shared out evenly among the lanes. What no kernel serves goes the general way.
        """
        served = [lane for lane in lanes if kind_of(lane).is_served]
        others = [lane for lane in lanes if not kind_of(lane).is_served]
        measured = dict(zip(map(id, served), self._train_served(served), strict=True))
        measured |= zip(map(id, others), self._others.train(others), strict=True)
        return [measured[id(lane)] for lane in lanes]

    def read_result(self, lane: Lane) -> TrainingResult:
        """Return what a training leaves behind."""
        return self._others.read_result(lane)

    def clear(self) -> None:
        """Give the memory back."""
        # A GPU that is gone has nothing under way, and says so by an error.
        if self._device.type == "cuda":
            with suppress(RuntimeError):
                torch.cuda.synchronize(self._device.torch)
        self._slots.clear()
        self._others.clear()

    def _train_served(self, lanes: Sequence[Lane]) -> list[EpochMetrics]:
        start = time.perf_counter()
        slots = []
        for lane in lanes:
            with memory_explained(lane.config, self._device):
                slots.append(self._slot_of(lane))
                slots[-1].begin(lane)
        metrics = []
        for lane, slot in zip(lanes, slots, strict=True):
            with memory_explained(lane.config, self._device):
                metrics.append(slot.end(lane))
        for lane in lanes:
            lane.progress.seconds += (time.perf_counter() - start) / len(lanes)
        return metrics

    def _slot_of(self, lane: Lane) -> Slot:
        """Return the slot of a lane: its own, a free one of its kind, or a new one."""
        own = next((slot for slot in self._slots if slot.has(lane)), None)
        if own is not None:
            return own
        kind = kind_of(lane)
        free = next((slot for slot in self._slots if slot.is_free and slot.kind == kind), None)
        if free is not None:
            free.enter(lane)
        else:
            self._forget_idle()
            free = Slot(lane, kind)
            self._slots.append(free)
        return free

    def _forget_idle(self) -> None:
        """Forget slots without a lane, the oldest first, as far as they take much memory."""
        idle = [slot for slot in self._slots if slot.is_free]
        n_bytes = sum(slot.n_bytes for slot in idle)
        for slot in idle:
            if n_bytes <= _MOST_IDLE:
                break
            n_bytes -= slot.n_bytes
            self._slots.remove(slot)
