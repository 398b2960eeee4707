"""Image files as 8-bit gray pixels, and their resizing.

This module imports Pillow: it is imported where pixels are needed, not where a data set is opened.
"""

import os
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from hpo.data.dataset import Pixels
from hpo.data.source import MAX_PIXELS, image_fault
from hpo.errors import DataError

# A file's name says nothing of its format, and Pillow knows formats that run programs (EPS).
_FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# Decoders read rubbish of any length in search of an image.
_MAX_BYTES: Final = 40_000_000
_N_AHEAD: Final = 8
# Larger images are turned to gray in strips, and one image at a time: they take 2 GB otherwise.
_STRIP_PIXELS: Final = 4_000_000
_ONE_LARGE: Final = threading.Lock()


def decode(path: Path) -> Pixels:
    """Read an image file as 8-bit gray `(height, width)`.

    Colors become the luma of ITU-R 601, 16-bit values 0..65535 become 0..255, and what is
    transparent lies on black.

    Raises:
        DataError: no image, a damaged one, or one of more pixels than are read.
    """
    try:
        _check_file(path)
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            fault = image_fault(height, width)
            if fault is None:
                is_large = width * height > _STRIP_PIXELS
                # A color JPEG stores luma: read it as it is, at half the time.
                image.draft("L", None)
                with _ONE_LARGE if is_large else nullcontext():
                    return _to_gray(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        fault = f"more than {MAX_PIXELS:,} pixels"
    except UnidentifiedImageError:
        raise _unreadable(path, f"it is none of {', '.join(_FORMATS)}") from None
    except Exception as problem:  # Pillow's decoders raise whatever they stumble over.
        raise _unreadable(path, str(problem)) from None
    raise DataError(f"{path} has {fault}. Replace the file by a smaller copy, or remove it.")


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


def _check_file(path: Path) -> None:
    """Check that this is a file of a size that images have: a pipe would never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no ordinary file")
    if status.st_size > _MAX_BYTES:
        raise ValueError(
            f"it has {status.st_size / 1e6:,.0f} MB; at most {_MAX_BYTES / 1e6:.0f} MB are read"
        )


def _unreadable(path: Path, problem: str) -> DataError:
    return DataError(
        f"{path} cannot be read as an image: {problem}. Replace the file, or remove it."
    )


def _to_gray(image: Image.Image) -> Pixels:
    image.load()
    width, height = image.size
    if width * height <= _STRIP_PIXELS:
        return _strip_to_gray(image)
    gray = np.empty((height, width), np.uint8)
    n_rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, n_rows):
        bottom = min(height, top + n_rows)
        gray[top:bottom] = _strip_to_gray(image.crop((0, top, width, bottom)))
    return gray


def _strip_to_gray(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("it holds values outside 0..65535")
        return ((wide * 255 + 32767) // 65535).astype(np.uint8)
    if image.mode == "F":
        raise ValueError("it holds floating-point values; 8 and 16 bits are read")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        return np.asarray(Image.alpha_composite(black, image.convert("RGBA")).convert("L"))
    return np.asarray(image.convert("L"))
