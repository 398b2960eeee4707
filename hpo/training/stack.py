"""The stacked engine: many lanes at once, each bitwise equal to training it alone.

Lanes with the same shapes and operations train together, in cohorts. The results of a lane do not
depend on the others. A stack of one is the same code, and so is a stack on a GPU. This module also
estimates the time and memory of a training, from a few timed steps on this device.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from statistics import fmean
from typing import Final

import torch
from torch import Tensor

from hpo.config import TrainingConfig
from hpo.data.dataset import N_FOLDS, TrainingData
from hpo.errors import TrainingError
from hpo.training import custom, stress
from hpo.training.cohort import kind_of, open_cohort, train_epoch, train_steps
from hpo.training.device import EVALUATION_PIXELS, Device, computing, use_huge_pages
from hpo.training.engine import Epoch, LaneEpoch, TrainingResult, result_of
from hpo.training.images import Images
from hpo.training.lane import AnyLane, measure_epoch, open_lane, read_losses, read_result
from hpo.training.layers import Scratch
from hpo.training.machine import lane_bytes
from hpo.training.progress import STRESS_EVERY, note_epoch, root_of

FOLD: Final = 0
"""The fold whose images are timed."""

# The total size of finished trainings that may be extended, in bytes.
_MOST_IDLE: Final = 1 << 30


def open_stack(data: TrainingData, *, device: Device, joins: bool = False) -> "StackedStack":
    """Open the engine on this data, without a lane.

    `joins`: lanes that differ only in their epochs are one training, evaluated at several epochs,
    if the schedule does not depend on the number of epochs.
    """
    use_huge_pages()
    return StackedStack(data, device, joins=joins)


@dataclass
class _Member:
    """A lane of the interface: its training, its last epoch, and the number of epochs returned."""

    lane: AnyLane
    config: TrainingConfig
    n_returned: int = 0


class StackedStack:
    """Trains its lanes cohort by cohort; see `hpo.training.engine.Stack`."""

    def __init__(self, data: TrainingData, device: Device, *, joins: bool = False) -> None:
        self._device = device
        self._scratch = Scratch(device.torch)
        self._joins = joins
        self._images = Images(data, device)
        self._live: dict[int, _Member] = {}
        self._results: dict[int, TrainingResult | TrainingError] = {}
        self._roots: dict[tuple[str, int, int], AnyLane] = {}
        self._n_added = 0

    @property
    def lanes(self) -> tuple[int, ...]:
        return tuple(self._live)

    def add(self, config: TrainingConfig, *, seed: int, fold: int) -> int:
        """Start a training, or join one that has started and can be extended."""
        root = root_of(config) if self._joins else None
        lane = self._roots.get((root, seed, fold)) if root else None
        if lane is None or lane.progress.epoch > config.epochs:
            with computing(config, self._device):
                # All trainings share the images, so the time to load them is not counted.
                data = self._images.place(config, fold)
                start = time.perf_counter()
                device, scratch = self._device, self._scratch
                lane = open_lane(config, data, seed=seed, device=device, scratch=scratch)
            lane.progress.seconds += time.perf_counter() - start
        elif config.epochs > lane.config.epochs:
            lane.progress.prolong(config)
        if root:
            self._roots[root, seed, fold] = lane
        self._n_added += 1
        self._live[self._n_added] = _Member(lane, config)
        return self._n_added

    def step(self) -> list[LaneEpoch]:
        # Collect lanes that joined at their last epoch before their training continues for others.
        done = self._collect()
        # A training runs once, even if several lanes wait for it.
        self._train({id(member.lane): member.lane for member in self._live.values()}.values())
        return done + self._collect()

    def drop(self, lane: int) -> None:
        self._live.pop(lane, None)
        self._results.pop(lane, None)
        self._remove_idle()

    def result(self, lane: int) -> TrainingResult:
        return result_of(self._results.pop(lane))

    def close(self) -> None:
        for state in (self._live, self._results, self._roots):
            state.clear()
        self._images.clear()
        self._scratch.clear()

    def _train(self, lanes: Iterable[AnyLane]) -> None:
        """Train lanes for their next epoch, evaluate their validation images, and record both.

        Custom models train one after another.
        """
        cohorts: dict[tuple[object, ...], list[AnyLane]] = {}
        for lane in sorted(lanes, key=lambda lane: -len(lane.data.train)):
            cohorts.setdefault(kind_of(lane), []).append(lane)
        measured: list[tuple[AnyLane, Epoch]] = []
        for cohort in cohorts.values():
            with computing(cohort[0].config, self._device):
                try:
                    measured += zip(cohort, run_epoch(cohort), strict=True)
                except TrainingError as error:  # From a custom model, alone in its cohort.
                    cohort[0].progress.error = error
        for lane, metrics in measured:
            if note_epoch(lane.progress, metrics):
                with computing(lane.config, self._device):
                    lane.keep()

    def _collect(self) -> list[LaneEpoch]:
        """Return the new epochs of all lanes; collect the results of finished ones."""
        done = []
        for number, member in list(self._live.items()):
            lane, epochs = member.lane, member.lane.progress.epochs
            new = range(member.n_returned, len(epochs))
            done += [LaneEpoch(number, index + 1, epochs[index]) for index in new]
            member.n_returned = len(epochs)
            error = lane.progress.error
            if error or lane.progress.is_stopped or len(epochs) >= member.config.epochs:
                with computing(lane.config, self._device):
                    try:
                        self._results[number] = error or read_result(lane)
                    except TrainingError as failure:
                        self._results[number] = failure
                del self._live[number]
                self._remove_idle()
        return done

    def _remove_idle(self) -> None:
        """Remove trainings without a lane, oldest first, if they take too much memory."""
        live, n_bytes = {id(member.lane) for member in self._live.values()}, 0
        for root, lane in reversed(list(self._roots.items())):
            if id(lane) not in live:
                n_bytes += lane_bytes(lane.config)
                if n_bytes > _MOST_IDLE:
                    del self._roots[root]


def run_epoch(lanes: Sequence[AnyLane]) -> list[Epoch]:
    """Train lanes of one kind for an epoch and evaluate their validation images.

    The time is split evenly among the lanes.
    """
    start = time.perf_counter()
    sums = _train_epoch(lanes)
    metrics = [measure_epoch(*pair) for pair in zip(lanes, sums, strict=True)]
    for lane in lanes:
        lane.progress.seconds += (time.perf_counter() - start) / len(lanes)
    return metrics


def _train_epoch(lanes: Sequence[AnyLane]) -> list[Tensor]:
    if not lanes[0].config.model:
        return train_epoch(lanes)
    return [torch.stack(list(custom.train_steps(lane))).sum(0) for lane in lanes]


def seconds_per_epoch(
    data: TrainingData, config: TrainingConfig, *, device: Device, max_seconds: float = 1.0
) -> float:
    """Forecast the seconds of a training alone in a stack, divided by its epochs.

    An epoch trains all steps and evaluates the validation images; the time to open the lane and to
    compute the result is distributed over the epochs. About `max_seconds` are spent on timed
    steps. Raises the errors of adding and training a lane.
    """
    use_huge_pages()
    with computing(config, device):
        fold, scratch = Images(data, device).place(config, FOLD), Scratch(device.torch)
        start = _now(device)
        lane = open_lane(config, fold, seed=0, device=device, scratch=scratch)
        opening = _now(device) - start
        training = _time_training(lane, max_seconds)  # First: an estimator must be fitted.
        some = lane.data.validation[:256]
        timed = (device, read_losses, lane, lane.scored_and_other[0], some)
        reading = fmean([_seconds(*timed) for _ in range(3)][1:]) / len(some)  # Of one image.
    # Changed images are evaluated every STRESS_EVERY epochs, and with the kept weights if those
    # are from another epoch.
    n_readings = config.epochs + 1 + len(fold.under_changes()) * -(-config.epochs // STRESS_EVERY)
    n_read = len(fold.train) + len(fold.test) + len(fold.validation) * n_readings
    return training + (opening + reading * n_read) / config.epochs


def memory_bytes(
    data: TrainingData, config: TrainingConfig, *, device: Device, n_lanes: int, n_processes: int
) -> int:
    """Estimate the peak memory of this many parallel trainings, in this many processes.

    It includes pixels, which processes share; weights, moments and a batch of every lane; and the
    buffers of the steps of a process. The memory of Python and torch before training is excluded.
    """
    n_pixels, factor = config.image_size**2, device.factor_dtype.itemsize
    n_changes = len(stress.names()) if data.is_stressed else 0
    images = ((1 + n_changes) * data.n_pool + data.n_test) * n_pixels
    if config.align != "none":  # Each fold has its own; changed ones only for validation.
        n_validation = n_changes * len(data.fold(FOLD).validation)
        n_folds = min(n_lanes, N_FOLDS)
        images += n_folds * (data.n_pool + data.n_test + n_validation) * n_pixels
    lane = lane_bytes(config, factor_bytes=factor)
    if config.model:
        return images + n_lanes * lane
    lane += data.n_pool * sum(config.hidden)
    # The gradient; with bf16 also the factors, and the gradient before it is widened.
    step = n_pixels * config.hidden[0] * (4 if factor == 4 else 4 + 2 * factor)
    reading = min(EVALUATION_PIXELS, images) * 5
    return images + n_lanes * lane + n_processes * (step + reading)


def _time_training(lane: AnyLane, max_seconds: float) -> float:
    """Time the first step, which draws the epoch's order and dropout, and some of the others."""
    if lane.device.type != "cpu":
        # Steps of a GPU cannot be timed one by one; the first epochs also load kernels.
        return [_seconds(lane.device, _train_epoch, [lane]) for _ in range(3)][-1]
    list(islice(_steps(lane), 3))
    laps = [_now(lane.device)]
    for _ in _steps(lane):
        laps.append(_now(lane.device))
        if laps[-1] - laps[0] > max_seconds:
            break
    times = [later - earlier for earlier, later in pairwise(laps)]
    n_further = -(-len(lane.data.train) // lane.config.batch_size) - 1
    # The mean, not the median, because on a busy machine real epochs have slow steps too.
    return times[0] + n_further * fmean(times[1:] or times)


def _steps(lane: AnyLane) -> Iterator[object]:
    return custom.train_steps(lane) if lane.config.model else train_steps(open_cohort([lane]))


def _seconds(device: Device, do: Callable[..., object], *arguments: object) -> float:
    start = _now(device)
    do(*arguments)
    return _now(device) - start


def _now(device: Device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device.torch)
    return time.perf_counter()
