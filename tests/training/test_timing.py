import itertools

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import TrainingError
from hpo.training import timing
from hpo.training.device import Device
from hpo.training.timing import memory_bytes, seconds_per_epoch

CONFIG = TrainingConfig(image_size=16, hidden=(8,), epochs=4, batch_size=20)


def test_the_parts_of_an_epoch_add_up(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    # A clock that goes one second at every look: opening, each step and each reading take one.
    clock = itertools.count()
    monkeypatch.setattr(timing, "_now", lambda _device: float(next(clock)))
    seconds = seconds_per_epoch(data, CONFIG, device=cpu, max_seconds=1e9)
    # Four steps, a reading of the 20 validation images; a fourth of the opening and of the result,
    # which reads all 120 images.
    assert seconds == pytest.approx(4 + 1 + (1 + 6) / 4)


def test_a_long_epoch_is_timed_in_part(
    monkeypatch: pytest.MonkeyPatch, data: TrainingData, cpu: Device
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(timing, "_now", lambda _device: float(next(clock)))
    config = CONFIG.replace(batch_size=2)
    seconds = seconds_per_epoch(data, config, device=cpu, max_seconds=3)
    assert seconds == pytest.approx(40 + 1 + (1 + 6) / 4)
    assert next(clock) < 20


def test_a_forecast_is_above_zero(data: TrainingData, device: Device) -> None:
    assert 0 < seconds_per_epoch(data, CONFIG, device=device, max_seconds=0.01) < 10


def test_a_batch_that_does_not_fit_has_no_forecast(data: TrainingData, cpu: Device) -> None:
    with pytest.raises(TrainingError, match="batch_size 81"):
        seconds_per_epoch(data, CONFIG.replace(batch_size=81), device=cpu)


def test_memory_counts_pixels_weights_gradients_and_moments(
    data: TrainingData, cpu: Device
) -> None:
    config = CONFIG.replace(image_size=256, hidden=[512], dropout=0.0)
    pixels, weights = 120 * 256**2, 4 * 256**2 * 512
    found = memory_bytes(data, config, device=cpu, n_lanes=1, n_processes=1)
    assert pixels + 4 * weights < found < 2 * pixels + 4 * weights + 5 * 120 * 256**2
    sgd = config.replace(optimizer="sgd")
    less = memory_bytes(data, sgd, device=cpu, n_lanes=1, n_processes=1)
    assert found - less == pytest.approx(weights, rel=1e-3)
    keeping = config.replace(early_stopping=3)
    more = memory_bytes(data, keeping, device=cpu, n_lanes=1, n_processes=1)
    assert more - found == pytest.approx(weights, rel=1e-3)


def test_lanes_share_the_pixels_and_what_a_process_works_with(
    data: TrainingData, cpu: Device
) -> None:
    config = CONFIG.replace(image_size=256, hidden=[512], dropout=0.0)
    weights, batch = 4 * 256**2 * 512, 4 * 20 * 256**2
    one = memory_bytes(data, config, device=cpu, n_lanes=1, n_processes=1)
    two = memory_bytes(data, config, device=cpu, n_lanes=2, n_processes=1)
    assert two - one == pytest.approx(3 * weights + batch, rel=1e-3)
    apart = memory_bytes(data, config, device=cpu, n_lanes=2, n_processes=2)
    # 64 images are read at a time.
    assert apart - two == pytest.approx(weights + 5 * 64 * 256**2, rel=1e-3)
