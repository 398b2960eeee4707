"""Small data sets on disk, and a cache for each test."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data.dataset import CLASS_NAMES, Dataset, Pixels
from hpo.data.manifest import Manifest
from hpo.data.source import open_data, open_table
from hpo.data.table import BY_NAME, Row, Table
from hpo.errors import DataError

REAL = Path(__file__).parents[2] / ".." / "shared" / "data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real X-rays are not here")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("HPO_CACHE", str(folder))
    return folder


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "xrays"
    folder.mkdir()
    return folder


def noise(name: str, *shape: int) -> Pixels:
    """Return noise that depends only on the name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return random.integers(0, 256, shape, np.uint8)


def write_images(folder: Path, names: Iterable[str]) -> None:
    """Write an image per name; its pixels depend only on the name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(Path(name).stem, 12, 16)).save(folder / name)


def write_release(folder: Path) -> Path:
    """Write a small release: six patients with two images in each class, and two for the test."""
    for i, image in ((i, image) for i in range(1, 7) for image in (1, 2)):
        names = (f"NORMAL/IM-{i:04}-{image:04}", f"PNEUMONIA/person{i}_virus_{10 * i + image}")
        write_images(folder, [f"train/{name}.png" for name in names])
    for name in ("NORMAL/IM-0099-0001", "PNEUMONIA/person99_virus_1"):
        write_images(folder, [f"test/{name}.png"])
    return folder


@pytest.fixture
def release(data_folder: Path) -> Path:
    return write_release(data_folder)


def refusal(path: Path, **options: object) -> str:
    """Return the message when these data are refused."""
    with pytest.raises(DataError) as error:
        open_data(path, Manifest.model_validate(options))
    return str(error.value)


def make_dataset(
    labels: Iterable[int],
    *,
    split: Iterable[int] | None = None,
    patients: Iterable[str] | None = None,
    images: list[Pixels] | None = None,
) -> Dataset:
    """Make a data set in memory; images are noise unless given."""
    labels = list(labels)
    own = images or [noise(str(i), 8, 8) for i in range(len(labels))]
    splits = list(split) if split else [0] * len(labels)
    keys = list(patients) if patients else [""] * len(labels)
    rows = [
        Row(f"image {i}", (CLASS_NAMES[label],), of, key, bool(key))
        for i, (label, of, key) in enumerate(zip(labels, splits, keys, strict=True))
    ]
    return open_table(
        Table(
            name="made",
            location="made",
            format="memory",
            rows=rows,
            patients_by=BY_NAME,
            read=lambda some: (own[int(image.split()[1])] for image in some),
        )
    )
