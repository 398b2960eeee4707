"""Forecasting a training: its time, from a few timed steps on this device, and its memory."""

import time
from itertools import islice, pairwise
from statistics import fmean
from typing import Final

import torch

from hpo.config import Optimizer, TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.device import Device, one_thread
from hpo.training.lane import Lane, open_lane, read_losses, train_steps
from hpo.training.lane_data import check_fits, place_fold, place_pixels
from hpo.training.memory import EVALUATION_PIXELS, memory_explained, n_weights
from hpo.training.optimizers import warm_up

# Tensors the size of the weights: what each optimizer remembers between steps.
_N_MOMENTS: Final[dict[Optimizer, int]] = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}


def seconds_per_epoch(
    data: TrainingData, config: TrainingConfig, *, device: Device, max_seconds: float = 1.0
) -> float:
    """Forecast the seconds of a training of the readable engine, divided by its epochs.

    An epoch trains all steps and reads the validation images; opening the lane and reading the
    result are shared out among the epochs. About `max_seconds` are spent on timed steps.

    Raises:
        TrainingError: a batch is larger than the training images of the fold.
        DeviceError: there is too little memory.
    """
    check_fits(data, config, 0)
    warm_up()
    with memory_explained(config, device), one_thread():
        fold = place_fold(data, 0, pixels=place_pixels(data, config.image_size, device=device))
        start = _now(device)
        lane = open_lane(config, fold, seed=0, device=device)
        opening = _now(device) - start
        training = _time_training(lane, max_seconds)
        per_image = _time_reading(lane)
    n_validation, n_train = len(fold.validation), len(fold.train)
    reading_result = per_image * (n_train + n_validation + len(fold.test))
    per_epoch = training + per_image * n_validation
    return per_epoch + (opening + reading_result) / config.epochs


def memory_bytes(data: TrainingData, config: TrainingConfig, *, device: Device) -> int:
    """Estimate the peak memory of one training: pixels, weights, moments, the largest batch.

    What Python and torch take before any training is not in it.
    """
    n_pixels = config.image_size**2
    images = (data.n_pool + data.n_test) * n_pixels
    n_values = 2 if device.precision == "bf16" else 4
    evaluated = min(EVALUATION_PIXELS, images)
    # A batch is uint8 and, converted, bf16 or float32; augmentation adds float images and a grid.
    is_warped = config.augment_pose > 0 or config.augment_exposure > 0
    trained = config.batch_size * n_pixels * (24 if is_warped else 1 + n_values)
    masks = data.n_pool * sum(config.hidden)
    return images + _weight_bytes(config, device) + masks + max(evaluated * 5, trained)


def _time_training(lane: Lane, max_seconds: float) -> float:
    """Time the first step, which draws the epoch's order and dropout, and some of the others."""
    list(islice(train_steps(lane, 0), 3))
    n_steps = -(-len(lane.data.train) // lane.config.batch_size)
    steps = train_steps(lane, 0)
    laps = [_now(lane.device)]
    for _ in steps:
        laps.append(_now(lane.device))
        if laps[-1] - laps[0] > max_seconds:
            break
    times = [later - earlier for earlier, later in pairwise(laps)]
    # The mean and not the median: on a busy machine a real epoch has slow steps too.
    return times[0] + (n_steps - 1) * fmean(times[1:] or times)


def _time_reading(lane: Lane) -> float:
    """Return the seconds that reading one image takes."""
    some = lane.data.validation[:256]
    times = []
    for _ in range(3):
        start = _now(lane.device)
        read_losses(lane, some)
        times.append(_now(lane.device) - start)
    return fmean(times[1:]) / len(some)


def _weight_bytes(config: TrainingConfig, device: Device) -> int:
    n_copies = 2 + _N_MOMENTS[config.optimizer] + (1 if config.early_stopping else 0)
    first_layer = config.image_size**2 * config.hidden[0]
    # bf16 copies of the first layer's weights and gradient live for the length of a step.
    casts = 2 * 2 * first_layer if device.precision == "bf16" else 0
    return 4 * n_weights(config) * n_copies + casts


def _now(device: Device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device.torch)
    return time.perf_counter()
