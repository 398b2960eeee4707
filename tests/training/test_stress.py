"""What is measured under the stress battery: by every engine, alone and together, to the bit."""

from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training import battery, processes
from hpo.training.device import Device
from hpo.training.engine import TrainingResult
from hpo.training.metrics import accuracy
from hpo.training.model import compute_logits, plain_model
from hpo.training.processes import Spread
from hpo.training.progress import STRESS_EVERY
from hpo.training.stack import open_stack
from tests.training import oracle
from tests.training.together import (
    Job,
    assert_bitwise_equal,
    train_alone,
    train_together,
)

EXACT = Device("cpu", "fp64")
CONFIG = TrainingConfig(
    image_size=16, hidden=(8,), batch_size=16, epochs=2 * STRESS_EVERY, learning_rate=0.01
)
JOBS = [
    Job(CONFIG),
    Job(CONFIG.replace(learning_rate=0.1, dropout=0.0), seed=5, fold=2),
    Job(CONFIG.replace(epochs=3)),
]


@pytest.fixture
def data(
    make_data: Callable[[int, int], TrainingData], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> TrainingData:
    monkeypatch.setenv("HPO_CACHE", str(tmp_path))
    return replace(make_data(60, 40), is_stressed=True)


def stress_of(result: TrainingResult) -> list[object]:
    """Return everything that was measured under stress."""
    per_epoch = [epoch.stress and astuple(epoch.stress) for epoch in result.epochs]
    return [*per_epoch, {name: astuple(metrics) for name, metrics in result.stress.items()}]


def test_nothing_is_measured_where_it_is_not_asked_for(data: TrainingData, device: Device) -> None:
    plain = train_alone(replace(data, is_stressed=False), JOBS[0], device)
    under_stress = train_alone(data, JOBS[0], device)
    assert not plain.stress
    assert all(epoch.stress is None for epoch in plain.epochs)
    assert_bitwise_equal(plain, under_stress)


def test_it_is_measured_every_tenth_epoch_and_with_the_kept_weights(
    data: TrainingData, device: Device
) -> None:
    result = train_alone(data, JOBS[0], device)
    measured = [n for n, epoch in enumerate(result.epochs, start=1) if epoch.stress]
    assert measured == [STRESS_EVERY, 2 * STRESS_EVERY]
    assert tuple(result.stress) == battery.names()
    last = result.epochs[-1].stress
    assert last is not None
    assert last.accuracy == fmean(metrics.accuracy for metrics in result.stress.values())
    assert tuple(train_alone(data, JOBS[2], device).stress) == battery.names()


@pytest.mark.parametrize("config", [CONFIG, CONFIG.replace(early_stopping=3, learning_rate=0.3)])
def test_the_exported_weights_give_the_same_under_every_change(
    data: TrainingData, config: TrainingConfig
) -> None:
    result = train_alone(data, Job(config), EXACT)
    network = plain_model(config)
    network.load_state_dict({n: torch.from_numpy(w.copy()) for n, w in result.weights.items()})
    network.eval()
    images = data.fold(1).validation
    for name, changed in zip(battery.names(), battery.changed_pixels(data, 16), strict=True):
        pixels = torch.from_numpy(changed[images].reshape(len(images), -1))
        with torch.no_grad():
            p = torch.sigmoid(compute_logits(network, pixels, config))[:, 0].double().numpy()
        assert result.stress[name].accuracy == accuracy(p, data.labels[images])
        expected = np.mean((p - data.labels[images]) ** 2)
        assert result.stress[name].brier == pytest.approx(expected, abs=1e-5)


def test_a_lane_of_a_stack_measures_what_it_measures_alone(
    data: TrainingData, device: Device
) -> None:
    together = train_together(open_stack(data, device=device), JOBS)
    for job, found in zip(JOBS, together, strict=True):
        assert stress_of(found) == stress_of(train_alone(data, job, device))


def test_joined_trainings_measure_what_each_measures_alone(
    data: TrainingData, device: Device
) -> None:
    jobs = [Job(CONFIG), Job(CONFIG.replace(epochs=3)), Job(CONFIG.replace(epochs=13))]
    joined = train_together(open_stack(data, device=device, joins=True), jobs)
    for job, found in zip(jobs, joined, strict=True):
        assert stress_of(found) == stress_of(train_alone(data, job, device))


def test_processes_measure_what_one_process_measures(data: TrainingData) -> None:
    device = Device("cpu", "fp32")
    stack = processes.open_stack(data, device=device, spread=Spread(n_processes=2))
    try:
        spread = train_together(stack, JOBS)
    finally:
        stack.close()
    for job, found in zip(JOBS, spread, strict=True):
        assert stress_of(found) == stress_of(train_alone(data, job, device))


def test_the_oracle_measures_the_same(data: TrainingData) -> None:
    job = JOBS[0]
    found = train_alone(data, job, oracle.EXACT)
    expected = oracle.train(job.config, data, seed=job.seed, fold=job.fold)
    for name in battery.names():
        numbers, others = astuple(found.stress[name]), astuple(expected.stress[name])
        assert numbers == pytest.approx(others, abs=1e-6)
