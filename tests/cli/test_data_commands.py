"""`hpo data` as a user calls it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo.data import cache
from hpo.errors import DataError
from tests.conftest import Hpo
from tests.data.conftest import write_release


def test_info_without_data_says_that_the_images_are_synthetic(hpo: Hpo) -> None:
    answer = hpo("data", "info")
    assert answer.code == 0
    assert "phantom (synthetic images)" in answer.out
    assert "640 + 160" in answer.out


def test_info_shows_splits_sizes_folds_and_a_contact_sheet(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_DATA", str(xrays))
    document = hpo("data", "info", "--json", "--sheet", "sheet.png").json
    assert document["format"] == "npy files"
    assert document["source"] == str(xrays)
    assert document["is_phantom"] is document["has_patients"] is False
    assert document["splits"] == [
        {"split": "train", "n_normal": 40, "n_pneumonia": 40, "n_patients": 80},
        {"split": "test", "n_normal": 8, "n_pneumonia": 8, "n_patients": 16},
    ]
    assert document["image_sizes"] == {"smallest": [16, 16], "largest": [16, 16]}
    assert document["folds"] == [{"n_train": 64, "n_validation": 16}] * 5
    with Image.open("sheet.png") as sheet:
        assert np.asarray(sheet).any()


def test_info_warns_of_a_tiny_validation_split(hpo: Hpo, tmp_path: Path) -> None:
    images, labels = np.zeros((16, 8, 8), np.uint8), np.arange(16) % 2
    splits = {f"{s}_images": images for s in ("train", "val")}
    np.savez(tmp_path / "x.npz", **splits, train_labels=labels, val_labels=labels)
    answer = hpo("data", "info", "--data", tmp_path / "x.npz")
    assert "16 validation images: one image is 6.2 points of accuracy." in answer.out


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / "release")


@pytest.mark.parametrize("command", ["info", "audit"])
def test_what_is_left_out_and_assumed_is_said(hpo: Hpo, release: Path, command: str) -> None:
    shutil.copytree(release / "train/NORMAL", release / "train/COVID")
    (release / "train/NORMAL/IM-0001-0001.png").rename(release / "train/NORMAL/anyone.png")
    document = hpo("data", command, "--data", release, "--json").json
    text = hpo("data", command, "--data", release).out
    assert document["has_patients"] is False
    for note, start in zip(
        document["notes"],
        ("Left out: train/COVID (12 .png files).", "Patients are known from 25 of 26 file names"),
        strict=True,
    ):
        assert note.startswith(start)
        assert start in text
    assert "0.0 %" not in text


def test_audit_counts_leaks_duplicates_and_images_that_may_be_inverted(
    hpo: Hpo, release: Path
) -> None:
    train = release / "train/NORMAL"
    shutil.copy(train / "IM-0001-0001.png", train / "IM-9999-0001.png")
    bright = np.pad(np.zeros((24, 24), np.uint8), 4, constant_values=255)
    for file in sorted(train.iterdir())[4:9]:
        Image.fromarray(bright).save(file)
    document, text = (hpo("data", "audit", "--data", release, *a) for a in (("--json",), ()))
    assert 0.5 < document.json["random_split"]["share"] < 1
    assert document.json["own_folds"]["n_with_sibling"] == 0
    assert document.json["shared_patients"] == []
    assert document.json["duplicates"][0] == {
        "files": ["train/NORMAL/IM-0001-0001.png", "train/NORMAL/IM-9999-0001.png"],
        "splits": ["train"],
        "has_different_labels": False,
        "is_across_splits": False,
    }
    assert "the folds of hpo: 0 of" in text.out
    assert "2 groups of equal images, 0 across splits" in text.out
    assert "of 27 images are brighter at the border than in the center" in text.out


def test_audit_without_patients_does_not_claim_that_nothing_leaks(hpo: Hpo, xrays: Path) -> None:
    assert hpo("data", "audit", "--data", xrays, "--json").json["random_split"] is None
    assert "Patient leakage: unknown" in hpo("data", "audit", "--data", xrays).out


def test_generate_writes_the_phantom(hpo: Hpo, xrays: Path) -> None:
    assert hpo("data", "generate", "one", "--size", 16, "--json").json == {"path": "one"}
    assert hpo("data", "info", "--json", "--data", "one").json["is_phantom"]
    answer = hpo("data", "generate", xrays)
    assert answer.code == 1
    assert "is not empty" in answer.err


def test_download_prints_how_to_go_on_or_one_message(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hpo("data", "download", "there", "--size", 30).code == 2

    def fetch(folder: Path, *, size: int, show_progress: bool) -> Path:
        assert not show_progress
        if size == 28:
            raise DataError("no connection")
        return folder / f"{size}.npz"

    monkeypatch.setattr(cache, "download", fetch)
    assert "--data there/64.npz" in hpo("data", "download", "there", "--size", 64).out
    failed = hpo("data", "download", "there", "--json")
    assert failed.code == 1
    assert failed.json == {"error": {"kind": "data", "message": "no connection"}}
