"""Files are there whole or not at all, and what a killed process left half written goes."""

import os
import time
from pathlib import Path

import pytest

from hpo.files import remove_leftovers, write_atomic
from tests.conftest import SMALL, Hpo


def test_only_leftovers_of_a_day_are_removed(tmp_path: Path) -> None:
    write_atomic(tmp_path / "kept.json", b"{}", hint="")
    old, young = (tmp_path / name for name in (".a.01234567.hpo", ".b.89abcdef.hpo"))
    for path in (old, young):
        path.write_bytes(b"half")
    make_old(old)
    for folder in (tmp_path, tmp_path / "nowhere"):
        remove_leftovers(folder)
    assert sorted(tmp_path.iterdir()) == [young, tmp_path / "kept.json"]


def test_files_of_the_user_are_no_leftovers(tmp_path: Path) -> None:
    names = [".bashrc.original", ".bashrc.20260101", ".notes.deadbeef", ".01234567.hpo", "a.hpo"]
    for name in names:
        (tmp_path / name).write_bytes(b"the user's")
    (tmp_path / ".folder.01234567.hpo").mkdir()
    (tmp_path / ".link.01234567.hpo").symlink_to(tmp_path / "a.hpo")
    before = sorted(tmp_path.iterdir())
    make_old(*before)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_training_removes_what_was_left_in_every_folder_of_files(
    hpo: Hpo, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    folders = [tmp_path / name for name in ("cache/pixels", "cache/index", "studies/runs")]
    folders += [tmp_path / "studies" / name for name in ("mine", "mine/weights", "artifacts")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / ".x.npy.01234567.hpo").write_bytes(b"half")
        make_old(folder / ".x.npy.01234567.hpo")
    grid = ("grid", "--param", "batch_size", "--values", "8", "--repeats", "1", *SMALL)
    assert hpo(*grid, "--data", xrays, "--study", "mine", "--quiet").code == 0
    assert [path for folder in folders for path in folder.glob(".*")] == []


def make_old(*paths: Path) -> None:
    """Let files be of the day before yesterday."""
    then = time.time() - 90_000
    for path in paths:
        os.utime(path, (then, then), follow_symlinks=False)
