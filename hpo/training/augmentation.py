"""Random changes of training images, on their device, by counter: (seed, epoch, image, parameter).

Flip, then pose, then exposure; one rounding to gray levels at the end. What is off costs nothing.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.config import TrainingConfig
from hpo.training.randomness import AUGMENTATION, Tag, uniform_at

# Each random parameter has its own tag, so that switching one on does not move the others.
_FLIP: Final = 0
_POSE: Final = (1, 2, 3, 4, 5)
_STRETCH: Final = 8
_EXPOSURE: Final = (6, 7)


def augment(
    images: Tensor, config: TrainingConfig, *, seeds: Tensor, epoch: Tag, positions: Tensor
) -> Tensor:
    """Return training images `(images, height * width)`, uint8, as changed in this epoch.

    `positions` `(images,)` names each image by its place in the data: an image is changed in the
    same way whichever batch it comes in. `seeds` holds the lane's one seed.
    """
    is_exposed = config.augment_exposure > 0
    if not (config.augment_flip or config.is_warped or is_exposed):
        return images

    def draw(*tags: int) -> Tensor:
        drawn = [uniform_at(seeds, positions, AUGMENTATION, epoch, tag)[0] for tag in tags]
        return 2 * torch.stack(drawn, 1) - 1

    squares = images.view(-1, config.image_size, config.image_size)
    if config.augment_flip:
        is_flipped = uniform_at(seeds, positions, AUGMENTATION, epoch, _FLIP)[0] < 0.5
        squares = torch.where(is_flipped[:, None, None], squares.flip(2), squares)
    if config.is_warped or is_exposed:
        changed = squares.to(torch.float32)
        if config.is_warped:
            pose = draw(*_POSE) * config.augment_pose
            stretch = draw(_STRETCH) * config.augment_stretch
            changed = change_pose(changed, torch.cat([pose, stretch], 1))
        if is_exposed:
            changed = change_exposure(changed, draw(*_EXPOSURE) * config.augment_exposure)
        squares = changed.round_().clamp_(0, 255).to(torch.uint8)
    return squares.reshape(images.shape)


def change_pose(images: Tensor, pose: Tensor) -> Tensor:
    """Move float images by `pose` `(images, 6)`.

    Shift right and down, zoom, shear, rotation, stretch. Shifts are shares of the side; a zoom of
    0.1 shows 1.1 times as much; the rotation is in radians; a stretch of 0.1 shows 1.1 times as
    much across and 0.9 times as much along. Pixels from outside repeat the border: black would
    tell how far an image was moved.
    """
    right, down, zoom, shear, angle, stretch = pose.unbind(1)
    cos, sin, size = angle.cos(), angle.sin(), 1 + zoom
    wide, high = size * (1 + stretch), size * (1 - stretch)
    # Rows of the matrix that takes a place in the result, in -1..1, to its place in the image.
    across = torch.stack([wide * cos, wide * (shear * cos - sin), -2 * right], 1)
    along = torch.stack([high * sin, high * (shear * sin + cos), -2 * down], 1)
    n, height, width = images.shape
    # The centers of pixels between -1 and 1.
    x, y = (
        (2 * torch.arange(m, dtype=images.dtype, device=images.device) + 1) / m - 1
        for m in (width, height)
    )
    # F.affine_grid is a product of matrices that takes three times as long as all the rest.
    grid = images.new_empty(n, height, width, 2)
    for axis, matrix in enumerate((across, along)):
        row = x * matrix[:, :1]
        column = y * matrix[:, 1:2] + matrix[:, 2:]
        torch.add(row[:, None, :], column[:, :, None], out=grid[..., axis])
    moved = F.grid_sample(images[:, None], grid, padding_mode="border", align_corners=False)
    return moved[:, 0]


def change_exposure(images: Tensor, exposure: Tensor) -> Tensor:
    """Change brightness and contrast of float images by `exposure` `(images, 2)`.

    Brightness is a share of 255; contrast stretches the image around its mean.
    """
    brightness, contrast = exposure[:, :, None, None].unbind(1)
    mean = images.mean((1, 2), keepdim=True)
    return (images - mean) * (1 + contrast) + mean + 255 * brightness
