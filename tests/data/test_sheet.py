from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data import Pixels, load, open_phantom
from hpo.data.sheet import contact_sheet
from hpo.errors import DataError


def _read(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_row_per_split_and_class(release: Path, tmp_path: Path) -> None:
    contact_sheet(load(release), tmp_path / "sheet.png")
    contact_sheet(open_phantom(size=16), tmp_path / "phantom.png")

    small, phantom = (_read(tmp_path / f"{name}.png") for name in ("sheet", "phantom"))
    assert small.shape == phantom.shape
    row = len(small) // 4
    assert all(small[(i + 1) * row - 80].any() for i in range(4))


def test_a_row_with_fewer_images_stays_dark_at_its_end(release: Path, tmp_path: Path) -> None:
    contact_sheet(load(release), tmp_path / "sheet.png")

    sheet = _read(tmp_path / "sheet.png")
    last_tile = sheet[:, -150:-10]
    row = len(sheet) // 4
    assert last_tile[row - 80].any()
    assert not last_tile[4 * row - 80].any()


def test_a_file_that_cannot_be_written_is_named(release: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing/sheet\.png cannot be written"):
        contact_sheet(load(release), tmp_path / "missing" / "sheet.png")
