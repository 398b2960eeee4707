import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.training.augmentation import (
    augment,
    change_exposure,
    change_pose,
    changes_of,
    find_places,
    flip,
)
from hpo.training.device import Device
from hpo.training.randomness import seeds_of

SIDE = 24


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (30, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def augmented(images: Tensor, *, epoch: int = 0, seed: int = 1, **fields: object) -> Tensor:
    config = TrainingConfig.from_mapping(fields)
    positions = torch.arange(len(images))
    return augment(
        images, changes_of(config), seeds=seeds_of(seed), epoch=epoch, positions=positions
    )


ALL = {
    "augment_pose": 0.1,
    "augment_stretch": 0.1,
    "augment_exposure": 0.2,
    "augment_flip": True,
}


def test_nothing_switched_on_gives_the_images_themselves(images: Tensor) -> None:
    assert not changes_of(TrainingConfig()).is_any
    assert augmented(images) is images


@pytest.mark.parametrize("name", ALL)
def test_each_kind_changes_images_and_keeps_their_form(images: Tensor, name: str) -> None:
    assert changes_of(TrainingConfig.from_mapping({name: ALL[name]})).is_any
    changed = augmented(images, **{name: ALL[name]})
    assert changed.dtype == torch.uint8
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)


def test_epoch_and_seed_each_give_other_images(images: Tensor) -> None:
    first = augmented(images, **ALL)
    assert torch.equal(first, augmented(images, **ALL))
    assert not torch.equal(first, augmented(images, epoch=1, **ALL))
    assert not torch.equal(first, augmented(images, seed=2, **ALL))


def test_an_image_is_changed_alike_in_every_batch(images: Tensor) -> None:
    config = TrainingConfig.from_mapping(ALL)
    some = torch.tensor([17, 3, 8])
    alone = augment(images[some], changes_of(config), seeds=seeds_of(1), epoch=0, positions=some)
    assert torch.equal(alone, augmented(images, **ALL)[some])


def test_one_kind_does_not_move_the_draws_of_another(images: Tensor) -> None:
    flipped = augmented(images, augment_flip=True)
    is_flipped = (flipped != images).flatten(1).any(1)
    both = augmented(images, augment_flip=True, augment_exposure=1e-9)
    assert torch.equal((both != images).flatten(1).any(1), is_flipped)


def test_about_half_of_the_images_are_mirrored(images: Tensor) -> None:
    is_mirrored = [
        torch.equal(changed, image.flip(1))
        for epoch in range(20)
        for changed, image in zip(
            augmented(images, epoch=epoch, augment_flip=True), images, strict=True
        )
    ]
    # 600 draws: five standard errors are 0.1.
    assert 0.4 < sum(is_mirrored) / len(is_mirrored) < 0.6


def test_flip_mirrors_left_and_right() -> None:
    image = torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8)
    assert flip(image, torch.tensor([True])).tolist() == [[[2, 1], [4, 3]]]
    assert flip(image, torch.tensor([False])).tolist() == image.tolist()


def pose(**values: float) -> Tensor:
    names = ("right", "down", "zoom", "shear", "angle", "stretch")
    return torch.tensor([[values.get(name, 0.0) for name in names]])


def dot(row: int, column: int) -> Tensor:
    image = torch.zeros(1, SIDE, SIDE)
    image[0, row, column] = 100
    return image


def test_no_pose_is_the_identity(images: Tensor) -> None:
    still = images[:1].float()
    torch.testing.assert_close(change_pose(still, pose()), still, atol=1e-3, rtol=0)


def test_a_shift_moves_by_shares_of_the_side() -> None:
    moved = change_pose(dot(10, 8), pose(right=3 / SIDE, down=-2 / SIDE))
    torch.testing.assert_close(moved, dot(8, 11), atol=1e-2, rtol=0)


def test_a_quarter_turn_is_a_rotation_of_the_image() -> None:
    turned = change_pose(dot(3, 5), pose(angle=torch.pi / 2))
    expected = torch.rot90(dot(3, 5), 1, (1, 2))
    torch.testing.assert_close(turned, expected, atol=1e-2, rtol=0)


def test_zoom_changes_the_size_of_things() -> None:
    image = torch.zeros(1, SIDE, SIDE)
    image[0, 8:16, 8:16] = 100
    smaller, larger = (change_pose(image, pose(zoom=zoom)).sum() for zoom in (0.25, -0.25))
    assert smaller / image.sum() == pytest.approx(0.8**2, abs=0.05)
    assert larger / image.sum() == pytest.approx((4 / 3) ** 2, abs=0.05)


def test_a_stretch_changes_width_against_height() -> None:
    image = torch.zeros(1, SIDE, SIDE)
    image[0, 8:16, 8:16] = 100
    stretched = change_pose(image, pose(stretch=-0.25))[0] > 50
    assert stretched.any(0).sum() == pytest.approx(8 / 0.75, abs=1)
    assert stretched.any(1).sum() == pytest.approx(8 / 1.25, abs=1)


def test_a_stretch_does_not_move_the_draws_of_the_pose(images: Tensor) -> None:
    moved = augmented(images, augment_pose=0.1)
    both = augmented(images, augment_pose=0.1, augment_stretch=1e-9)
    assert torch.equal(moved, both)


def test_shear_moves_rows_against_each_other() -> None:
    column = torch.zeros(1, SIDE, SIDE)
    column[0, :, 12] = 100
    sheared = change_pose(column, pose(shear=0.5))[0]
    peaks = sheared.argmax(1)
    assert peaks[0] - peaks[-1] == pytest.approx(0.5 * (SIDE - 1), abs=1)


def test_places_are_those_of_affine_grid() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.rand(3, 2, 3, generator=generator) * 2 - 1
    images = torch.empty(3, 7, 10)
    expected = F.affine_grid(matrices, [3, 1, 7, 10], align_corners=False)
    found = find_places(matrices[:, 0], matrices[:, 1], images)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_outside_the_image_the_border_goes_on() -> None:
    image = torch.full((1, SIDE, SIDE), 70.0)
    shifted = change_pose(image, pose(right=0.4, zoom=0.3, angle=0.5))
    torch.testing.assert_close(shifted, image)


def test_brightness_adds_and_contrast_stretches_around_the_mean() -> None:
    image = torch.tensor([[[40.0, 60.0], [80.0, 100.0]]])
    changed = change_exposure(image, torch.tensor([[0.1, 0.5]]))
    assert changed.mean() == pytest.approx(70 + 25.5)
    torch.testing.assert_close(changed - changed.mean(), 1.5 * (image - 70))


def test_exposure_is_cut_off_at_black_and_white(images: Tensor) -> None:
    black, white = images[:15].clone().zero_(), torch.full_like(images[15:], 255)
    changed = augmented(torch.cat([black, white]), augment_exposure=0.5)
    levels = changed.flatten(1).float().mean(1)
    assert (levels[:15] == 0).any()
    assert (levels[15:] == 255).any()
    assert (levels[15:] >= 255 - 128).all()


@pytest.mark.gpu
def test_a_gpu_changes_images_alike_up_to_rounding(images: Tensor, cuda: Device) -> None:
    config, positions = TrainingConfig.from_mapping(ALL), torch.arange(30)
    here = augment(images, changes_of(config), seeds=seeds_of(1), epoch=2, positions=positions)
    there = augment(
        images.to(cuda.torch),
        changes_of(config),
        seeds=seeds_of(1, device=cuda.torch),
        epoch=2,
        positions=positions.to(cuda.torch),
    )
    assert (here.int() - there.cpu().int()).abs().max() <= 1
