"""Image files as 8-bit gray pixels, and their resizing.

This module imports Pillow: it is imported where pixels are needed, not where a data set is opened.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from hpo.data.dataset import Pixels
from hpo.errors import DataError

MAX_PIXELS: Final = 64_000_000
_N_AHEAD: Final = 32


def decode(path: Path) -> Pixels:
    """Read an image file as 8-bit gray `(height, width)`.

    Colors become the luma of ITU-R 601, 16-bit values 0..65535 become 0..255, and what is
    transparent lies on black.

    Raises:
        DataError: no image, a damaged one, or one of more than `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height <= MAX_PIXELS:
                # A color JPEG stores luma: read it as it is, at half the time.
                image.draft("L", None)
                return _to_gray(image)
    except Exception as problem:  # Pillow's decoders raise whatever they stumble over.
        raise DataError(
            f"{path} cannot be read as an image: {problem}. Replace the file, or remove it."
        ) from None
    raise DataError(
        f"{path} has {width} x {height} pixels; at most {MAX_PIXELS:,} are read. Replace the "
        "file by a smaller copy, or remove it."
    )


def decode_all(paths: Sequence[Path]) -> Iterator[Pixels]:
    """Read image files in their order, a few at a time and on a few threads."""
    Image.preinit()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(paths), _N_AHEAD):
            with warnings.catch_warnings():
                # An image too large is refused, and what else Pillow remarks helps no user.
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                images = list(pool.map(decode, paths[start : start + _N_AHEAD]))
            yield from images


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize an image to a square; what is not square is stretched.

    Bilinear, which Pillow widens to an area filter when it shrinks: no aliasing, smooth when it
    enlarges, and, unlike bicubic and Lanczos, no bright seams along ribs. Pillow computes it in
    integers: the same bits on every machine.
    """
    if pixels.shape == (size, size):
        return pixels
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _to_gray(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.uint32)
        return ((wide * 255 + 32767) // 65535).astype(np.uint8)
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        return np.asarray(Image.alpha_composite(black, image.convert("RGBA")).convert("L"))
    return np.asarray(image.convert("L"))
