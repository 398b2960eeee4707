"""Files are complete or absent, and what a killed process left half written is removed."""

import os
import time
from pathlib import Path

import pytest

from hpo.files import remove_leftovers, write_atomic
from tests.conftest import SMALL, Hpo


def test_only_leftovers_older_than_a_day_are_removed(tmp_path: Path) -> None:
    old = tmp_path / ".a.01234567.hpo"
    names = [".bashrc.original", ".notes.deadbeef", ".01234567.hpo", "a.hpo", old.name]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".folder.01234567.hpo").mkdir()
    (tmp_path / ".link.01234567.hpo").symlink_to(tmp_path / "a.hpo")
    make_old(*tmp_path.iterdir())
    write_atomic(tmp_path / "kept.json", b"{}", hint="")
    (tmp_path / ".b.89abcdef.hpo").write_bytes(b"half")
    before = set(tmp_path.iterdir())
    for folder in (tmp_path, tmp_path / "nowhere"):
        remove_leftovers(folder)
    assert set(tmp_path.iterdir()) == before - {old}


def test_training_removes_leftovers_in_every_folder(
    hpo: Hpo, xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    folders = [tmp_path / name for name in ("cache/pixels", "cache/index", "studies/runs")]
    folders += [tmp_path / "studies" / name for name in ("mine", "mine/weights")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / ".x.npy.01234567.hpo").write_bytes(b"half")
        make_old(folder / ".x.npy.01234567.hpo")
    grid = ("grid", "--param", "batch_size", "--values", "8", "--repeats", "1", *SMALL)
    assert hpo(*grid, "--data", xrays, "--study", "mine", "--quiet").code == 0
    assert [path for folder in folders for path in folder.glob(".*")] == []


def make_old(*paths: Path) -> None:
    """Make files 25 hours old."""
    then = time.time() - 90_000
    for path in paths:
        os.utime(path, (then, then), follow_symlinks=False)
