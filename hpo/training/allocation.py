"""Keeping freed memory in the process, so that a training step does not ask for it again."""

import ctypes
import sys
from typing import Final

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3

_KEPT_BYTES: Final = 1 << 30


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of freed memory; return whether it will.

    Each step frees and allocates the gradients anew, 17 MB for a width of 64: by default glibc
    gives such blocks back to the system, which then fills every page with zeros again. It is a
    setting of the whole process, for programs to make and not for libraries. No result changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Some glibc take no more than 32 MB as the first threshold, which still covers most networks.
    is_set = mallopt(_MMAP_THRESHOLD, _KEPT_BYTES) or mallopt(_MMAP_THRESHOLD, 1 << 25)
    return bool(is_set and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
