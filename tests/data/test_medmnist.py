import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpo.data import TEST, TRAIN, VALIDATION, load
from hpo.errors import DataError

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "pneumoniamnist_28.npz"

Arrays = dict[str, np.ndarray]
Write = Callable[[Arrays], Path]


@pytest.fixture
def arrays() -> Arrays:
    """Six training, four validation and two test images of 9 x 9 pixels."""
    random = np.random.default_rng(0)
    counts = {"train": 6, "val": 4, "test": 2}
    images = {
        f"{s}_images": random.integers(0, 256, (n, 9, 9), np.uint8) for s, n in counts.items()
    }
    labels = {f"{s}_labels": np.arange(n, dtype=np.uint8)[:, None] % 2 for s, n in counts.items()}
    return images | labels


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(arrays: Arrays) -> Path:
        np.savez_compressed(tmp_path / "mnist.npz", **arrays)
        return tmp_path / "mnist.npz"

    return write


def test_an_archive_makes_a_data_set(arrays: Arrays, write: Write) -> None:
    dataset = load(write(arrays))

    assert dataset.format == "MedMNIST archive"
    assert dataset.name == "mnist"
    assert list(dataset.split) == [TRAIN] * 6 + [VALIDATION] * 4 + [TEST] * 2
    assert list(dataset.labels) == [0, 1] * 6
    assert not dataset.has_patients
    assert dataset.files[7] == "val_images[1]"


def test_images_can_be_picked_across_splits(arrays: Arrays, write: Write) -> None:
    picked = list(load(write(arrays)).originals([11, 0, 6]))

    np.testing.assert_array_equal(picked[0], arrays["test_images"][1])
    np.testing.assert_array_equal(picked[1], arrays["train_images"][0])
    np.testing.assert_array_equal(picked[2], arrays["val_images"][0])


def test_labels_may_be_a_plain_column(arrays: Arrays, write: Write) -> None:
    column = load(write(arrays)).fingerprint
    flat = {k: v.reshape(-1).astype(np.int64) if "labels" in k else v for k, v in arrays.items()}

    assert load(write(flat)).fingerprint == column


def test_color_images_become_gray(arrays: Arrays, write: Write) -> None:
    gray = load(write(arrays)).fingerprint
    for channels in (1, 3):
        color = {k: np.stack([v] * channels, -1) if v.ndim == 3 else v for k, v in arrays.items()}
        assert load(write(color)).fingerprint == gray


def test_validation_and_test_may_be_absent_or_empty(arrays: Arrays, write: Write) -> None:
    arrays |= {"test_images": np.empty((0, 9, 9), np.uint8), "test_labels": np.empty((0, 1), int)}
    del arrays["val_images"], arrays["val_labels"]

    dataset = load(write(arrays))

    assert len(dataset) == 6
    assert not dataset.has_validation


@pytest.mark.parametrize("key", ["train_images", "train_labels", "val_labels", "test_images"])
def test_a_missing_key_is_named(arrays: Arrays, write: Write, key: str) -> None:
    del arrays[key]

    with pytest.raises(DataError, match=rf"{key} is missing"):
        load(write(arrays))


@pytest.mark.parametrize(
    ("key", "array", "fault"),
    [
        ("train_images", np.zeros((6, 9, 9)), r"train_images takes uint8 .* but is float64"),
        ("val_images", np.zeros((4, 81), np.uint8), r"val_images takes .* shape \(4, 81\)"),
        ("train_images", np.zeros((6, 9, 9, 2), np.uint8), r"shape \(6, 9, 9, 2\)"),
        ("test_labels", np.zeros((2, 3), np.uint8), r"test_labels takes .* shape \(2, 3\)"),
        ("test_labels", np.array(1, np.uint8), r"test_labels takes .* shape \(\)"),
        ("val_labels", np.array(list("abcd")), r"val_labels takes whole numbers"),
        ("val_labels", np.array([0, 1, 2, 0]), r"val_labels holds other values than 0"),
        ("train_labels", np.array([0, 1]), r"train_labels is int64 of shape \(2,\), but train_im"),
    ],
)
def test_a_wrong_array_is_named(
    arrays: Arrays, write: Write, key: str, array: np.ndarray, fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        load(write(arrays | {key: array}))


def test_every_fault_is_in_one_message(arrays: Arrays, write: Write) -> None:
    del arrays["val_labels"]

    with pytest.raises(DataError, match=r"train_images takes uint8.*\n.*val_labels is missing"):
        load(write(arrays | {"train_images": np.zeros(6)}))


@pytest.mark.parametrize("key", ["train_labels", "train_images"])
def test_pickled_arrays_are_refused(arrays: Arrays, write: Write, key: str) -> None:
    with pytest.raises(DataError, match=key):
        load(write(arrays | {key: np.array([{}, {}], object)}))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_archive_is_named(arrays: Arrays, write: Write, share: float) -> None:
    path = write(arrays)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    with pytest.raises(DataError, match=r"mnist\.npz is no \.npz archive, or is damaged"):
        load(path)


def test_damaged_images_are_noticed(arrays: Arrays, write: Write) -> None:
    path = write(arrays)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("test_images.npy").header_offset
    content = bytearray(path.read_bytes())
    content[start + 200] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"mnist\.npz is no \.npz archive, or is damaged"):
        load(path)


@pytest.mark.skipif(not REAL.is_file(), reason="the real X-rays are not here")
def test_a_real_archive_is_read_whole() -> None:
    dataset = load(REAL)

    assert [len(dataset.where(split)) for split in (TRAIN, VALIDATION, TEST)] == [3882, 524, 624]
    assert dataset.pixels_at(28).shape == (5030, 28, 28)


def test_images_in_fortran_order_are_read(arrays: Arrays, write: Write) -> None:
    plain = load(write(arrays)).fingerprint
    turned = {k: np.asfortranarray(v) for k, v in arrays.items()}

    assert load(write(turned)).fingerprint == plain


def test_a_small_archive_of_many_large_images_is_read_image_by_image(
    arrays: Arrays, write: Write
) -> None:
    tracemalloc.start()
    arrays["train_images"] = np.broadcast_to(np.uint8(7), (6, 2000, 2000))
    path = write(arrays)
    tracemalloc.reset_peak()

    n_read = sum(1 for _ in load(path).originals(range(6)))

    assert n_read == 6
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2000 * 2000  # all six are 24 MB


def _claim(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ("(6, 1000000, 1000000)", "1000000 x 1000000 pixels; at most 64,000,000"),
        ("(100000000000, 9, 9)", "there are 100,000,000,000 images; at most 500,000"),
        ("(-6, 9, 9)", "tells a shape that no array has"),
        (f"({'9' * 400}, 9, 9)", "tells a shape that no array has"),
    ],
)
def test_what_an_archive_claims_is_not_believed(
    arrays: Arrays, write: Write, shape: str, fault: str
) -> None:
    path = write({k: v for k, v in arrays.items() if k != "train_images"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_images.npy", _claim(shape))

    with pytest.raises(DataError, match=fault):
        load(path)


def test_an_encrypted_archive_is_named(arrays: Arrays, write: Write) -> None:
    path = write(arrays)
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 4)
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"is damaged: File .* is encrypted"):
        load(path)


def test_a_compression_that_takes_memory_as_the_file_says_is_refused(
    arrays: Arrays, write: Write
) -> None:
    path = write(arrays)
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in members.items():
            archive.writestr(name, content)

    with pytest.raises(DataError, match="compressed in a way that NumPy does not use"):
        load(path)
