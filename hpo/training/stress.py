"""The stress battery: fixed changes of the pool's images, like differences between hospitals.

Strengths and their sources are in docs/stress.md. They were fixed before any result was known.
When they change, raise `BATTERY_VERSION`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from math import pi
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from hpo.data import cache
from hpo.data.dataset import Pixels, TrainingData
from hpo.errors import DataError
from hpo.training.augmentation import change_exposure, change_pose
from hpo.training.engine import BATTERY_VERSION, SMALLEST_STRESSED
from hpo.training.randomness import bits, seeds_of, uniform_at

# Float images `(images, height, width)` and their positions `(images,)` in; float images out.
_Change: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_SEED: Final = 20_061_996
_TENTH: Final = 0.1
_BRIGHTNESS: Final = 0.15
_CONTRAST: Final = 0.3
_NOISE: Final = 0.06
_BLUR: Final = 1.4 / 224

# Images that are changed at once, in pixels; this takes less than 200 MB.
_PIECE: Final = 1 << 21


def names() -> tuple[str, ...]:
    """Return the names of the changes, in their order."""
    return tuple(_CHANGES)


def changed_pixels(data: TrainingData, image_size: int) -> Pixels:
    """Return the pool under every change, uint8 `(changes, pool, size, size)`; it is cached."""
    if image_size < SMALLEST_STRESSED:
        raise DataError(
            f"Images of {image_size} x {image_size} pixels are too small for a stress score: use "
            f"--set image_size={SMALLEST_STRESSED} or more, or a plain score (--metric accuracy)."
        )
    if data.stressed_at:
        return data.stressed_at(image_size)
    name = f"{data.fingerprint}-stress{BATTERY_VERSION}-{image_size}"
    shape = (len(_CHANGES) * data.n_pool, image_size, image_size)
    pixels = cache.pixels(name, shape, lambda: _images(data.pixels_at(image_size)[: data.n_pool]))
    return pixels.reshape(len(_CHANGES), data.n_pool, image_size, image_size)


def change(images: Tensor, positions: Tensor, name: str) -> Tensor:
    """Return images under one change; uint8 `(images, height, width)` in and out.

    `positions` `(images,)` are their positions in the pool, which determine the random numbers.
    """
    changed = _CHANGES[name](images.to(torch.float32), positions)
    return changed.round_().clamp_(0, 255).to(torch.uint8)


def _images(pool: Pixels) -> Iterator[Pixels]:
    """Yield the pool under every change, in pieces."""
    size = max(1, _PIECE // pool[0].size)
    for name in _CHANGES:
        for start in range(0, len(pool), size):
            # A copy: the pixels may be mapped read-only.
            piece = torch.from_numpy(pool[start : start + size].copy())
            yield change(piece, torch.arange(start, start + len(piece)), name).numpy()


def _move(images: Tensor, positions: Tensor, *, columns: tuple[int, int], tag: int) -> Tensor:
    """Draw two pose parameters for every image: up to a tenth, in both directions."""
    drawn = [uniform_at(seeds_of(_SEED), positions, tag + number)[0] for number in (0, 1)]
    pose = images.new_zeros(len(images), 6)
    pose[:, columns] = (2 * torch.stack(drawn, 1) - 1) * _TENTH
    return change_pose(images, pose)


def _resize(images: Tensor, _: Tensor, *, zoom: float = 0.0, stretch: float = 0.0) -> Tensor:
    pose = images.new_tensor([0, 0, zoom, 0, 0, stretch])
    return change_pose(images, pose.expand(len(images), 6))


def _expose(images: Tensor, _: Tensor, *, by: tuple[float, float]) -> Tensor:
    return change_exposure(images, images.new_tensor(by).expand(len(images), 2))


def _add_noise(images: Tensor, positions: Tensor) -> Tensor:
    """Add normal noise (Box and Muller 1958), drawn for every pixel of every image."""
    pixels = torch.arange(images[0].numel())
    seeds = bits(seeds_of(_SEED), positions, 4)[0]
    size, angle = (uniform_at(seeds, pixels, tag) for tag in (0, 1))
    # Numbers are below 1, so the argument of the logarithm is above 0.
    normal = (-2 * torch.log1p(-size)).sqrt() * (2 * pi * angle).cos()
    return images + 255 * _NOISE * normal.view_as(images)


def _blur(images: Tensor, _: Tensor) -> Tensor:
    """Blur with a Gaussian kernel, along rows and then along columns; the border is repeated."""
    deviation = _BLUR * images.shape[1]
    reach = max(1, round(3 * deviation))
    places = torch.arange(-reach, reach + 1, dtype=images.dtype)
    # The share of a normal distribution on each pixel, which is exact for narrow kernels too.
    edges = torch.cat([places - 0.5, places[-1:] + 0.5]) / deviation
    kernel = torch.special.ndtr(edges).diff()
    kernel = kernel / kernel.sum()
    padded = F.pad(images[:, None], (reach, reach, reach, reach), mode="replicate")
    along_rows = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    return F.conv2d(along_rows, kernel.view(1, 1, -1, 1))[:, 0]


_CHANGES: Final[dict[str, _Change]] = {
    "shifted": partial(_move, columns=(0, 1), tag=0),
    "tilted": partial(_move, columns=(3, 4), tag=2),
    "larger": partial(_resize, zoom=-_TENTH),
    "smaller": partial(_resize, zoom=_TENTH),
    "wider": partial(_resize, stretch=-_TENTH),
    "narrower": partial(_resize, stretch=_TENTH),
    "brighter": partial(_expose, by=(_BRIGHTNESS, 0)),
    "darker": partial(_expose, by=(-_BRIGHTNESS, 0)),
    "more contrast": partial(_expose, by=(0, _CONTRAST)),
    "less contrast": partial(_expose, by=(0, -_CONTRAST)),
    "noisy": _add_noise,
    "blurred": _blur,
}
