"""Folders of image files: splits and classes by folder, patients by name, what is left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data.audit import audit
from hpo.data.dataset import NORMAL, PNEUMONIA, TEST, TRAIN, VALIDATION
from hpo.data.image_folders import patients_of
from hpo.data.manifest import Manifest
from hpo.data.source import open_data
from hpo.errors import DataError
from tests.data.conftest import refusal, write_images

CLASSES = ("NORMAL", "PNEUMONIA")


def test_folders_give_split_and_class_and_names_give_patients(release: Path) -> None:
    write_images(release, [f"val/{kind}/IM-0050-0001.png" for kind in CLASSES])
    file = release / "train/NORMAL/IM-0001-0001.png"
    file.rename(file.with_suffix(".PNG"))
    for name in ("._IM-0001-0001.png", ".DS_Store", "Thumbs.db"):
        (release / "train/NORMAL" / name).write_bytes(b"left by a system")
    (release / "__MACOSX/train/NORMAL").mkdir(parents=True)
    (release / "__MACOSX/train/NORMAL/._IM-0001-0001.png").touch()
    (release / "train/NORMAL/folder.png").mkdir()
    dataset = open_data(release)
    assert (dataset.format, dataset.name, dataset.is_phantom) == ("image folders", "xrays", False)
    assert list(dataset.split) == [TRAIN] * 24 + [VALIDATION] * 2 + [TEST] * 2
    assert list(dataset.labels) == [NORMAL] * 12 + [PNEUMONIA] * 12 + [NORMAL, PNEUMONIA] * 2
    assert dataset.files[0] == "train/NORMAL/IM-0001-0001.PNG"
    assert [note[:34] for note in dataset.notes] == ["There are only 2 validation images"]
    assert dataset.has_patients
    assert dataset.patients[0] == dataset.patients[1] != dataset.patients[2]
    assert len(set(dataset.patients)) == 15
    for position, image in zip((0, 27), dataset.originals([0, 27]), strict=True):
        with Image.open(release / dataset.files[position]) as expected:
            np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("person7_bacteria_20.jpeg", "person7_bacteria_21.jpeg", True),
        ("person7_bacteria_20.jpeg", "person7_virus_21.jpeg", False),
        ("IM-0115-0001.jpeg", "IM-0115-0001-0002.jpeg", True),
        ("IM-0115-0001.jpeg", "NORMAL2-IM-0115-0001.jpeg", False),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115-0001-0003.jpeg", True),
        ("scan1.png", "scan1.jpg", False),
        ("VIRUS-1234-0001.jpeg", "BACTERIA-1234-0002.jpeg", True),
        ("person7_bacteria_20.jpeg", "person7_bacteria_21 (1).jpeg", True),
        ("person7_bacteria_20.jpeg", "chest_person7_bacteria_21.jpeg", True),
        ("IM-0115-0001.jpeg", "IM-0115-0002_jpeg.rf.0a1b2c3d4e5f.jpg", True),
        ("scan1.png", "scan1 (1).png", True),
        ("scan1.png", "scan1_flip_2.jpeg", True),
        ("scan1.png", "scan1 - Copy.png", True),
        ("scan (1).png", "scan (2).png", False),
        ("a/scan1.png", "b/scan1_aug.png", False),
        ("scan_1.png", "scan_2.png", False),
    ],
)
def test_patients_follow_the_release_naming(one: str, other: str, is_same: bool) -> None:
    _, patients, _ = patients_of([one, other, "IM-0001-0001.jpeg"])
    assert (patients[0] == patients[1]) is is_same


def test_numbered_files_are_not_treated_as_copies() -> None:
    files = [f"xray{n}.png" for n in ("", *(f" ({i})" for i in range(1, 400)))]
    assert len(set(patients_of(files)[1])) == 400


def test_one_matching_name_does_not_make_all_patients_known(data_folder: Path) -> None:
    write_images(data_folder, [f"train/{kind}/{i}.png" for kind in CLASSES for i in range(6)])
    (data_folder / "train/NORMAL/0.png").rename(data_folder / "train/NORMAL/IM-0001-0001.png")
    dataset = open_data(data_folder)
    assert not dataset.has_patients
    assert audit(dataset).own_folds is None
    assert dataset.notes[0].startswith("Patients are known from 1 of 12 file names. Each other")


@pytest.mark.parametrize(
    ("file", "note"),
    [
        ("COVID/x.png", "Left out: 1 .png file in COVID."),
        ("train/NORMAL/x.ppm", "Left out: 1 .ppm file in train/NORMAL. Only images in class"),
        ("x.png", "Left out: 1 .png file in the folder itself."),
        ("train/x.png", "Left out: 1 .png file in train."),
        ("train/NORMAL/masks/x.png", "Left out: 1 .png file in train/NORMAL/masks."),
    ],
)
def test_files_left_out_are_reported_and_counted(release: Path, file: str, note: str) -> None:
    (release / file).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (12, 12)).save(release / file, format="PNG")
    dataset = open_data(release)
    assert len(dataset) == 26
    assert note in " ".join(dataset.notes)


@pytest.mark.parametrize("bits", [10, 16])
def test_16_bit_files_are_scaled_by_the_bits_in_use(data_folder: Path, bits: int) -> None:
    write_images(data_folder, [f"train/{kind}/{i}.png" for kind in CLASSES for i in range(6)])
    stored = list(open_data(data_folder).originals(range(12)))
    for file in data_folder.glob("train/*/*.png"):
        with Image.open(file) as image:
            wide = np.asarray(image).astype(np.uint16)
        Image.fromarray(wide << (bits - 8)).save(file)
    dataset = open_data(data_folder)
    for wide, narrow in zip(dataset.originals(range(12)), stored, strict=True):
        assert np.abs(wide.astype(int) - narrow).max() <= 1
    assert f"({bits} bits) is read as black to white" in dataset.notes[0]
    assert open_data(data_folder).notes == dataset.notes


def test_links_are_followed_and_broken_links_are_named(release: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    (link / "test").mkdir(parents=True)
    (link / "train").symlink_to(release / "train")
    for kind in CLASSES:
        (link / "test" / kind).symlink_to(release / "test" / kind)
    (link / "round").symlink_to(link)
    assert open_data(link).fingerprint == open_data(release).fingerprint
    (release / "train/NORMAL/IM-0008-0001.png").symlink_to("gone.png")
    with pytest.raises(DataError, match=r"IM-0008-0001\.png .* a link to a file that does not"):
        open_data(link)


def test_a_split_without_a_class_is_refused(release: Path) -> None:
    write_images(release, ["val/NORMAL/IM-0070-0001.png"])
    summary, fault = refusal(release).splitlines()
    assert "Every split needs a folder for each class" in summary
    assert fault == "  - validation has images in normal only"


@pytest.mark.parametrize("name", ["\udcff.png", "\x1b[2J.png", "a\nb.png"])
def test_an_unprintable_file_name_is_refused(release: Path, name: str) -> None:
    file = release / "train" / "NORMAL" / "IM-0001-0001.png"
    file.rename(file.with_name(name))
    text = refusal(release)
    assert "characters in its name that cannot be shown." in text
    assert text.isprintable()


def test_broken_files_are_listed_together_or_skipped_on_request(release: Path) -> None:
    broken = [f"IM-000{i}-0001.png" for i in (1, 2)]
    (release / "train/NORMAL" / broken[0]).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"Replace the file, or remove it\. Or use --skip-broken"):
        open_data(release)
    (release / "train/NORMAL" / broken[1]).write_bytes(b"no image")
    with pytest.raises(DataError, match="2 images cannot be used") as error:
        open_data(release)
    assert all(name in str(error.value) for name in broken)
    for _ in range(2):
        dataset = open_data(release, Manifest(skip_broken=True))
        assert len(dataset) == 24
        assert dataset.notes[0].startswith("Left out: 2 images that cannot be read (train/NORMAL")
    assert not set(broken) & {Path(file).name for file in dataset.files}
    assert len(list(dataset.originals(range(24)))) == len(dataset.pixels_at(8)) == 24
