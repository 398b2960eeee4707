"""The changes of the stress battery, and metrics under stress, equal to the bit."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.errors import DataError
from hpo.training import stress
from hpo.training.device import Device
from hpo.training.model import compute_logits, plain_model
from hpo.training.progress import STRESS_EVERY
from hpo.training.stack import open_stack
from tests.training import oracle
from tests.training.together import (
    Job,
    as_tensors,
    assert_bitwise_equal,
    make_data,
    train_alone,
    train_together,
)

POSITIONS = torch.arange(6)
GRAY = torch.full((6, 64, 64), 100, dtype=torch.uint8)
SPOT = GRAY.clone()
SPOT[:, 24:40, 24:40] = 200
CONFIG = TrainingConfig(
    image_size=16, hidden=(8,), batch_size=16, epochs=2 * STRESS_EVERY, learning_rate=0.01
)
JOBS = [
    Job(CONFIG.replace(epochs=STRESS_EVERY + 1)),
    Job(CONFIG.replace(learning_rate=0.1, dropout=0.0, epochs=2), seed=5, fold=2),
    Job(CONFIG.replace(epochs=3)),
]


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainingData:
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    return replace(make_data(60, 40), is_stressed=True)


def test_a_change_depends_only_on_the_position() -> None:
    images = torch.randint(0, 256, (6, 32, 32), generator=torch.Generator().manual_seed(1))
    images = images.to(torch.uint8)
    for name in stress.names():
        together = stress.change(images, POSITIONS, name)
        one_by_one = [stress.change(images[[i]], POSITIONS[[i]], name)[0] for i in range(6)]
        assert torch.equal(together, torch.stack(one_by_one)), name
        assert not torch.equal(together, images)


@pytest.mark.parametrize(
    ("name", "across", "along"),
    [("larger", 0.9, 0.9), ("smaller", 1.1, 1.1), ("wider", 0.9, 1.1), ("narrower", 1.1, 0.9)],
)
def test_a_spot_grows_and_shrinks_by_a_tenth(name: str, across: float, along: float) -> None:
    changed = stress.change(SPOT, POSITIONS, name) > 150
    for axis, share in ((1, across), (2, along)):
        assert ((changed.any(axis).sum(1) - 16 / share).abs() <= 1).all()


def test_shifts_differ_and_reach_a_tenth_of_the_side() -> None:
    images = SPOT[:1].expand(200, 64, 64).contiguous()
    moved = (stress.change(images, torch.arange(200), "shifted") > 150).float()
    places = torch.arange(64.0)
    columns, rows = ((moved.sum(k) * places).sum(1) / moved.sum((1, 2)) - 31.5 for k in (1, 2))
    for offsets in (columns, rows):
        assert 5 < offsets.abs().max() < 7
        assert offsets.mean().abs() < 0.7
    assert abs(np.corrcoef(columns, rows)[0, 1]) < 0.25


def test_noise_and_blur_have_their_standard_deviation() -> None:
    noisy = stress.change(GRAY, POSITIONS, "noisy").float()
    assert noisy.std().item() == pytest.approx(0.06 * 255, rel=0.03)
    assert (noisy[0] != noisy[1]).float().mean() > 0.9
    point = torch.zeros(1, 224, 224, dtype=torch.uint8)
    point[0, 112, 112] = 255
    row = stress.change(point, POSITIONS[:1], "blurred")[0, 112].double()
    places = torch.arange(224.0, dtype=torch.float64) - 112
    assert ((row * places**2).sum() / row.sum()).sqrt() == pytest.approx(1.4, rel=0.1)


def test_changed_images_are_cached_and_a_read_only_cache_does_not_matter(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = stress.changed_pixels(data, 16)
    pool = torch.from_numpy(data.pixels_at(16)[:60].copy())
    expected = [stress.change(pool, torch.arange(60), name).numpy() for name in stress.names()]
    assert np.array_equal(found, np.stack(expected))
    with monkeypatch.context() as patch:
        patch.setattr(stress, "change", None)
        assert np.array_equal(stress.changed_pixels(data, 16), found)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "file"))
    assert np.array_equal(stress.changed_pixels(data, 16), found)
    with pytest.raises(DataError, match="image_size=16"):
        stress.changed_pixels(data, 8)


def test_stress_is_measured_every_tenth_epoch_with_exported_weights(data: TrainingData) -> None:
    result = train_alone(data, Job(CONFIG), oracle.EXACT)
    measured = [n for n, epoch in enumerate(result.run.epochs, start=1) if epoch.stress]
    assert measured == list(range(STRESS_EVERY, len(result.run.epochs) + 1, STRESS_EVERY))
    mean = fmean(metrics["accuracy"] for metrics in result.run.stress.values())
    assert result.run.kept.stress["accuracy"] == mean
    network = plain_model(CONFIG)
    network.load_state_dict(as_tensors(result.weights))
    network.eval()
    images = data.fold(1).validation
    assert tuple(result.run.stress) == stress.names()
    for name, changed in zip(stress.names(), stress.changed_pixels(data, 16), strict=True):
        pixels = torch.from_numpy(changed[images].reshape(len(images), -1))
        with torch.no_grad():
            p = torch.sigmoid(compute_logits(network, pixels, CONFIG))[:, 0].double().numpy()
        assert result.run.stress[name]["accuracy"] == ((p > 0.5) == data.labels[images]).mean()
        expected = np.mean((p - data.labels[images]) ** 2)
        assert result.run.stress[name]["brier"] == pytest.approx(expected, abs=1e-5)


def test_stress_in_a_stack_matches_training_alone(data: TrainingData, place: Device) -> None:
    """For processes see tests/training/test_custom.py."""
    alone = [train_alone(data, job, place) for job in JOBS]
    with closing(open_stack(data, device=place, joins=True)) as stack:
        for found, expected in zip(train_together(stack, JOBS), alone, strict=True):
            assert_bitwise_equal(found, expected)
