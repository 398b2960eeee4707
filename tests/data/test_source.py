import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data import Dataset, images, load

MakeDataset = Callable[..., Dataset]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The image files that were decoded, in order."""
    files: list[Path] = []
    decode = images.decode

    def watch(path: Path) -> np.ndarray:
        files.append(path)
        return decode(path)

    monkeypatch.setattr(images, "decode", watch)
    return files


def test_images_are_decoded_once(release: Path, decoded: list[Path]) -> None:
    first = load(release)
    assert len(decoded) == 26
    assert load(release).fingerprint == first.fingerprint
    assert load(release).digests == first.digests
    np.testing.assert_array_equal(load(release).sizes, [[12, 16]] * 26)
    assert len(decoded) == 26


def test_pixels_of_a_size_are_made_once(release: Path, decoded: list[Path]) -> None:
    pixels = load(release).pixels_at(8)
    assert len(decoded) == 52
    np.testing.assert_array_equal(load(release).pixels_at(8), pixels)
    assert len(decoded) == 52
    load(release).pixels_at(9)
    assert len(decoded) == 78


def test_pixels_are_the_resized_originals(release: Path) -> None:
    dataset = load(release)

    pixels = dataset.pixels_at(8)

    assert pixels.shape == (26, 8, 8)
    assert pixels.dtype == np.uint8
    assert not pixels.flags.writeable
    for resized, original in zip(pixels, dataset.originals(range(26)), strict=True):
        np.testing.assert_array_equal(resized, images.resize(original, 8))


def test_a_changed_file_is_noticed(release: Path, decoded: list[Path]) -> None:
    before = load(release).fingerprint
    file = release / "train/NORMAL/IM-0001-0001.png"
    Image.new("L", (16, 12), 3).save(file)

    assert load(release).fingerprint != before
    assert len(decoded) == 52


def test_a_changed_file_of_the_same_size_is_noticed(data_folder: Path) -> None:
    np.save(data_folder / "normal.npy", np.zeros((5, 4, 4), np.uint8))
    np.save(data_folder / "pneumonia.npy", np.ones((5, 4, 4), np.uint8))
    before = load(data_folder).fingerprint

    np.save(data_folder / "normal.npy", np.full((5, 4, 4), 2, np.uint8))
    os.utime(data_folder / "normal.npy", (1, 1))

    assert load(data_folder).fingerprint != before


def test_a_file_touched_but_not_changed_keeps_the_fingerprint(release: Path) -> None:
    before = load(release).fingerprint
    os.utime(release / "train/NORMAL/IM-0001-0001.png", (1, 1))

    assert load(release).fingerprint == before


def test_the_fingerprint_does_not_depend_on_where_the_data_lie(
    release: Path, tmp_path: Path
) -> None:
    shutil.copytree(release, tmp_path / "elsewhere")

    assert load(tmp_path / "elsewhere").fingerprint == load(release).fingerprint
    assert len(load(release).fingerprint) == 32


def test_the_fingerprint_tells_labels_splits_and_siblings_apart(
    make_dataset: MakeDataset,
) -> None:
    same = [make_dataset([0, 1, 0, 1]) for _ in range(2)]
    other = [
        make_dataset([0, 1, 1, 0]),
        make_dataset([0, 1, 0, 1], split=[0, 0, 0, 2]),
        make_dataset([0, 1, 0, 1], patients="abca"),
        make_dataset([0, 1, 0, 1], images=[np.zeros((8, 8), np.uint8)] * 4),
        make_dataset([0, 1, 0, 1], images=[np.zeros((4, 16), np.uint8)] * 4),
    ]

    assert same[0].fingerprint == same[1].fingerprint
    assert len({dataset.fingerprint for dataset in [same[0], *other]}) == 6


def test_the_fingerprint_does_not_depend_on_the_names_of_patients(
    make_dataset: MakeDataset,
) -> None:
    one, other = (make_dataset([0, 1, 0, 1], patients=keys) for keys in ("abac", "zbzx"))

    assert one.fingerprint == other.fingerprint
    assert list(one.patients) == [0, 1, 0, 2]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sizes": 1, "digests": ["a"]}'])
def test_a_damaged_index_is_made_again(
    release: Path, cache_folder: Path, decoded: list[Path], content: bytes
) -> None:
    before = load(release).fingerprint
    (index,) = (cache_folder / "index").iterdir()
    index.write_bytes(content)

    assert load(release).fingerprint == before
    assert len(decoded) == 52


def test_an_index_of_another_number_of_images_is_made_again(
    release: Path, cache_folder: Path, decoded: list[Path]
) -> None:
    load(release)
    (index,) = (cache_folder / "index").iterdir()
    index.write_text('{"sizes": [[8, 8]], "digests": ["00"]}')

    assert len(load(release).digests) == 26
    assert len(decoded) == 52
