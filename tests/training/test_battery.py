"""The changes of the stress battery: what each does, and that it is the same every time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hpo.data.dataset import TrainingData
from hpo.errors import DataError
from hpo.training import battery

POSITIONS = torch.arange(6)
GRAY = torch.full((6, 64, 64), 100, dtype=torch.uint8)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))


def spot() -> Tensor:
    """Images with a bright square of 16 in the middle."""
    images = GRAY.clone()
    images[:, 24:40, 24:40] = 200
    return images


def n_bright(images: Tensor) -> Tensor:
    return (images > 150).sum((1, 2)).float()


@pytest.mark.parametrize("name", battery.names())
def test_a_change_depends_on_the_position_alone(name: str) -> None:
    images = torch.randint(0, 256, (6, 32, 32), generator=torch.Generator().manual_seed(1))
    images = images.to(torch.uint8)
    together = battery.change(images, POSITIONS, name)
    one_by_one = [battery.change(images[[i]], POSITIONS[[i]], name)[0] for i in range(6)]
    assert torch.equal(together, torch.stack(one_by_one))
    assert not torch.equal(together, images)


def test_a_spot_grows_and_shrinks_by_a_tenth() -> None:
    for name, side in (("larger", 0.9), ("smaller", 1.1)):
        changed = battery.change(spot(), POSITIONS, name)
        growth = n_bright(changed) / n_bright(spot())
        assert growth.tolist() == pytest.approx([1 / side**2] * len(POSITIONS), rel=0.1)


def test_a_spot_grows_in_one_direction_and_shrinks_in_the_other() -> None:
    for name, sign in (("wider", 1), ("narrower", -1)):
        changed = battery.change(spot(), POSITIONS, name)[0] > 150
        width, height = changed.any(0).sum(), changed.any(1).sum()
        assert sign * (width - 16) >= 1
        assert sign * (height - 16) <= -1


def test_shifts_go_each_their_own_way_up_to_a_tenth_of_the_side() -> None:
    images = spot()[:1].expand(200, 64, 64).contiguous()
    moved = (battery.change(images, torch.arange(200), "shifted") > 150).float()
    places = torch.arange(64.0)
    columns = (moved.sum(1) * places).sum(1) / moved.sum((1, 2)) - 31.5
    rows = (moved.sum(2) * places).sum(1) / moved.sum((1, 2)) - 31.5
    for offsets in (columns, rows):
        assert 5 < offsets.abs().max() < 7
        assert offsets.mean().abs() < 0.7
    assert abs(np.corrcoef(columns, rows)[0, 1]) < 0.25


@pytest.mark.parametrize(
    ("name", "expected"),
    [("brighter", 100 + 0.15 * 255), ("darker", 100 - 0.15 * 255)],
)
def test_brightness_moves_by_its_share_of_the_range(name: str, expected: float) -> None:
    assert battery.change(GRAY, POSITIONS, name).float().mean() == pytest.approx(expected, abs=0.5)


def test_contrast_stretches_around_the_mean() -> None:
    mean = spot().float().mean().item()
    for name, factor in (("more contrast", 1.3), ("less contrast", 0.7)):
        changed = battery.change(spot(), POSITIONS, name)
        assert changed.max().item() == pytest.approx(mean + factor * (200 - mean), abs=0.6)


def test_noise_has_its_deviation_and_is_another_for_every_image() -> None:
    changed = battery.change(GRAY, POSITIONS, "noisy").float()
    assert changed.std().item() == pytest.approx(0.06 * 255, rel=0.03)
    assert (changed[0] != changed[1]).float().mean() > 0.9


def test_blur_has_the_deviation_of_its_share_of_the_side() -> None:
    point = torch.zeros(1, 224, 224, dtype=torch.uint8)
    point[0, 112, 112] = 255
    row = battery.change(point, POSITIONS[:1], "blurred")[0, 112].double()
    places = torch.arange(224.0, dtype=torch.float64) - 112
    variance = (row * places**2).sum() / row.sum()
    assert variance.sqrt().item() == pytest.approx(1.4, rel=0.1)


def test_the_pool_is_changed_once_and_then_read_from_the_cache(
    make_data: Callable[[int, int], TrainingData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(30, 20)
    found = battery.changed_pixels(data, 16)
    assert found.shape == (len(battery.names()), 30, 16, 16)
    pool = torch.from_numpy(data.pixels_at(16)[:30].copy())
    for index, name in enumerate(battery.names()):
        assert np.array_equal(found[index], battery.change(pool, torch.arange(30), name).numpy())
    monkeypatch.setattr(battery, "change", None)
    assert np.array_equal(battery.changed_pixels(data, 16), found)


def test_a_cache_that_cannot_be_written_changes_nothing(
    make_data: Callable[[int, int], TrainingData], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = make_data(30, 20)
    found = battery.changed_pixels(data, 16)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "file"))
    assert np.array_equal(battery.changed_pixels(data, 16), found)


def test_images_too_small_for_it_are_refused_with_the_way_out(
    make_data: Callable[[int, int], TrainingData],
) -> None:
    with pytest.raises(DataError, match="image_size=16"):
        battery.changed_pixels(make_data(30, 20), 8)
