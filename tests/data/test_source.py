import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hpo.data import Dataset, images, load
from hpo.errors import DataError

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


def _write_again(path: Path, gray: int) -> None:
    """Write a constant image of the same size, under the same times."""
    times = os.stat(path)  # noqa: PTH116 (Path.stat may be replaced)
    if path.suffix == ".png":
        Image.new("L", (16, 12), gray).save(path, compress_level=0)
    else:
        np.save(path, np.full((5, 4, 4), gray, np.uint8))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _without_times(status: os.stat_result) -> SimpleNamespace:
    """What an image of a disk with fixed times and numbers of files tells."""
    return SimpleNamespace(
        st_mode=status.st_mode, st_size=status.st_size, st_ino=1, st_ctime_ns=0, st_mtime_ns=0
    )


@pytest.mark.parametrize("is_fixed", [False, True], ids=["times set back", "fixed times"])
def test_other_pixels_of_the_same_size_and_time_are_other_data(
    release: Path, monkeypatch: pytest.MonkeyPatch, is_fixed: bool
) -> None:
    file = release / "train/NORMAL/IM-0001-0001.png"
    _write_again(file, 3)
    if is_fixed:
        stat = Path.stat
        monkeypatch.setattr(Path, "stat", lambda *args, **kw: _without_times(stat(*args, **kw)))
    before = load(release).fingerprint

    _write_again(file, 4)

    assert load(release).fingerprint != before


def test_a_link_to_another_file_is_noticed(release: Path, tmp_path: Path) -> None:
    link = release / "train/NORMAL/IM-0001-0001.png"
    for gray in (3, 4):
        Image.new("L", (16, 12), gray).save(tmp_path / f"{gray}.png", compress_level=0)
        os.utime(tmp_path / f"{gray}.png", (1, 1))
    link.unlink()
    link.symlink_to(tmp_path / "3.png")
    before = load(release).fingerprint

    link.unlink()
    link.symlink_to(tmp_path / "4.png")

    assert load(release).fingerprint != before


@pytest.mark.parametrize("kind", ["folder", "npy", "npz"])
def test_images_that_change_after_the_opening_are_not_used(
    release: Path, tmp_path: Path, cache_folder: Path, kind: str
) -> None:
    place = release
    if kind == "folder":
        change = partial(_write_again, release / "train/NORMAL/IM-0001-0001.png")
    elif kind == "npy":
        place = tmp_path / "npy"
        place.mkdir()
        for gray, name in enumerate(("normal", "pneumonia")):
            np.save(place / f"{name}.npy", np.full((5, 4, 4), gray, np.uint8))
        change = partial(_write_again, place / "normal.npy")
    else:
        place = tmp_path / "x.npz"

        def change(gray: int) -> None:
            images = np.full((10, 4, 4), gray, np.uint8)
            np.savez(place, train_images=images, train_labels=np.arange(10) % 2)

    change(1)
    dataset = load(place)
    before = np.array(dataset.pixels_at(8))

    change(2)
    with pytest.raises(DataError, match="has changed since it was opened"):
        dataset.pixels_at(9)
    with pytest.raises(DataError, match="has changed since it was opened"):
        list(dataset.originals(range(len(dataset))))
    assert {file.name for file in (cache_folder / "pixels").iterdir()} == {
        f"{dataset.fingerprint}-8.npy"
    }

    change(1)
    np.testing.assert_array_equal(load(place).pixels_at(8), before)
    assert load(place).pixels_at(9).shape == (len(dataset), 9, 9)


def test_arrays_that_are_cut_after_the_opening_end_in_a_message(data_folder: Path) -> None:
    for name in ("normal", "pneumonia"):
        np.save(data_folder / f"{name}.npy", np.zeros((5, 400, 400), np.uint8))
    dataset = load(data_folder)
    (data_folder / "pneumonia.npy").write_bytes((data_folder / "normal.npy").read_bytes()[:1_000])

    with pytest.raises(DataError, match="it is cut short"):
        dataset.pixels_at(8)


def test_images_that_change_while_they_are_read_are_not_kept(
    release: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = images.decode

    def change_and_decode(path: Path) -> np.ndarray:
        if path.name == "person99_virus_1.png":
            _write_again(release / "train/NORMAL/IM-0001-0001.png", 9)
        return decode(path)

    monkeypatch.setattr(images, "decode", change_and_decode)
    with pytest.raises(DataError, match="changed while it was read"):
        load(release)
    assert not (cache_folder / "index").exists()


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
