"""Real disks for one process: a small one, a read-only one. Linux lends them without root."""

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final

import pytest

_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000


def _are_there() -> bool:
    """Whether this machine lets a process have mounts of its own."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    option = "-m" if os.getuid() == 0 else "-rm"
    mount = ["mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run([unshare, option, *mount], capture_output=True).returncode == 0


has_mounts: Final = pytest.mark.skipif(not _are_there(), reason="no mounts of its own here")


@dataclass(frozen=True)
class SmallDisk:
    """A folder on a disk of its own; what is on it at the end lies in the folder afterwards."""

    folder: Path
    n_bytes: int

    def __call__(self) -> None:
        _own_mounts()
        below = self.folder.with_name("below")
        for place in (self.folder, below):
            place.mkdir(exist_ok=True)
        _mount("--bind", str(self.folder), str(below))
        _mount("-t", "tmpfs", "-o", f"size={self.n_bytes}", "none", str(self.folder))
        Finalize(
            None,
            shutil.copytree,
            args=(self.folder, below),
            kwargs={"dirs_exist_ok": True},
            exitpriority=1,
        )


@dataclass(frozen=True)
class ReadOnly:
    """A folder that is there to be read."""

    folder: Path

    def __call__(self) -> None:
        _own_mounts()
        _mount("--bind", str(self.folder), str(self.folder))
        _mount("-o", "remount,bind,ro", str(self.folder))


def _own_mounts() -> None:
    """Give this process mounts that no other sees."""
    user, group = os.getuid(), os.getgid()
    is_root = user == 0
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS | (0 if is_root else _NEW_USER)):
        raise OSError(ctypes.get_errno(), "no mounts of its own")
    if not is_root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount("--make-rprivate", "/")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
