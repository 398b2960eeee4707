"""Random changes of training images on their device, by (seed, epoch, image, parameter).

Flip, pose, exposure, then one rounding to gray levels. Inactive changes cost nothing.
"""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.training.randomness import AUGMENTATION, Tag, uniform_at

# Each random parameter has its own tag, so that enabling it does not change the others.
_TAGS: Final = 9
_FLIP: Final = 0
_POSE: Final = slice(1, 6)
_EXPOSURE: Final = slice(6, 8)
_STRETCH: Final = slice(8, 9)


def draw_changes(
    config: TrainingConfig, *, seeds: Tensor, epoch: Tag, positions: Tensor
) -> Tensor | None:
    """Draw the changes of images in an epoch: numbers in [0, 1), `(images, parameters)`.

    `positions` `(images,)` are the positions of the images in the data: an image is changed in the
    same way in any batch. `seeds` holds the lane's one seed. None if nothing is changed. A whole
    epoch takes as many operations as one batch.
    """
    if not (config.augment_flip or config.is_warped or config.augment_exposure > 0):
        return None
    tags = torch.arange(_TAGS, device=seeds.device)
    return uniform_at(seeds.expand(_TAGS), positions, AUGMENTATION, epoch, tags).t()


def augment(images: Tensor, config: TrainingConfig, drawn: Tensor | None) -> Tensor:
    """Return training images `(images, height * width)`, uint8, changed as `drawn` for them."""
    if drawn is None:
        return images
    squares = images.view(-1, config.image_size, config.image_size)
    if config.augment_flip:
        is_flipped = drawn[:, _FLIP] < 0.5
        squares = torch.where(is_flipped[:, None, None], squares.flip(2), squares)
    is_exposed = config.augment_exposure > 0
    if config.is_warped or is_exposed:
        changed, signed = squares.to(torch.float32), 2 * drawn - 1
        if config.is_warped:
            pose = signed[:, _POSE] * config.augment_pose
            stretch = signed[:, _STRETCH] * config.augment_stretch
            changed = change_pose(changed, torch.cat([pose, stretch], 1))
        if is_exposed:
            changed = change_exposure(changed, signed[:, _EXPOSURE] * config.augment_exposure)
        squares = changed.round_().clamp_(0, 255).to(torch.uint8)
    return squares.reshape(images.shape)


def change_pose(images: Tensor, pose: Tensor) -> Tensor:
    """Move float images by `pose` `(images, 6)`.

    Shift right and down, zoom, shear, rotation, stretch. Shifts are shares of the side; a zoom of
    0.1 shows 1.1 times as much; the rotation is in radians; a stretch of 0.1 shows 1.1 times as
    much horizontally and 0.9 times as much vertically. The border is repeated outside: black
    pixels would reveal how far an image was moved.
    """
    right, down, zoom, shear, angle, stretch = pose.unbind(1)
    cos, sin, size = angle.cos(), angle.sin(), 1 + zoom
    wide, high = size * (1 + stretch), size * (1 - stretch)
    # Rows of the matrix from a position in the result, in -1..1, to one in the image.
    across = torch.stack([wide * cos, wide * (shear * cos - sin), -2 * right], 1)
    along = torch.stack([high * sin, high * (shear * sin + cos), -2 * down], 1)
    y, x = (centers(n, images) for n in images.shape[1:])
    return warp(images, [(x * m[:, :1], y * m[:, 1:2] + m[:, 2:]) for m in (across, along)])


def centers(n: int, images: Tensor) -> Tensor:
    """Return the centers of n pixels between -1 and 1, in the type of these images."""
    return (2 * torch.arange(n, dtype=images.dtype, device=images.device) + 1) / n - 1


def warp(images: Tensor, axes: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return float images at other places, -1..1; the border is repeated outside.

    The places along x, then y, are sums of a part by column `(images, width)` and one by row
    `(images, height)`.
    """
    # F.affine_grid is a matrix product that takes three times as long as everything else.
    grid = images.new_empty(*images.shape, 2)
    for axis, (columns, rows) in enumerate(axes):
        torch.add(columns[:, None, :], rows[:, :, None], out=grid[..., axis])
    moved = F.grid_sample(images[:, None], grid, padding_mode="border", align_corners=False)
    return moved[:, 0]


def change_exposure(images: Tensor, exposure: Tensor) -> Tensor:
    """Change brightness and contrast of float images by `exposure` `(images, 2)`.

    Brightness is a share of 255; contrast stretches the image around its mean.
    """
    brightness, contrast = exposure[:, :, None, None].unbind(1)
    mean = images.mean((1, 2), keepdim=True)
    return (images - mean) * (1 + contrast) + mean + 255 * brightness
