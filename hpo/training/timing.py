"""Forecasting a training: its time, from a few timed steps on this device, and its memory."""

import time
from itertools import islice, pairwise
from statistics import fmean
from typing import Final

import torch

from hpo.config import Optimizer, TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import battery
from hpo.training.cohort import open_cohort, train_steps
from hpo.training.device import Device, one_thread
from hpo.training.lane import Lane, open_lane, read_losses
from hpo.training.lane_data import Images
from hpo.training.layout import Scratch
from hpo.training.memory import (
    EVALUATION_PIXELS,
    memory_explained,
    n_weights,
    use_huge_pages,
)
from hpo.training.progress import STRESS_EVERY
from hpo.training.stack import run_epoch

FOLD: Final = 0
"""The fold whose images are timed."""

# Tensors the size of the weights: what each optimizer remembers between steps.
_N_MOMENTS: Final[dict[Optimizer, int]] = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}


def seconds_per_epoch(
    data: TrainingData, config: TrainingConfig, *, device: Device, max_seconds: float = 1.0
) -> float:
    """Forecast the seconds of a training alone in a stack, divided by its epochs.

    An epoch trains all steps and reads the validation images; opening the lane and reading the
    result are shared out among the epochs. About `max_seconds` are spent on timed steps.

    Raises:
        TrainingError: a batch is larger than the training images of the fold.
        OutOfMemoryError: there is too little memory.
    """
    use_huge_pages()
    with memory_explained(config, device), one_thread():
        fold = Images(data, device).place(config, FOLD)
        start = _now(device)
        lane = open_lane(config, fold, seed=0, device=device)
        opening = _now(device) - start
        scratch = Scratch(device.torch)
        per_image = _time_reading(lane, scratch)
        if device.type == "cpu":
            training = _time_training(lane, scratch, max_seconds)
        else:
            training = _time_epoch(lane, scratch) - per_image * len(fold.validation)
    n_validation, n_train = len(fold.validation), len(fold.train)
    reading_result = per_image * (n_train + n_validation + len(fold.test))
    reading_stress = per_image * n_validation * len(fold.under_changes())
    # After every so many epochs, and with the kept weights where those are of another epoch.
    n_stress = -(-config.epochs // STRESS_EVERY)
    per_epoch = training + per_image * n_validation
    return per_epoch + (opening + reading_result + reading_stress * n_stress) / config.epochs


def memory_bytes(
    data: TrainingData, config: TrainingConfig, *, device: Device, n_lanes: int, n_processes: int
) -> int:
    """Estimate the peak memory of so many trainings at a time, in so many processes.

    Pixels, which processes share; weights, moments and a batch of every lane; what the steps of a
    process work with. What Python and torch take before any training is not in it.
    """
    n_pixels = config.image_size**2
    n_changes = len(battery.names()) if data.is_stressed else 0
    images = ((1 + n_changes) * data.n_pool + data.n_test) * n_pixels
    first_layer = n_pixels * config.hidden[0]
    factor = device.factor_dtype.itemsize
    # A batch is uint8 and converted; augmentation adds float images and a grid.
    is_changed = config.is_warped or config.augment_exposure > 0
    batch = config.batch_size * n_pixels * (24 if is_changed else factor)
    masks = data.n_pool * sum(config.hidden)
    lane = _state_bytes(config) + batch + masks
    # The gradient; with bf16 factors also those, and the gradient before it is widened.
    step = first_layer * (4 if factor == 4 else 4 + 2 * factor)
    reading = min(EVALUATION_PIXELS, images) * 5
    return images + n_lanes * lane + n_processes * (step + reading)


def _time_training(lane: Lane, scratch: Scratch, max_seconds: float) -> float:
    """Time the first step, which draws the epoch's order and dropout, and some of the others."""
    list(islice(train_steps(open_cohort([lane], scratch)), 3))
    n_steps = -(-len(lane.data.train) // lane.config.batch_size)
    laps = [_now(lane.device)]
    for _ in train_steps(open_cohort([lane], scratch)):
        laps.append(_now(lane.device))
        if laps[-1] - laps[0] > max_seconds:
            break
    times = [later - earlier for earlier, later in pairwise(laps)]
    # The mean and not the median: on a busy machine a real epoch has slow steps too.
    return times[0] + (n_steps - 1) * fmean(times[1:] or times)


def _time_epoch(lane: Lane, scratch: Scratch) -> float:
    """Time an epoch and its reading on a GPU, where steps cannot be told apart.

    The first epochs also load kernels.
    """
    for _ in range(3):
        start = _now(lane.device)
        run_epoch([lane], scratch)
        seconds = _now(lane.device) - start
    return seconds


def _time_reading(lane: Lane, scratch: Scratch) -> float:
    """Return the seconds that reading one image takes."""
    some = lane.data.validation[:256]
    times = []
    for _ in range(3):
        start = _now(lane.device)
        read_losses(lane, some, scratch)
        times.append(_now(lane.device) - start)
    return fmean(times[1:]) / len(some)


def _state_bytes(config: TrainingConfig) -> int:
    n_copies = 1 + _N_MOMENTS[config.optimizer] + (1 if config.early_stopping else 0)
    return 4 * n_weights(config) * n_copies


def _now(device: Device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device.torch)
    return time.perf_counter()
