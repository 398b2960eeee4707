"""Opening data sets, detecting changes, and the image cache."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hpo.data import cache, images
from hpo.data.source import open_data
from hpo.errors import DataError
from tests.data.conftest import make_dataset

SHAPE = (3, 4, 4)
IMAGES = np.arange(48, dtype=np.uint8).reshape(SHAPE)


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


def test_a_path_without_data_lists_what_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*gone.*\n.*train,val,test") as error:
        open_data(tmp_path / "gone")
    for way in ("--data", "normal.npy", "X_train"):
        assert way in str(error.value)
    with pytest.raises(DataError, match="contains no data set that can be read"):
        open_data(tmp_path)


@pytest.mark.parametrize("name", ["a" * 300, "~no-such-user/x", "\udcff"])
def test_an_impossible_path_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read: .*\. Give the path"):
        open_data(Path(name))


def test_arrays_in_a_subfolder_are_suggested(tmp_path: Path) -> None:
    (tmp_path / "outer/xrays").mkdir(parents=True)
    np.save(tmp_path / "outer/xrays/normal.npy", IMAGES)
    with pytest.raises(DataError, match=rf"Did you mean {tmp_path / 'outer/xrays'}\?"):
        open_data(tmp_path)


def test_one_class_alone_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="lacks a class to train on: 8 normal, 0 pneum"):
        make_dataset([0] * 8 + [1] * 2, split=[0] * 8 + [2] * 2)


def test_images_are_decoded_once_for_the_index_and_once_for_each_size(
    release: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_data(release)
    assert len(decoded) == 26
    monkeypatch.chdir(release.parent)
    again = open_data(Path(release.name))
    assert (again.fingerprint, again.source) == (first.fingerprint, str(release))
    np.testing.assert_array_equal(again.sizes, [[12, 16]] * 26)
    assert len(decoded) == 26
    pixels = open_data(release).pixels_at(8)
    np.testing.assert_array_equal(open_data(release).pixels_at(8), pixels)
    assert len(decoded) == 52
    for resized, original in zip(pixels, first.originals(range(26)), strict=True):
        np.testing.assert_array_equal(resized, images.resize(original, 8))


def _write_again(path: Path, gray: int) -> None:
    """Write a constant image of the same size, with the same times."""
    times = os.stat(path)  # noqa: PTH116 (Path.stat may be replaced)
    if path.suffix == ".png":
        Image.new("L", (16, 12), gray).save(path, compress_level=0)
    else:
        np.save(path, np.full((5, 4, 4), gray, np.uint8))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_changed_pixels_of_the_same_size_and_time_are_detected(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, stat = release / "train/NORMAL/IM-0001-0001.png", Path.stat

    def without_times(*arguments: Path, **options: bool) -> SimpleNamespace:
        """Return a file status with fixed times and inodes."""
        found = stat(*arguments, **options)
        fixed = {"st_ino": 1, "st_ctime_ns": 0, "st_mtime_ns": 0}
        return SimpleNamespace(st_mode=found.st_mode, st_size=found.st_size, **fixed)

    _write_again(file, 3)
    monkeypatch.setattr(Path, "stat", without_times)
    before = open_data(release).fingerprint
    _write_again(file, 4)
    assert open_data(release).fingerprint != before


@pytest.mark.parametrize("kind", ["folder", "npy", "npz"])
def test_images_that_change_after_opening_are_not_used(
    release: Path, tmp_path: Path, cache_folder: Path, kind: str
) -> None:
    place = {"folder": release, "npy": tmp_path / "npy", "npz": tmp_path / "x.npz"}[kind]
    (tmp_path / "npy").mkdir()
    for gray, name in enumerate(("normal", "pneumonia")):
        np.save(tmp_path / "npy" / f"{name}.npy", np.full((5, 4, 4), gray, np.uint8))

    def change(gray: int) -> None:
        if kind == "npz":
            several = np.full((10, 4, 4), gray, np.uint8)
            np.savez(place, train_images=several, train_labels=np.arange(10) % 2)
        else:
            name = "train/NORMAL/IM-0001-0001.png" if kind == "folder" else "normal.npy"
            _write_again(place / name, gray)

    change(1)
    dataset = open_data(place)
    before = np.array(dataset.pixels_at(8))
    change(2)
    with pytest.raises(DataError, match="has changed since it was opened"):
        dataset.pixels_at(9)
    kept = [file.name for file in (cache_folder / "pixels").iterdir()]
    assert kept == [f"{dataset.fingerprint}-8.npy"]
    change(1)
    np.testing.assert_array_equal(open_data(place).pixels_at(8), before)
    assert open_data(place).pixels_at(9).shape == (len(dataset), 9, 9)


def test_images_that_change_while_being_read_are_not_cached(
    release: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = images.decode

    def change_and_decode(path: Path) -> np.ndarray:
        if path.name == "person99_virus_1.png":
            _write_again(release / "train/NORMAL/IM-0001-0001.png", 9)
        return decode(path)

    monkeypatch.setattr(images, "decode", change_and_decode)
    with pytest.raises(DataError, match="changed while it was read"):
        open_data(release)
    assert not (cache_folder / "index").exists()


def test_the_fingerprint_depends_only_on_labels_splits_patients_and_pixels(
    release: Path, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(release, tmp_path / "elsewhere")
    assert open_data(elsewhere).fingerprint == open_data(release).fingerprint
    same = make_dataset([0, 1, 0, 1])
    others = [
        make_dataset([0, 1, 1, 0]),
        make_dataset([0, 1, 0, 1], split=[0, 0, 0, 2]),
        make_dataset([0, 1, 0, 1], patients="abca"),
        make_dataset([0, 1, 0, 1], images=[np.zeros((8, 8), np.uint8)] * 4),
        make_dataset([0, 1, 0, 1], images=[np.zeros((4, 16), np.uint8)] * 4),
    ]
    assert make_dataset([0, 1, 0, 1]).fingerprint == same.fingerprint
    assert len({dataset.fingerprint for dataset in [same, *others]}) == 6
    one, other = (make_dataset([0, 1, 0, 1], patients=keys) for keys in ("abac", "zbzx"))
    assert one.fingerprint == other.fingerprint
    assert list(one.patients) == [0, 1, 0, 2]


@pytest.mark.parametrize("content", [b"[]", None])
def test_damaged_cache_files_are_rebuilt(
    release: Path, cache_folder: Path, decoded: list[Path], content: bytes | None
) -> None:
    before, fingerprint = np.array(open_data(release).pixels_at(8)), open_data(release).fingerprint
    for file in [*(cache_folder / "pixels").iterdir(), *(cache_folder / "index").iterdir()]:
        if content is None:  # A pipe is not waited for.
            file.unlink()
            os.mkfifo(file)
        else:
            file.write_bytes(content)
    assert open_data(release).fingerprint == fingerprint
    np.testing.assert_array_equal(open_data(release).pixels_at(8), before)
    assert len(decoded) == 104


@pytest.mark.parametrize("name", ["some", "other"])
def test_pixels_are_mapped_from_an_npy_file_unless_damaged_or_swapped(
    cache_folder: Path, name: str
) -> None:
    assert not cache.pixels("some", SHAPE, lambda: IMAGES).flags.writeable
    file = cache_folder / "pixels" / "some.npy"
    np.testing.assert_array_equal(np.load(file), IMAGES)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    again = cache.pixels("some", SHAPE, lambda: pytest.fail("they were made again"))
    np.testing.assert_array_equal(again, IMAGES)
    content = bytearray(file.read_bytes())
    content[-50] ^= name == "some"
    file.with_name(f"{name}.npy").write_bytes(content)
    assert cache.pixels(name, SHAPE, lambda: np.full(SHAPE, 200, np.uint8)).min() == 200


def test_an_interrupted_write_leaves_nothing(cache_folder: Path) -> None:
    def some() -> Iterator[np.ndarray]:
        yield IMAGES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.pixels("some", SHAPE, some)
    assert list((cache_folder / "pixels").iterdir()) == []


def test_without_a_writable_cache_pixels_stay_in_memory(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_data(release)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "file" / "cache"))
    dataset = open_data(release)
    assert dataset.fingerprint == before.fingerprint
    np.testing.assert_array_equal(dataset.pixels_at(8), before.pixels_at(8))
    assert dataset.pixels_at(8) is dataset.pixels_at(8)
    assert not dataset.pixels_at(8).flags.writeable
