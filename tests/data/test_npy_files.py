from pathlib import Path

import numpy as np
import pytest

from hpo.data import NORMAL, PNEUMONIA, TEST, TRAIN, load
from hpo.errors import DataError

NAMES = ("normal.npy", "pneumonia.npy", "test_normal.npy", "test_pneumonia.npy")


@pytest.fixture
def course(data_folder: Path) -> Path:
    """The four files, with 5, 6, 2 and 3 images of 10 x 12 pixels."""
    for value, (name, n) in enumerate(zip(NAMES, (5, 6, 2, 3), strict=True)):
        np.save(data_folder / name, np.full((n, 10, 12), value, np.uint8))
    return data_folder


def test_the_four_files_make_a_data_set(course: Path) -> None:
    dataset = load(course)

    assert dataset.format == "npy files"
    assert list(dataset.labels) == [NORMAL] * 5 + [PNEUMONIA] * 6 + [NORMAL] * 2 + [PNEUMONIA] * 3
    assert list(dataset.split) == [TRAIN] * 11 + [TEST] * 5
    assert not dataset.has_patients
    assert len(set(dataset.patients)) == 16
    assert dataset.files[6] == "pneumonia.npy[1]"


def test_each_image_is_that_of_its_file(course: Path) -> None:
    values = [image[0, 0] for image in load(course).originals(range(16))]

    assert values == [0] * 5 + [1] * 6 + [2] * 2 + [3] * 3


def test_test_files_may_be_absent_or_empty(course: Path) -> None:
    np.save(course / "test_normal.npy", np.empty((0, 10, 12), np.uint8))
    assert len(load(course).where(TEST)) == 3

    (course / "test_normal.npy").unlink()
    (course / "test_pneumonia.npy").unlink()
    assert len(load(course).where(TEST)) == 0


@pytest.mark.parametrize("name", ["normal.npy", "pneumonia.npy", "test_normal.npy"])
def test_a_missing_file_is_named(course: Path, name: str) -> None:
    (course / name).unlink()

    with pytest.raises(DataError, match=rf"{name} is missing"):
        load(course)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((5, 10, 12)), r"float64 of shape \(5, 10, 12\)"),
        (np.zeros((5, 120), np.uint8), r"uint8 of shape \(5, 120\)"),
        (np.zeros((5, 10, 12, 3), np.uint8), r"uint8 of shape \(5, 10, 12, 3\)"),
        (np.zeros((5, 0, 12), np.uint8), r"uint8 of shape \(5, 0, 12\)"),
    ],
)
def test_a_wrong_type_or_shape_is_named_with_what_is_allowed(
    course: Path, array: np.ndarray, found: str
) -> None:
    np.save(course / "pneumonia.npy", array)

    with pytest.raises(DataError, match=rf"uint8 gray values.*\n.*pneumonia\.npy holds {found}"):
        load(course)


class _Trap:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("it was unpickled",))


def test_a_pickled_array_is_refused_and_never_unpickled(course: Path) -> None:
    np.save(course / "normal.npy", np.array([_Trap()], object), allow_pickle=True)

    with pytest.raises(DataError, match=r"normal\.npy is no plain array file"):
        load(course)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00garbage"])
def test_a_damaged_file_is_named(course: Path, content: bytes) -> None:
    (course / "test_pneumonia.npy").write_bytes(content)

    with pytest.raises(DataError, match=r"test_pneumonia\.npy is no plain array file"):
        load(course)


def test_a_cut_file_is_named(course: Path) -> None:
    file = course / "normal.npy"
    file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(DataError, match=r"normal\.npy .*damaged"):
        load(course)


def test_every_fault_is_in_one_message(course: Path) -> None:
    (course / "pneumonia.npy").unlink()
    np.save(course / "normal.npy", np.zeros(3))

    with pytest.raises(DataError, match=r"pneumonia\.npy is missing\n.*normal\.npy holds float64"):
        load(course)


def _header(shape: str, version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + bytes(1000)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (_header("(-5, 10, 12)"), "its header tells a shape that no array has"),
        (_header("(True, 10, 12)"), "its header tells a shape that no array has"),
        (_header(f"({'9' * 300}, 10, 12)"), "its header tells a shape that no array has"),
        (_header("(10000000000, 10, 12)"), r"is cut short or damaged: 1,\d+ bytes of"),
        (_header("(1, 100000, 100000)"), "holds 100000 x 100000 pixels; at most 64,000,000"),
        (_header("(1, 1, 60000000)"), "holds 60000000 x 1 pixels; sides of at most 20,000"),
        (_header("(5, 10, 12)", b"\x09\x00"), "its header makes no sense"),
        (_header("__import__('os').mkdir('exploded')"), "its header makes no sense"),
        (_header("(" * 3000), "its header makes no sense"),
        (b"PK\x03\x04", "its header makes no sense"),
    ],
)
def test_what_a_header_claims_is_not_believed(
    course: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, found: str
) -> None:
    monkeypatch.chdir(course)
    (course / "normal.npy").write_bytes(content)

    with pytest.raises(DataError, match=rf"normal\.npy (is .*: )?{found}"):
        load(course)
    assert not (course / "exploded").exists()


def test_a_header_that_claims_4_gb_is_not_read_whole(course: Path) -> None:
    with (course / "normal.npy").open("wb") as file:
        file.write(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")
        file.truncate(4 << 30)

    with pytest.raises(DataError, match="its header makes no sense"):
        load(course)


def test_more_images_than_are_read_are_refused_before_they_are_listed(course: Path) -> None:
    head = _header("(600000, 1, 1)")[:-1000]
    (course / "normal.npy").write_bytes(head + bytes(600_000))

    with pytest.raises(DataError, match=r"there are 600,\d+ images; at most 500,000"):
        load(course)


@pytest.mark.parametrize(
    "shapes",
    [
        [(32, 32, 20), (32, 32, 20), (32, 32, 6), (32, 32, 6)],
        [(32, 32, 20), (32, 32, 20)],
        [(28, 32, 20), (28, 32, 18)],
        [(20, 32, 32), (32, 32, 20)],
    ],
)
def test_arrays_with_the_images_along_the_last_axis_are_refused(
    data_folder: Path, shapes: list[tuple[int, int, int]]
) -> None:
    names = ("normal", "pneumonia", "test_normal", "test_pneumonia")
    for name, shape in zip(names, shapes, strict=False):
        np.save(data_folder / f"{name}.npy", np.zeros(shape, np.uint8))

    with pytest.raises(DataError, match=r"looks like \(height, width, n\): save np\.ascont"):
        load(data_folder)


def test_arrays_that_are_not_read_and_sizes_that_differ_are_said(data_folder: Path) -> None:
    for name, side in (("normal", 8), ("pneumonia", 9), ("covid", 8)):
        np.save(data_folder / f"{name}.npy", np.zeros((6, side, side), np.uint8))

    notes = load(data_folder).notes

    assert notes[0].startswith("Left out: 1 .npy file ('covid.npy'). Only normal.npy")
    assert "Image sizes differ between files (8 x 8 in normal.npy, 9 x 9 in" in notes[1]
