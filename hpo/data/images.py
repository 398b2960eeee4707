"""Image files as gray pixels, their resizing, and a contact sheet.

It imports Pillow, so it is only imported where pixels are needed, not to open a data set.
"""

import base64
import io
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
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from hpo.data import dicom
from hpo.data.dataset import MAX_PIXELS, SPLITS, Dataset, Pixels, Stored, limit_fault
from hpo.errors import DataError, fault_list

# A suffix does not guarantee a format, and Pillow supports formats that run programs (EPS).
_FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# Decoders search invalid files of any length for an image. DICOM is rarely compressed.
_MAX_BYTES: Final = (40_000_000, 2 * MAX_PIXELS)
_N_AHEAD: Final = 8
# Larger images are read one at a time; otherwise they take 2 GB.
_LARGE: Final = 4_000_000
_ROWS: Final = 200
_ONE_LARGE: Final = threading.Lock()
_MOST_NAMED: Final = 5
_LONGEST_REASON: Final = 200
# Pillow reads the upper 8 of 16 bits of a color; for 12 bits, only these are left.
_DARK: Final = 64

_N_ACROSS: Final = 8
_TILE: Final = 160
_CAPTION: Final = 28
_GAP: Final = 4


def decode(path: Path) -> Stored:
    """Read an image file as upright gray `(height, width)`, in 16 bits if it has 16.

    Colors become the luma of ITU-R 601, and transparent pixels become black.

    Raises:
        DataError: not an image, or one that is damaged or too large.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")  # A pipe would block.
        if status.st_size > (limit := _MAX_BYTES[dicom.is_dicom(path.name)]):
            raise ValueError(
                f"it has {status.st_size / 1e6:,.0f} MB; the limit is {limit / 1e6:.0f} MB"
            )
        if dicom.is_dicom(path.name):
            with _ONE_LARGE if status.st_size > _LARGE else nullcontext():
                return dicom.decode(path)
        # Pillow does not map an open file; it rotates mapped TIFF files wrongly (13.0).
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
            if fault := limit_fault(height, width):
                raise ValueError(f"it has {fault}")
            # A color JPEG stores luma: reading only that takes half the time.
            image.draft("L", None)
            with _ONE_LARGE if width * height > _LARGE else nullcontext():
                has_16_bits = any(";16" in str(tile.args) for tile in image.tile)
                ImageOps.exif_transpose(image, in_place=True)
                gray = _to_gray(image)
                if has_16_bits and gray.dtype == np.uint8 and gray.max() < _DARK:
                    raise ValueError("its 16-bit colors use fewer bits: save it in gray")
                return gray
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"it has more than {MAX_PIXELS:,} pixels"
    except UnidentifiedImageError:
        reason = f"its format is not {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
    except FileNotFoundError:
        if not path.is_symlink():
            raise DataError(f"There is no file {path}.") from None
        reason = "it is a link to a file that does not exist"
    except OSError as problem:
        reason = problem.strerror or str(problem)
    except DataError:
        raise
    except Exception as problem:  # Decoders raise errors of any kind.
        reason = " ".join(str(problem).split()).rstrip(".")[:_LONGEST_REASON]
    raise DataError(
        f"{path} cannot be read as an image: {reason}. Replace the file, or remove it."
    )


def decode_each(paths: Sequence[Path]) -> Iterator[Stored | DataError]:
    """Read image files in order, a few at a time, on a few threads.

    For a file that cannot be read, its error takes the place of the image.
    """

    def try_to_decode(path: Path) -> Stored | DataError:
        try:
            return decode(path)
        except DataError as error:
            return error

    Image.preinit()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(paths), _N_AHEAD):
            with warnings.catch_warnings():
                # Too large images are refused; other warnings of Pillow do not help users.
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                images = list(pool.map(try_to_decode, paths[start : start + _N_AHEAD]))
            yield from images


def decode_all(paths: Sequence[Path]) -> Iterator[Stored]:
    """Read image files like `decode_each`.

    Raises:
        DataError: names the files that cannot be read, after trying all.
    """
    faults: list[DataError] = []
    for image in decode_each(paths):
        if isinstance(image, DataError):
            faults.append(image)
        elif not faults:
            yield image
    if len(faults) == 1:
        raise DataError(f"{faults[0]} Or use --skip-broken.")
    if faults:
        named = [str(fault) for fault in faults[:_MOST_NAMED]]
        if (n_more := len(faults) - _MOST_NAMED) > 0:
            named.append(f"and {n_more:,} more")
        hint = "Replace them, or leave them out with --skip-broken"
        raise DataError(fault_list(f"{len(faults):,} images cannot be used. {hint}:", named))


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize an image to a square, stretching it if necessary.

    Bilinear, which Pillow widens to an area filter when shrinking: no aliasing, smooth
    enlargements and, unlike bicubic and Lanczos, no bright seams along ribs. Pillow computes in
    integers, so results are identical on every machine.
    """
    if pixels.shape == (size, size):
        return pixels
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def contact_sheet(dataset: Dataset, path: Path) -> None:
    """Write a picture with a row of evenly sampled images for each split and class.

    Raises:
        DataError: the file cannot be written, or its name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise DataError(f"{path}: the contact sheet is a PNG file. Name it {path.stem}.png.")
    groups = sorted(set(zip(dataset.split.tolist(), dataset.labels.tolist(), strict=True)))
    width = _N_ACROSS * (_TILE + _GAP) + _GAP
    sheet = Image.new("L", (width, len(groups) * (_CAPTION + _TILE)), "black")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for row, (split, label) in enumerate(groups):
        group = np.flatnonzero((dataset.split == split) & (dataset.labels == label))
        shown = np.linspace(0, len(group) - 1, min(_N_ACROSS, len(group))).astype(np.int64)
        top = row * (_CAPTION + _TILE)
        text = (
            f"{dataset.name}: {SPLITS[split]}, {dataset.class_names[label]}, {len(group):,} images"
        )
        draw.text((_GAP, top + _GAP), text, fill="white", font=font)
        for column, pixels in enumerate(dataset.originals(group[shown].tolist())):
            tile = ImageOps.pad(Image.fromarray(pixels), (_TILE, _TILE))
            sheet.paste(tile, (_GAP + column * (_TILE + _GAP), top + _CAPTION))
    try:
        sheet.save(path, format="PNG")
    except OSError as problem:
        raise DataError(f"{path} cannot be written: {problem}. Choose another file.") from None


def _to_gray(image: Image.Image) -> Stored:
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("it contains values outside 0..65535")
        return wide.astype(np.uint16)
    if image.mode == "F":
        raise ValueError("it contains floating-point values; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return np.asarray(image.convert("L"))
    width, height = image.size
    strips = []
    for top in range(0, height, _ROWS):  # All at once would take 2 GB.
        strip = image.crop((0, top, width, min(top + _ROWS, height))).convert("RGBA")
        black = Image.new("RGBA", strip.size, "black")
        strips.append(np.asarray(Image.alpha_composite(black, strip).convert("L")))
    return np.concatenate(strips)


def png_uri(pixels: Pixels, side: int | None = None) -> str:
    """Return a gray image as a data URI, with its longer side at most `side` pixels."""
    image = Image.fromarray(pixels)
    if side:
        image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
