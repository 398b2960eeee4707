"""The contenders in the benchmark of the stack: every way to train, as one function to time."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.competent import (
    open_captured_loop,
    open_competent_loop,
    open_ensemble,
    place_images,
    run_captured_epoch,
    run_competent_epoch,
    run_ensemble_epoch,
)
from benchmarks.report_loop import ReportLoop, open_report_loop, run_report_epoch
from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack
from hpo.training.device import Device
from hpo.training.engine import LaneEpoch, Stack
from hpo.training.pool import Pool
from hpo.training.processes import Processes

LOOP = "reports' loop"
COMPETENT = "competent loop"
ENSEMBLE = "vmap"
STACK = "stack"

LANES_PER_PROCESS = 4
_EPOCHS_OF_PROCESSES = 3


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The settings of a measurement; `grid` is repeats and epochs of the whole command."""

    path: Path
    data: TrainingData
    device: Device
    config: TrainingConfig
    rounds: int
    lanes: tuple[int, ...]
    grid: tuple[int, int]

    @property
    def n_cores(self) -> int:
        """The cores that all contenders share."""
        return len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class Contender:
    """`run` runs a number of trainings for a number of epochs and returns their mean accuracy."""

    run: Callable[[], float]
    n_threads: int = 1
    n_processes: int = 1
    n_trainings: int = 1
    n_epochs: int = 1


@contextmanager
def open_contenders(setting: Setting) -> Iterator[Mapping[str, Contender]]:
    """Open all contenders that the device supports, slowest first; a study uses the last one."""
    contenders = _loops(setting) | _ensembles(setting)
    if setting.device.type == "cuda":
        contenders |= _captured(setting)
    for n_lanes in (1, 8) if setting.device.type == "cpu" else (1, 32, 8):
        contenders[f"{STACK} of {n_lanes}"] = _engine(open_stack(setting), setting, n_lanes)
    if setting.device.type != "cpu":
        yield contenders
        return
    n = setting.n_cores
    with closing(open_stack(setting, n)) as stack:
        engine = _engine(stack, setting, n * LANES_PER_PROCESS, _EPOCHS_OF_PROCESSES)
        name = f"{STACK} of {n} x {LANES_PER_PROCESS}"
        yield contenders | {name: replace(engine, n_processes=n)}


def take_time(contender: Contender, device: Device) -> tuple[float, float]:
    """Return milliseconds per epoch and training, and the accuracy after it."""
    torch.set_num_threads(contender.n_threads)
    start = now(device)
    accuracy = contender.run()
    seconds = now(device) - start
    return 1000 * seconds / (contender.n_trainings * contender.n_epochs), accuracy


def now(device: Device) -> float:
    """Return the time in seconds once the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device.torch)
    return time.perf_counter()


def open_stack(setting: Setting, n_processes: int = 0) -> Stack:
    """Open the stacked engine, in several processes if requested."""
    if not n_processes:
        return stack.open_stack(setting.data, device=setting.device)
    return Pool(Processes(setting.data, setting.device, n_processes=n_processes))


def add_lane(stack: Stack, config: TrainingConfig, repeat: int) -> int:
    """Start a repeat like a study, each with its own seed and fold; return its lane."""
    return stack.add(config, seed=repeat, fold=repeat)


def train_epochs(stack: Stack, n_epochs: int) -> list[LaneEpoch]:
    """Step until the lanes have trained this many epochs on average: processes do not wait."""
    done: list[LaneEpoch] = []
    while len(done) < n_epochs * len(stack.lanes):
        done += stack.step()
    return done


def open_loop(setting: Setting, config: TrainingConfig) -> ReportLoop:
    """Return the reports' loop; with a GPU it copies every batch there, like theirs."""
    loop, device = open_report_loop(setting.data, config), setting.device
    if device.type == "cpu":
        return loop
    loop.model.to(device.torch)
    return replace(
        loop,
        train=_OnDevice(loop.train, device),
        validation=_OnDevice(loop.validation, device),
    )


class _OnDevice:
    """A loader whose batches are copied to the device one by one."""

    def __init__(self, loader: DataLoader[tuple[Tensor, ...]], device: Device) -> None:
        self._loader = loader
        self._device = device
        self.dataset = loader.dataset

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for batch in self._loader:
            yield tuple(tensor.to(self._device.torch) for tensor in batch)


def _loops(setting: Setting) -> dict[str, Contender]:
    config, device, n = setting.config, setting.device, setting.n_cores
    loop = open_loop(setting, config)
    contenders = {
        LOOP: Contender(run=lambda: run_report_epoch(loop), n_threads=n),
    }
    if device.type == "cpu":
        contenders[f"{LOOP}, one thread"] = Contender(run=lambda: run_report_epoch(loop))
    # Which one is faster depends on the machine.
    for dtype in (torch.bfloat16, torch.uint8):
        images = place_images(setting.data, config.image_size, device=device, dtype=dtype)
        one = open_competent_loop(images, config, device=device)
        name = f"{COMPETENT}, {str(dtype).removeprefix('torch.')} images"
        contenders[name] = Contender(run=lambda one=one: run_competent_epoch(one), n_threads=n)
        if dtype == torch.bfloat16 and device.type == "cpu":
            contenders[f"{name}, one thread"] = replace(contenders[name], n_threads=1)
    return contenders


def _ensembles(setting: Setting) -> dict[str, Contender]:
    config, device = setting.config, setting.device
    contenders = {}
    dtype = device.factor_dtype
    for n in (4, 8):
        images = place_images(
            setting.data, config.image_size, device=device, dtype=dtype, n_trainings=n
        )
        ensemble = open_ensemble(images, config, device=device)
        contenders[f"{ENSEMBLE} of {n}"] = Contender(
            run=lambda ensemble=ensemble: run_ensemble_epoch(ensemble),
            n_threads=setting.n_cores,
            n_trainings=n,
        )
    return contenders


def _captured(setting: Setting) -> dict[str, Contender]:
    config, device = setting.config, setting.device
    images = place_images(setting.data, config.image_size, device=device, dtype=torch.bfloat16)
    one = open_captured_loop(images, config, device=device)
    return {f"{COMPETENT}, a CUDA graph a step": Contender(run=lambda: run_captured_epoch(one))}


def _engine(stack: Stack, setting: Setting, n_lanes: int, n_epochs: int = 1) -> Contender:
    for repeat in range(n_lanes):
        add_lane(stack, setting.config, repeat)

    def run() -> float:
        done = train_epochs(stack, n_epochs)
        return fmean(told.metrics.validation["accuracy"] for told in done[-n_lanes:])

    return Contender(run=run, n_trainings=n_lanes, n_epochs=n_epochs)
