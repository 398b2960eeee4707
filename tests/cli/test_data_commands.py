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


def test_info_shows_splits_sizes_folds_and_a_contact_sheet(
    hpo: Hpo, xrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = hpo("data", "info").out
    assert "phantom (synthetic images)" in shown
    assert "640 + 160" in shown
    monkeypatch.setenv("HPO_DATA", str(xrays))
    document = hpo("data", "info", "--json", "--sheet", "sheet.png").json
    assert (document["format"], document["source"]) == ("npy files", str(xrays))
    assert document["is_phantom"] is document["has_patients"] is False
    assert document["splits"] == [
        {"split": "train", "classes": {"normal": 40, "pneumonia": 40}, "n_patients": 80},
        {"split": "test", "classes": {"normal": 8, "pneumonia": 8}, "n_patients": 16},
    ]
    assert document["image_sizes"] == {"smallest": [16, 16], "largest": [16, 16]}
    assert document["folds"] == [{"n_train": 64, "n_validation": 16}] * 5
    with Image.open("sheet.png") as sheet:
        assert np.asarray(sheet).any()


def test_audit_reports_leakage_duplicates_and_inverted_images(
    hpo: Hpo, xrays: Path, tmp_path: Path
) -> None:
    train = write_release(tmp_path / "release") / "train/NORMAL"
    shutil.copy(train / "IM-0001-0001.png", train / "IM-9999-0001.png")
    bright = np.pad(np.zeros((24, 24), np.uint8), 4, constant_values=255)
    for file in sorted(train.iterdir())[4:9]:
        Image.fromarray(bright).save(file)
    document = hpo("data", "audit", "--data", "release", "--json").json
    files = ["train/NORMAL/IM-0001-0001.png", "train/NORMAL/IM-9999-0001.png"]
    assert document["duplicates"][0]["files"] == files
    assert document["own_folds"]["n_with_sibling"] == 0
    text = hpo("data", "audit", "--data", "release").out
    assert "the folds of hpo: 0 of" in text
    assert "2 groups of equal images, 0 across splits" in text
    assert "of 27 images are much brighter at the border than in the center" in text
    # Without patients leakage is unknown.
    assert hpo("data", "audit", "--data", xrays, "--json").json["random_split"] is None
    assert "Patient leakage: unknown" in hpo("data", "audit", "--data", xrays).out


def test_download_prints_the_next_command_or_one_error(
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
    assert (failed.code, failed.json["error"]["kind"]) == (1, "data")
