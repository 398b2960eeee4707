"""The four .npy files and MedMNIST archives: what is read and what is refused."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, VALIDATION
from hpo.data.source import open_data
from tests.data.conftest import refusal

NAMES = ("normal.npy", "pneumonia.npy", "test_normal.npy", "test_pneumonia.npy")
Arrays = dict[str, np.ndarray]
Write = Callable[[Arrays], Path]


@pytest.fixture
def course(data_folder: Path) -> Path:
    """The four files, with 5, 6, 2 and 3 images of 10 x 12 pixels."""
    for value, (name, n) in enumerate(zip(NAMES, (5, 6, 2, 3), strict=True)):
        np.save(data_folder / name, np.full((n, 10, 12), value, np.uint8))
    return data_folder


@pytest.fixture
def arrays() -> Arrays:
    """Six training, four validation and two test images of 9 x 9 pixels."""
    random, found = np.random.default_rng(0), Arrays()
    for split, n in (("train", 6), ("val", 4), ("test", 2)):
        found[f"{split}_images"] = random.integers(0, 256, (n, 9, 9), np.uint8)
        found[f"{split}_labels"] = np.arange(n, dtype=np.uint8)[:, None] % 2
    return found


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(arrays: Arrays) -> Path:
        np.savez_compressed(tmp_path / "mnist.npz", **arrays)
        return tmp_path / "mnist.npz"

    return write


def test_the_four_npy_files_are_read(course: Path) -> None:
    np.save(course / "covid.npy", np.zeros((6, 8, 8), np.uint8))
    np.save(course / "test_normal.npy", np.full((2, 10, 13), 2, np.uint8))
    dataset = open_data(course)
    assert list(dataset.labels) == [NORMAL] * 5 + [PNEUMONIA] * 6 + [NORMAL] * 2 + [PNEUMONIA] * 3
    assert list(dataset.split) == [TRAIN] * 11 + [TEST] * 5
    assert not dataset.has_patients
    assert len(set(dataset.patients)) == 16
    assert dataset.files[6] == "pneumonia.npy[1]"
    values = [image[0, 0] for image in dataset.originals(range(16))]
    assert values == [0] * 5 + [1] * 6 + [2] * 2 + [3] * 3
    assert dataset.notes[0].startswith("Left out: 1 array ('covid.npy'). Only normal.npy")
    assert "(12 x 10 in normal.npy, 12 x 10 in pneumonia.npy, 13 x 10 in" in dataset.notes[1]


def test_an_archive_is_read(arrays: Arrays, write: Write) -> None:
    dataset = open_data(write(arrays))
    assert (dataset.format, dataset.name) == ("MedMNIST archive", "mnist")
    assert list(dataset.split) == [TRAIN] * 6 + [VALIDATION] * 4 + [TEST] * 2
    assert list(dataset.labels) == [0, 1] * 6
    assert dataset.files[7] == "val_images[1]"
    places = {11: ("test", 1), 3: ("train", 3), 0: ("train", 0), 6: ("val", 0)}
    for image, (split, i) in zip(dataset.originals(list(places)), places.values(), strict=True):
        np.testing.assert_array_equal(image, arrays[f"{split}_images"][i])


def test_validation_and_test_splits_may_be_missing_or_empty(
    course: Path, arrays: Arrays, write: Write
) -> None:
    np.save(course / "test_normal.npy", np.empty((0, 10, 12), np.uint8))
    assert len(open_data(course).where(TEST)) == 3
    (course / "test_normal.npy").unlink()
    assert "test_normal.npy is missing" in refusal(course)
    (course / "test_pneumonia.npy").unlink()
    assert len(open_data(course).where(TEST)) == 0
    arrays |= {"test_images": np.empty((0, 9, 9), np.uint8), "test_labels": np.empty((0, 1), int)}
    del arrays["val_images"], arrays["val_labels"]
    assert len(open_data(write(arrays))) == 6


@pytest.mark.parametrize(
    "change",
    [
        lambda key, a: a.reshape(-1).astype(np.int64) if "labels" in key else a,
        lambda key, a: np.stack([a] * 3, -1) if "images" in key else a,
        lambda key, a: np.stack([a], -1) if "images" in key else a,
        lambda _, a: np.asfortranarray(a),
    ],
    ids=["flat labels", "color", "one channel", "Fortran order"],
)
def test_other_layouts_of_the_same_arrays_are_the_same_data(
    arrays: Arrays, write: Write, change: Callable[[str, np.ndarray], np.ndarray]
) -> None:
    plain = open_data(write(arrays)).fingerprint
    changed = {key: change(key, a) for key, a in arrays.items()}
    assert open_data(write(changed)).fingerprint == plain


class _Trap:
    """Fails the test when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("it was unpickled",))


