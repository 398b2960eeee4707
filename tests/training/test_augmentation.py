import pytest
import torch
from torch import Tensor

from hpo.config import TrainingConfig
from hpo.training.augmentation import augment, change_pose, draw_changes
from hpo.training.device import Device
from hpo.training.randomness import seeds_of

SIDE = 24
IMAGES = torch.randint(
    0, 256, (30, SIDE * SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
GRAY = torch.full((1, SIDE, SIDE), 70.0)
ALL = {
    "augment_pose": 0.1,
    "augment_stretch": 0.1,
    "augment_exposure": 0.2,
    "augment_flip": True,
}


def augmented(images: Tensor = IMAGES, epoch: int = 0, seed: int = 1, **fields: object) -> Tensor:
    config = TrainingConfig.from_mapping({"image_size": SIDE, **fields})
    positions = torch.arange(len(images), device=images.device)
    seeds = seeds_of(seed, device=images.device)
    drawn = draw_changes(config, seeds=seeds, epoch=epoch, positions=positions)
    return augment(images, config, drawn)


def test_augmentation_depends_on_epoch_and_seed_but_not_on_the_batch() -> None:
    assert augmented() is IMAGES
    first = augmented(**ALL)
    assert not torch.equal(first, augmented(epoch=1, **ALL))
    assert not torch.equal(first, augmented(seed=2, **ALL))
    some = torch.tensor([17, 3, 8])
    config = TrainingConfig.from_mapping({"image_size": SIDE, **ALL})
    drawn = draw_changes(config, seeds=seeds_of(1), epoch=0, positions=some)
    alone = augment(IMAGES[some], config, drawn)
    assert torch.equal(alone, first[some])


def test_one_augmentation_does_not_change_the_draws_of_another() -> None:
    is_flipped = (augmented(augment_flip=True) != IMAGES).any(1)
    both = augmented(augment_flip=True, augment_exposure=1e-9)
    assert torch.equal((both != IMAGES).any(1), is_flipped)
    moved = augmented(augment_pose=0.1)
    assert torch.equal(moved, augmented(augment_pose=0.1, augment_stretch=1e-9))


def test_about_half_of_the_images_are_mirrored_left_to_right() -> None:
    mirrored = IMAGES.view(-1, SIDE, SIDE).flip(2).flatten(1)
    shares = []
    for epoch in range(20):
        changed = augmented(epoch=epoch, augment_flip=True)
        is_mirrored = (changed == mirrored).all(1)
        assert torch.equal(changed, torch.where(is_mirrored[:, None], mirrored, IMAGES))
        shares.append(float(is_mirrored.float().mean()))
    # 600 draws: five standard errors are 0.1.
    assert 0.4 < sum(shares) / len(shares) < 0.6


def pose(**values: float) -> Tensor:
    names = ("right", "down", "zoom", "shear", "angle", "stretch")
    return torch.tensor([[values.get(name, 0.0) for name in names]])


def dot(row: int, column: int) -> Tensor:
    image = torch.zeros(1, SIDE, SIDE)
    image[0, row, column] = 100
    return image


@pytest.mark.parametrize(
    ("before", "moved", "after"),
    [
        (dot(10, 8), pose(), dot(10, 8)),
        (dot(10, 8), pose(right=3 / SIDE, down=-2 / SIDE), dot(8, 11)),
        (dot(3, 5), pose(angle=torch.pi / 2), torch.rot90(dot(3, 5), 1, (1, 2))),
        # The border is extended.
        (GRAY, pose(right=0.4, zoom=0.3, angle=0.5), GRAY),
    ],
    ids=["identity", "shift", "quarter turn", "border"],
)
def test_a_pose_moves_pixels(before: Tensor, moved: Tensor, after: Tensor) -> None:
    torch.testing.assert_close(change_pose(before, moved), after, atol=1e-2, rtol=0)


def test_exposure_is_clipped_at_black_and_white() -> None:
    black, white = torch.zeros_like(IMAGES[:15]), torch.full_like(IMAGES[15:], 255)
    changed = augmented(torch.cat([black, white]), augment_exposure=0.5)
    levels = changed.float().mean(1)
    assert (levels[:15] == 0).any()
    assert (levels[15:] == 255).any()
    assert (levels[15:] >= 255 - 128).all()


@pytest.mark.gpu
def test_a_gpu_augments_images_equally_up_to_rounding(cuda: Device) -> None:
    here, there = augmented(epoch=2, **ALL), augmented(IMAGES.to(cuda.torch), epoch=2, **ALL)
    assert (here.int() - there.cpu().int()).abs().max() <= 1
