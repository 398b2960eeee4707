"""A contact sheet: a few images of each split and class, to see what is in a data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from hpo.data.audit import SPLITS
from hpo.data.dataset import NORMAL, PNEUMONIA, Dataset, Indices
from hpo.errors import DataError

_N_ACROSS: Final = 8
_TILE: Final = 160
_CAPTION: Final = 28
_GAP: Final = 4
_CLASSES: Final = {NORMAL: "normal", PNEUMONIA: "pneumonia"}


def contact_sheet(dataset: Dataset, path: Path) -> None:
    """Write a picture with a row of evenly spaced images for each split and class.

    Raises:
        DataError: the file cannot be written.
    """
    rows = list(_rows(dataset))
    width = _N_ACROSS * (_TILE + _GAP) + _GAP
    sheet = Image.new("L", (width, len(rows) * (_CAPTION + _TILE)), "black")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for row, (caption, positions) in enumerate(rows):
        top = row * (_CAPTION + _TILE)
        draw.text((_GAP, top + _GAP), caption, fill="white", font=font)
        for column, pixels in enumerate(dataset.originals(positions.tolist())):
            tile = ImageOps.pad(Image.fromarray(pixels), (_TILE, _TILE))
            sheet.paste(tile, (_GAP + column * (_TILE + _GAP), top + _CAPTION))
    try:
        sheet.save(path, format="PNG")
    except OSError as problem:
        raise DataError(f"{path} cannot be written: {problem}. Give another file.") from None


def _rows(dataset: Dataset) -> Iterator[tuple[str, Indices]]:
    for split, split_name in SPLITS.items():
        for label, label_name in _CLASSES.items():
            where = np.flatnonzero((dataset.split == split) & (dataset.labels == label))
            if len(where):
                caption = f"{dataset.name}: {split_name}, {label_name}, {len(where):,} images"
                n_shown = min(_N_ACROSS, len(where))
                yield caption, where[np.linspace(0, len(where) - 1, n_shown).astype(np.int64)]