def test_all_faults_of_npy_files_are_listed_and_nothing_is_unpickled(course: Path) -> None:
    np.save(course / "normal.npy", np.array([_Trap()], object), allow_pickle=True)
    np.save(course / "pneumonia.npy", np.zeros((5, 10, 12, 4), np.uint8))
    (course / "test_pneumonia.npy").unlink()
    missing, unread, unfit = refusal(course).splitlines()[1:]
    assert missing == "  - test_pneumonia.npy is missing"
    assert "normal.npy contains Python objects, perhaps images of different sizes" in unread
    assert "pneumonia.npy must have numbers of shape (n, height, width), or 1 or 3" in unfit
    assert unfit.endswith("but is uint8 of shape (5, 10, 12, 4)")


@pytest.mark.parametrize(
    ("key", "array", "fault"),
    [
        (
            "train_images",
            np.full((6, 9, 9), -1.5),
            "contains float64 from -1.5 to -1.5: save",
        ),
        (
            "train_images",
            np.full((6, 9, 9), np.nan),
            "contains values that are NaN or infinite",
        ),
        ("train_images", np.zeros((6, 9, 9, 2), np.uint8), "shape (6, 9, 9, 2)"),
        ("train_images", np.zeros((6, 1, 20_001), np.uint8), "20001 x 1 pixels; the limit is"),
        ("test_labels", np.zeros((2, 3), np.uint8), "test_labels must be numbers or texts"),
        ("test_labels", np.array(1, np.uint8), "is uint8 of shape ()"),
        ("val_labels", np.array([0, 1, 2.5, 0]), "val_labels contains values that are not whole"),
        ("train_labels", np.array([0, 1]), "is int64 of shape (2,), but there are 6 images"),
        ("train_labels", np.array([{}] * 6, object), "contains Python objects"),
    ],
)
def test_all_faults_of_an_archive_are_listed(
    arrays: Arrays, write: Write, key: str, array: np.ndarray, fault: str
) -> None:
    lone, other = (
        ("test_labels", "test_images") if key == "val_labels" else ("val_images", "val_labels")
    )
    del arrays[other]
    text = refusal(write(arrays | {key: array}))
    assert fault in text
    assert f"{lone} lacks its {other[-6:]}" in text


def _header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(1000)


