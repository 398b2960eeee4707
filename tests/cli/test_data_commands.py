"""`hpo data` as a user calls it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from hpo.data import cache
from hpo.errors import DataError
from tests.conftest import Hpo


def test_info_without_data_says_that_the_images_are_synthetic(hpo: Hpo) -> None:
    answer = hpo("data", "info")

    assert answer.code == 0
    assert "phantom (synthetic images)" in answer.out
    assert "640 + 160" in answer.out


def test_info_tells_splits_sizes_and_folds(hpo: Hpo, xrays: Path) -> None:
    document = hpo("data", "info", "--data", xrays, "--json").json

    assert document["format"] == "npy files"
    assert document["source"] == str(xrays)
    assert document["is_phantom"] is document["has_patients"] is False
    assert document["splits"] == [
        {"split": "train", "n_normal": 40, "n_pneumonia": 40, "n_patients": 80},
        {"split": "test", "n_normal": 8, "n_pneumonia": 8, "n_patients": 16},
    ]
    assert document["image_sizes"] == {"smallest": [16, 16], "largest": [16, 16]}
    assert document["folds"] == [{"n_train": 64, "n_validation": 16}] * 5


def test_info_takes_the_data_of_the_environment(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_DATA", str(xrays))

    assert hpo("data", "info", "--json").json["name"] == "xrays"


def test_info_writes_a_contact_sheet(hpo: Hpo, xrays: Path, tmp_path: Path) -> None:
    hpo("data", "info", "--data", xrays, "--sheet", tmp_path / "sheet.png")

    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet).any()


def test_info_warns_of_a_tiny_validation_split(hpo: Hpo, tmp_path: Path) -> None:
    images, labels = np.zeros((16, 8, 8), np.uint8), np.arange(16) % 2
    splits = {f"{s}_images": images for s in ("train", "val")}
    np.savez(tmp_path / "x.npz", **splits, train_labels=labels, val_labels=labels)

    answer = hpo("data", "info", "--data", tmp_path / "x.npz")

    assert "16 validation images: one image is 6.2 points of accuracy." in answer.out


@pytest.mark.parametrize("command", ["info", "audit"])
def test_what_is_left_out_and_assumed_is_said(hpo: Hpo, tmp_path: Path, command: str) -> None:
    hpo("data", "generate", tmp_path / "phantom", "--size", 16)
    train = tmp_path / "phantom/train"
    shutil.copytree(train / "NORMAL", train / "COVID")
    (train / "NORMAL/IM-0001-0001.png").rename(train / "NORMAL/anyone.png")
    left_out = "Left out: train/COVID (400 files)."
    partial = "Patients are known from 1,199 of 1,200 file names: each other image counts as its"

    document = hpo("data", command, "--data", tmp_path / "phantom", "--json").json
    text = hpo("data", command, "--data", tmp_path / "phantom").out

    assert document["notes"][0].startswith(left_out)
    assert document["notes"][1].startswith(partial)
    assert document["has_patients"] is False
    assert left_out in text
    assert partial in text
    assert "0.0 %" not in text


def test_audit_counts_leaks_and_duplicates(hpo: Hpo, tmp_path: Path) -> None:
    hpo("data", "generate", tmp_path / "phantom", "--size", 16)
    train = tmp_path / "phantom" / "train" / "NORMAL"
    copy = train / "IM-9999-0001.png"
    copy.write_bytes((train / "IM-0001-0001.png").read_bytes())

    document = hpo("data", "audit", "--data", tmp_path / "phantom", "--json").json
    text = hpo("data", "audit", "--data", tmp_path / "phantom").out

    assert 0.3 < document["random_split"]["share"] < 0.5
    assert document["own_folds"]["n_with_sibling"] == 0
    assert document["shared_patients"] == []
    assert document["duplicates"] == [
        {
            "files": ["train/NORMAL/IM-0001-0001.png", "train/NORMAL/IM-9999-0001.png"],
            "splits": ["train"],
            "has_different_labels": False,
            "is_across_splits": False,
        }
    ]
    assert "the folds of hpo: 0 of" in text
    assert "1 group of equal images, 0 across splits" in text


def test_audit_counts_images_that_may_be_inverted(hpo: Hpo, tmp_path: Path) -> None:
    hpo("data", "generate", tmp_path / "phantom", "--size", 32)
    before = hpo("data", "audit", "--data", tmp_path / "phantom")
    for file in (tmp_path / "phantom/train/NORMAL").iterdir():
        ImageOps.invert(Image.open(file)).save(file)

    after = hpo("data", "audit", "--data", tmp_path / "phantom")

    assert "inverted" not in before.out
    assert "of 1,200 images are brighter at the border than in the center" in after.out


def test_audit_without_patients_does_not_claim_that_nothing_leaks(hpo: Hpo, xrays: Path) -> None:
    assert hpo("data", "audit", "--data", xrays, "--json").json["random_split"] is None
    assert "Patient leakage: unknown" in hpo("data", "audit", "--data", xrays).out


def test_generate_writes_what_the_same_seed_always_gives(hpo: Hpo, tmp_path: Path) -> None:
    assert hpo("data", "generate", "one", "--json").json == {"path": "one"}
    hpo("data", "generate", "other", "--seed", 1)

    built_in, one, other = (
        hpo("data", "info", "--json", *arguments).json
        for arguments in ([], ["--data", tmp_path / "one"], ["--data", "other"])
    )

    assert one["fingerprint"] == built_in["fingerprint"] != other["fingerprint"]
    assert one["is_phantom"]


def test_generate_leaves_a_folder_with_files_alone(hpo: Hpo, xrays: Path) -> None:
    answer = hpo("data", "generate", xrays)

    assert answer.code == 1
    assert "is not empty" in answer.err


def test_download_passes_its_size_on_and_prints_the_way_on(
    hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(folder: Path, *, size: int, show_progress: bool) -> Path:
        assert not show_progress
        return folder / f"{size}.npz"

    monkeypatch.setattr(cache, "download", fetch)

    assert "--data there/64.npz" in hpo("data", "download", "there", "--size", 64).out


def test_a_failed_download_is_one_message(hpo: Hpo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise DataError("no connection")

    monkeypatch.setattr(cache, "download", fail)

    answer = hpo("data", "download", "there", "--json")

    assert answer.code == 1
    assert answer.json == {"error": {"kind": "data", "message": "no connection"}}


def test_a_size_that_is_not_published_is_wrong_usage(hpo: Hpo) -> None:
    assert hpo("data", "download", "there", "--size", 30).code == 2
