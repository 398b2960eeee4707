import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hpo.data import Dataset, cache, load
from hpo.data.cache import read_pixels, write_pixels

SHAPE = (3, 4, 4)
IMAGES = np.arange(48, dtype=np.uint8).reshape(SHAPE)


def test_pixels_come_back_mapped_and_read_only() -> None:
    write_pixels("some", SHAPE, IMAGES)

    kept = read_pixels("some", SHAPE)

    assert kept is not None
    np.testing.assert_array_equal(kept, IMAGES)
    assert isinstance(kept.base, np.memmap)
    assert not kept.flags.writeable


def test_a_kept_file_is_a_plain_npy(cache_folder: Path) -> None:
    write_pixels("some", SHAPE, IMAGES)

    np.testing.assert_array_equal(np.load(cache_folder / "pixels" / "some.npy"), IMAGES)


@pytest.mark.parametrize("n_bytes", [0, 5, 100, -1])
def test_a_cut_file_is_not_used(cache_folder: Path, n_bytes: int) -> None:
    write_pixels("some", SHAPE, IMAGES)
    file = cache_folder / "pixels" / "some.npy"
    file.write_bytes(file.read_bytes()[:n_bytes])

    assert read_pixels("some", SHAPE) is None


def test_a_flipped_bit_is_noticed(cache_folder: Path) -> None:
    write_pixels("some", SHAPE, IMAGES)
    file = cache_folder / "pixels" / "some.npy"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)

    assert read_pixels("some", SHAPE) is None


def test_pixels_under_the_name_of_others_are_not_used(cache_folder: Path) -> None:
    write_pixels("some", SHAPE, IMAGES)
    (cache_folder / "pixels" / "some.npy").rename(cache_folder / "pixels" / "other.npy")

    assert read_pixels("other", SHAPE) is None


def test_pixels_of_another_shape_are_not_used() -> None:
    write_pixels("some", SHAPE, IMAGES)

    assert read_pixels("some", (3, 4, 5)) is None


def test_a_broken_off_write_leaves_nothing(cache_folder: Path) -> None:
    def images() -> Iterator[np.ndarray]:
        yield IMAGES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pixels("some", SHAPE, images())

    assert list((cache_folder / "pixels").iterdir()) == []


def test_damaged_pixels_are_made_again(release: Path, cache_folder: Path) -> None:
    before = np.array(load(release).pixels_at(8))
    (file,) = (cache_folder / "pixels").iterdir()
    file.write_bytes(b"damaged")

    np.testing.assert_array_equal(load(release).pixels_at(8), before)
    assert file.stat().st_size > before.size


def test_without_a_place_for_the_cache_all_stays_in_memory(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(release)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "file" / "cache"))

    dataset = load(release)

    assert dataset.fingerprint == before.fingerprint
    np.testing.assert_array_equal(dataset.pixels_at(8), before.pixels_at(8))
    assert dataset.pixels_at(8) is dataset.pixels_at(8)
    assert not dataset.pixels_at(8).flags.writeable


@contextmanager
def _full_disk(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_all_stays_in_memory(
    make_dataset: Callable[..., Dataset], cache_folder: Path
) -> None:
    dataset = make_dataset([0, 1] * 50)

    with _full_disk(10_000):
        pixels = dataset.pixels_at(32)

    np.testing.assert_array_equal(pixels, make_dataset([0, 1] * 50).pixels_at(32))
    assert [file.suffix for file in (cache_folder / "pixels").iterdir()] == [".npy"]


def test_the_cache_lies_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_CACHE", "/chosen")
    assert cache.folder() == Path("/chosen")
    monkeypatch.delenv("HPO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache.folder() == Path("/caches/hpo")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.folder() == Path("/home/someone/.cache/hpo")


def test_a_pipe_in_the_cache_is_not_waited_for(release: Path, cache_folder: Path) -> None:
    before = np.array(load(release).pixels_at(8))
    for file in (*(cache_folder / "pixels").iterdir(), *(cache_folder / "index").iterdir()):
        file.unlink()
        os.mkfifo(file)

    np.testing.assert_array_equal(load(release).pixels_at(8), before)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"sizes": [[9e99, -1]], "digests": [0]}'])
def test_an_index_of_rubbish_is_made_again(
    release: Path, cache_folder: Path, content: str
) -> None:
    before = load(release).fingerprint
    (index,) = (cache_folder / "index").iterdir()
    index.write_text(content)

    assert load(release).fingerprint == before


def test_pixels_of_another_type_are_not_used(cache_folder: Path) -> None:
    write_pixels("some", SHAPE, IMAGES)
    file = cache_folder / "pixels" / "some.npy"
    file.write_bytes(file.read_bytes().replace(b"|u1", b"|i1"))

    assert read_pixels("some", SHAPE) is None