@pytest.mark.parametrize(
    "content",
    [
        _header("(-6, 9, 9)"),
        _header(f"({'9' * 300}, 9, 9)"),
        _header("(6, 100000, 100000)"),
        _header("__import__('os').mkdir('exploded')"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"",
    ],
)
def test_false_npy_headers_are_refused(
    course: Path, arrays: Arrays, write: Write, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(course)
    (course / "normal.npy").write_bytes(content)
    path = write({k: v for k, v in arrays.items() if k != "train_images"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_images.npy", content)
    for place in (course / "normal.npy", path / "train_images"):
        assert f"{place} is damaged or cannot be read" in refusal(place.parent)
    assert not (course / "exploded").exists()


def test_truncated_files_and_images_along_the_last_axis_are_refused(course: Path) -> None:
    content = (course / "normal.npy").read_bytes()
    (course / "normal.npy").write_bytes(content[:-1])
    assert "normal.npy is damaged or cannot be read" in refusal(course)
    for name, n in zip(NAMES, (20, 6, 3, 3), strict=True):
        np.save(course / name, np.zeros((32, 32, n), np.uint8))
    assert "look like (height, width, n). Save np.ascontiguous" in refusal(course)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "encrypted", "compression"])
def test_a_damaged_archive_is_refused(arrays: Arrays, write: Write, damage: str) -> None:
    path = write(arrays)
    content = bytearray(path.read_bytes())
    if damage in {"empty", "cut"}:
        content = content[: len(content) // 3 if damage == "cut" else 0]
    elif damage == "flipped":
        with zipfile.ZipFile(path) as archive:
            content[archive.getinfo("test_images.npy").header_offset + 240] ^= 0xFF
    elif damage == "encrypted":
        for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.find(mark)
            while at >= 0:
                content[at + flags] |= 1
                at = content.find(mark, at + 4)
    path.write_bytes(content)
    if damage == "compression":  # It uses as much memory as the file declares.
        with zipfile.ZipFile(path) as whole:
            members = {name: whole.read(name) for name in whole.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            for name, member in members.items():
                archive.writestr(name, member)
    assert "mnist.npz" in (text := refusal(path))
    assert "is damaged or cannot be read" in text


def test_an_archive_that_takes_too_much_memory_is_refused(
    arrays: Arrays, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.data.arrays._MOST_UNPACKED", 500)
    assert "train_images needs 0 GB of memory, but the limit is" in refusal(write(arrays))


def test_large_files_are_memory_mapped(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_data(course).fingerprint
    monkeypatch.setattr("hpo.data.arrays._MOST_IN_MEMORY", 100)
    assert open_data(course).fingerprint == whole


def courses() -> Arrays:
    """Return X and y as courses hand them out, with 20 training and 8 test images."""
    random, found = np.random.default_rng(0), Arrays()
    for split, n in (("train", 20), ("test", 8)):
        found[f"X_{split}"] = random.integers(0, 256, (n, 9, 9), np.uint8)
        found[f"y_{split}"] = np.arange(n) % 2
    return found


@pytest.mark.parametrize("is_archive", [False, True])
def test_arrays_x_and_y_are_read(data_folder: Path, tmp_path: Path, is_archive: bool) -> None:
    arrays = courses()
    np.savez(tmp_path / "course.npz", **arrays)
    for name, array in arrays.items():
        np.save(data_folder / f"{name}.npy", array)
    dataset = open_data(tmp_path / "course.npz" if is_archive else data_folder)
    assert dataset.class_names == ("0", "1")
    assert [len(dataset.where(split)) for split in (TRAIN, VALIDATION, TEST)] == [20, 0, 8]
    np.testing.assert_array_equal(next(dataset.originals([21])), arrays["X_test"][1])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda x: x / 255, "X_train contains float64: 0 to 1 is read as black to white."),
        (lambda x: (x / 255).astype(np.float32)[..., None], "X_train contains float32: 0 to 1"),
        (lambda x: x.astype(np.float16), "X_train contains float16: 0 to 255 is read"),
        (lambda x: x[:, None].astype(int), "X_train contains int64: 0 to 255"),
        (lambda x: np.stack([x] * 3, 1), ""),
        (lambda x: np.stack([x] * 3, -1) / 255.0, "0 to 1 is read"),
        (lambda x: x.astype(">i4"), "X_train contains >i4"),
    ],
)
def test_other_dtypes_and_channels_are_the_same_images(
    write: Write, change: Callable[[np.ndarray], np.ndarray], note: str
) -> None:
    arrays = courses()
    plain = open_data(write(arrays)).fingerprint
    changed = {name: change(a) if name[0] == "X" else a for name, a in arrays.items()}
    dataset = open_data(write(changed))
    assert dataset.fingerprint == plain
    assert note in " ".join(dataset.notes)


def test_text_labels_name_classes_and_a_test_set_is_drawn(write: Write) -> None:
    labels = np.array(["sick", "healthy"])[np.arange(40) // 2 % 2]
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 9), np.uint8)
    dataset = open_data(
        write({"images": images, "labels": labels, "patients": np.arange(40) // 2})
    )
    assert dataset.class_names == ("healthy", "sick")
    assert (dataset.patients_by, len(dataset.where(TEST))) == ("array", 8)
    assert list(dataset.labels[:4]) == [1, 1, 0, 0]


def test_more_than_two_numbered_classes_get_names(write: Write) -> None:
    dataset = open_data(write(courses() | {"y_train": np.arange(20) % 3}))
    assert dataset.class_names == ("class 0", "class 1", "class 2")
