"""Aligning images to a template: shift, width, height and rotation of each image.

The template is the mean of the aligned training images, without labels. Each image is moved to
maximize its correlation with the template, in a window that fades out towards the border, by
Gauss-Newton steps (Lucas and Kanade 1981), with the template's own curvature and a weak prior for
no move. The result depends only on the image and the template, not on other images.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.training.augmentation import centers, warp

TEMPLATE: Final = "align.template"
"""The template's name among exported weights."""

# Images of any size are compared at this size. More rounds or steps gained nothing.
SIDE: Final = 32
_N_ROUNDS: Final = 4
_N_STEPS: Final = 12
_STEP: Final = 0.7
# Usual moves: right, down, horizontal and vertical scale (shares of half a side or of the size),
# and the tangent of half the angle. The prior costs this much correlation for each of them.
_USUAL: Final = (0.15, 0.15, 0.2, 0.2, 0.05)
_PRIOR: Final = 0.02
_WINDOW: Final = 0.75
# Moves are multiples of this, so that rounding hardly ever affects them.
_GRAIN: Final = 2**-12
# Pixels that are moved at once, so that they stay in the cache.
_PIECE: Final = 1 << 16


def make_template(images: Tensor) -> Tensor:
    """Return the mean of aligned images, uint8 `(SIDE, SIDE)`; images `(images, side, side)`."""
    small = torch.cat([_shrink(piece) for piece in _pieces(images)])
    pose = small.new_zeros(len(small), 5)
    for _ in range(_N_ROUNDS):
        template = _move(small, pose).mean(0)
        fits = zip(_pieces(small), _pieces(pose, SIDE**2), strict=True)
        pose = torch.cat([_fit(some, template[None], start) for some, start in fits])
        pose = pose - pose.mean(0)  # Otherwise the template would drift.
    return _move(small, pose).mean(0).round().to(torch.uint8)


def align(images: Tensor, template: Tensor) -> Tensor:
    """Return images aligned to a template; uint8 `(images, side, side)` in and out."""
    small = torch.cat([_shrink(piece) for piece in _pieces(images)])
    fitted = [_fit_from_zero(some, template[None]) for some in _pieces(small)]
    poses = _pieces(torch.cat(fitted), images[0].numel())
    return torch.cat([_moved(*pair) for pair in zip(_pieces(images), poses, strict=True)])


def align_to_each(image: Tensor, templates: Tensor) -> Tensor:
    """Return one image aligned to each template; uint8 `(1, side, side)` in."""
    images = image.expand(len(templates), -1, -1)
    return _moved(images, _fit_from_zero(_shrink(images), templates))


def _fit_from_zero(small: Tensor, templates: Tensor) -> Tensor:
    pose = _fit(small, templates.to(torch.float32), small.new_zeros(len(small), 5))
    return (pose / _GRAIN).round() * _GRAIN


def _moved(images: Tensor, pose: Tensor) -> Tensor:
    return _move(images.to(torch.float32), pose).round().clamp(0, 255).to(torch.uint8)


def _pieces(images: Tensor, n_pixels: int = 0) -> tuple[Tensor, ...]:
    return torch.split(images, max(1, _PIECE // (n_pixels or images[0].numel())))


def _shrink(images: Tensor) -> Tensor:
    shape = (SIDE, SIDE)
    values = images[:, None].to(torch.float32)
    return F.interpolate(values, shape, mode="bilinear", antialias=True)[:, 0]


def _move(images: Tensor, pose: Tensor) -> Tensor:
    """Move float images by `pose` `(images, 5)`; the border is extended outside."""
    right, down, across, along, half = pose.unbind(1)
    # Vectorized sine and cosine may round differently at the end of an array; these do not.
    cos, sin = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
    wide, high, u = 1 + across, 1 + along, centers(images.shape[1], images)
    parts = ((wide * cos, -high * sin, right), (wide * sin, high * cos, down))
    return warp(images, [(a[:, None] * u + s[:, None], b[:, None] * u) for a, b, s in parts])


def _fit(images: Tensor, templates: Tensor, pose: Tensor) -> Tensor:
    """Return the pose of images `(images, SIDE, SIDE)` that fits a template, from a first one.

    `templates` are one for all, or one for each image. Sums run along single rows, never through
    a matrix product, so that an image has the same result alone and among others, to the last bit.
    """
    u = centers(SIDE, images)
    fade = torch.exp(-((u / _WINDOW) ** 4))
    window = (fade[:, None] * fade).flatten()
    window = window / window.sum()
    across, along = u.expand(SIDE, SIDE), u[:, None].expand(SIDE, SIDE)
    moments = torch.stack([torch.ones(SIDE, SIDE), across, along]).flatten(1) * window

    def standardize(values: Tensor) -> Tensor:
        values = values.flatten(1)
        values = values - (values * window).sum(1, keepdim=True)
        return values / ((values**2 * window).sum(1, keepdim=True).sqrt() + 1e-3)

    def slopes(values: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(values.view(-1, 1, SIDE, SIDE), (1, 1, 1, 1), mode="replicate")[:, 0]
        right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
        down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
        return right.flatten(1) * (SIDE / 4), down.flatten(1) * (SIDE / 4)

    target = standardize(templates)
    x, y = slopes(target)
    u, v = across.flatten(), along.flatten()
    change = torch.stack([x, y, x * u, y * v, 2 * (y * u - x * v)], 1)
    change = change - (change * window).sum(2, keepdim=True)
    each = target[:, None]
    change = change - each * (change * each * window).sum(2, keepdim=True)
    prior = 2 * _PRIOR / torch.tensor(_USUAL) ** 2
    curvature = (change[:, :, None] * change[:, None] * window).sum(3) + prior.diag()
    inverse = _STEP * torch.linalg.inv(curvature.double()).float()

    for _ in range(_N_STEPS):
        moved = standardize(_move(images, pose))
        residual = target - moved * (moved * target * window).sum(1, keepdim=True)
        x, y = (((s * residual)[:, None] * moments).sum(2) for s in slopes(moved))
        half = pose[:, 4:]
        cos, sin = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
        wide, high = 1 + pose[:, 2:3], 1 + pose[:, 3:4]
        # From slopes in the result to slopes in the image, each with moments 1, x, y.
        x, y = cos / wide * x - sin / high * y, sin / wide * x + cos / high * y
        first, second = cos * x + sin * y, cos * y - sin * x
        turned = 2 / (1 + half**2) * (wide * second[:, 1:2] - high * first[:, 2:3])
        parts = [x[:, :1], y[:, :1], first[:, 1:2], second[:, 2:3], turned]
        gradient = torch.cat(parts, 1)
        pose = pose + ((gradient - prior * pose)[:, None] * inverse).sum(2)
    return pose
