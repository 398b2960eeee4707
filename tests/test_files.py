"""Files are there whole or not at all, and what a killed process left half written goes."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpo.files import remove_leftovers, replacing, write_atomic
from tests.conftest import SMALL, Hpo


def test_what_a_killed_process_left_half_written_is_removed_at_once(tmp_path: Path) -> None:
    write_atomic(tmp_path / "kept.json", b"{}", hint="")
    program = (
        "import os, pathlib, sys; from hpo.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1], 'a')) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    for folder in (tmp_path, tmp_path / "nowhere"):
        remove_leftovers(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_what_is_being_written_stays_however_long_it_takes(tmp_path: Path) -> None:
    with replacing(tmp_path / "kept.json") as file:
        make_old(*tmp_path.iterdir())
        remove_leftovers(tmp_path)
        file.write(b"{}")
    assert (tmp_path / "kept.json").read_bytes() == b"{}"


def test_a_leftover_is_removed_while_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".a.01234567.hpo"
    path.write_bytes(b"half")

    def unlink(path: Path) -> None:  # Else a writer that has just locked it would lose it.
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.rename(tmp_path / "removed")

    monkeypatch.setattr(Path, "unlink", unlink)
    remove_leftovers(tmp_path)
    assert not path.exists()


def test_where_there_are_no_locks_only_leftovers_of_a_day_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    old, young = (tmp_path / name for name in (".a.01234567.hpo", ".b.89abcdef.hpo"))
    for path in (old, young):
        path.write_bytes(b"half")
    make_old(old)
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


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
    grid = ("grid", "--param", "batch_size", "--values", "8", "--repeats", "1", *SMALL)
    assert hpo(*grid, "--data", xrays, "--study", "mine", "--quiet").code == 0
    assert [path for folder in folders for path in folder.glob(".*")] == []


def make_old(*paths: Path) -> None:
    """Let files be of the day before yesterday."""
    then = time.time() - 90_000
    for path in paths:
        os.utime(path, (then, then), follow_symlinks=False)
