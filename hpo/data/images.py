"""Image files as gray pixels, and their resizing.

This module imports Pillow: it is imported where pixels are needed, not where a data set is opened.
"""

import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Final, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from hpo.data.dataset import Pixels
from hpo.data.source import MAX_PIXELS, Stored, image_fault
from hpo.errors import DataError, fault_list

# A file's name says nothing of its format, and Pillow knows formats that run programs (EPS).
_FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# Decoders read rubbish of any length in search of an image.
_MAX_BYTES: Final = 40_000_000
_N_AHEAD: Final = 8
# Larger images are turned to gray in strips, and one image at a time: they take 2 GB otherwise.
_STRIP_PIXELS: Final = 4_000_000
_ONE_LARGE: Final = threading.Lock()
_MOST_NAMED: Final = 5
# Pillow reads the upper 8 of 16 bits of a color: of 12 bits, that is what is left.
_DARK: Final = 64

# What a viewer does by the orientation that a camera or a scanner has noted (EXIF 2.32, 274).
_ORIENTATION: Final = 274
_UPRIGHT: Final[dict[int, Callable[[Stored], Stored]]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.T,
    6: lambda image: image[::-1].T,
    7: lambda image: image[::-1, ::-1].T,
    8: lambda image: image.T[::-1],
}


def decode(path: Path) -> Stored:
    """Read an image file as gray `(height, width)`, in 16 bits where it has 16, upright.

    Colors become the luma of ITU-R 601, and what is transparent lies on black.

    Raises:
        DataError: no image, a damaged one, or one of more pixels than are read.
    """
    try:
        _check_file(path)
        # An open file is not mapped by Pillow, which turns mapped TIFF files wrongly (13.0).
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
            fault = image_fault(height, width)
            if fault is None:
                is_large = width * height > _STRIP_PIXELS
                # A color JPEG stores luma: read it as it is, at half the time.
                image.draft("L", None)
                with _ONE_LARGE if is_large else nullcontext():
                    has_16_bits = any(";16" in str(tile.args) for tile in image.tile)
                    gray = _to_gray(image)
                    if has_16_bits and gray.dtype == np.uint8 and gray.max() < _DARK:
                        raise ValueError("its 16-bit colors use fewer bits: save it in gray")
                    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
                    return turn(gray) if turn else gray
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        fault = f"more than {MAX_PIXELS:,} pixels"
    except UnidentifiedImageError:
        raise _unreadable(path, f"it is none of {', '.join(_FORMATS)}") from None
    except FileNotFoundError:
        if path.is_symlink():
            raise _unreadable(path, "it is a link to a file that is not there") from None
        raise DataError(f"There is no file {path}.") from None
    except OSError as problem:
        raise _unreadable(path, problem.strerror or str(problem)) from None
    except Exception as problem:  # Pillow's decoders raise whatever they stumble over.
        raise _unreadable(path, str(problem)) from None
    raise DataError(f"{path} has {fault}. Replace the file by a smaller copy, or remove it.")


def decode_all(paths: Sequence[Path]) -> Iterator[Stored]:
    """Read image files in their order, a few at a time and on a few threads.

    Raises:
        DataError: names the files that cannot be read, once all were tried.
    """
    Image.preinit()
    faults: list[DataError] = []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(paths), _N_AHEAD):
            with warnings.catch_warnings():
                # An image too large is refused, and what else Pillow remarks helps no user.
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                images = list(pool.map(_try_to_decode, paths[start : start + _N_AHEAD]))
            faults += [image for image in images if isinstance(image, DataError)]
            if not faults:
                yield from (image for image in images if not isinstance(image, DataError))
    if len(faults) == 1:
        raise faults[0]
    if faults:
        named = [str(fault) for fault in faults[:_MOST_NAMED]]
        if (n_more := len(faults) - _MOST_NAMED) > 0:
            named.append(f"and {n_more:,} more")
        raise DataError(fault_list(f"{len(faults):,} images cannot be used:", named))


def _try_to_decode(path: Path) -> Stored | DataError:
    try:
        return decode(path)
    except DataError as error:
        return error


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


def _to_gray(image: Image.Image) -> Stored:
    image.load()
    width, height = image.size
    if width * height <= _STRIP_PIXELS:
        return _strip_to_gray(image)
    gray = np.empty((height, width), np.uint16 if _is_wide(image) else np.uint8)
    n_rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, n_rows):
        bottom = min(height, top + n_rows)
        gray[top:bottom] = _strip_to_gray(image.crop((0, top, width, bottom)))
    return cast(Stored, gray)


def _is_wide(image: Image.Image) -> bool:
    return image.mode.startswith("I")


def _strip_to_gray(image: Image.Image) -> Stored:
    if _is_wide(image):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("it holds values outside 0..65535")
        return wide.astype(np.uint16)
    if image.mode == "F":
        raise ValueError("it holds floating-point values; 8 and 16 bits are read")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        return np.asarray(Image.alpha_composite(black, image.convert("RGBA")).convert("L"))
    return np.asarray(image.convert("L"))
