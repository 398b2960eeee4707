import itertools

import pytest

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import stack
from hpo.training.device import Device
from hpo.training.stack import memory_bytes, seconds_per_epoch

CONFIG = TrainingConfig(image_size=16, hidden=(8,), epochs=4, batch_size=20)


@pytest.mark.parametrize(("batch_size", "n_steps", "most"), [(20, 4, 1e9), (2, 40, 3)])
def test_parts_of_an_epoch_add_up_also_if_only_some_steps_are_timed(
    monkeypatch: pytest.MonkeyPatch,
    data: TrainingData,
    cpu: Device,
    batch_size: int,
    n_steps: int,
    most: float,
) -> None:
    # A clock that advances by one second per call: opening, each step and each reading take one.
    clock = itertools.count()
    monkeypatch.setattr(stack, "_now", lambda _device: float(next(clock)))
    config = CONFIG.replace(batch_size=batch_size)
    seconds = seconds_per_epoch(data, config, device=cpu, max_seconds=most)
    # The steps, a reading of the 20 validation images; a fourth of the opening and of the result,
    # which reads all 120 images.
    assert seconds == pytest.approx(n_steps + 1 + (1 + 6) / 4)
    assert next(clock) < 20


def test_memory_counts_pixels_weights_gradients_and_moments(
    data: TrainingData, cpu: Device
) -> None:
    def memory(n_lanes: int = 1, n_processes: int = 1, **fields: object) -> int:
        config = CONFIG.replace(image_size=256, hidden=[512], dropout=0.0, **fields)
        return memory_bytes(data, config, device=cpu, n_lanes=n_lanes, n_processes=n_processes)

    pixels, weights, batch = 120 * 256**2, 4 * 256**2 * 512, 4 * 20 * 256**2
    one, two = memory(), memory(n_lanes=2)
    assert pixels + 5 * weights < one < 2 * pixels + 5 * weights + 5 * 120 * 256**2
    assert one - memory(optimizer="sgd") == pytest.approx(weights, rel=1e-3)
    assert memory(early_stopping=3) - one == pytest.approx(2 * weights, rel=1e-3)
    # Lanes share the pixels and the buffers of a process: 64 images are read at a time.
    assert two - one == pytest.approx(4 * weights + batch, rel=1e-3)
    apart = memory(n_lanes=2, n_processes=2)
    assert apart - two == pytest.approx(weights + 5 * 64 * 256**2, rel=1e-3)
