"""What was computed from the images once: digests of the originals, and resized pixels.

The cache only saves time. Whatever is missing, damaged or cannot be written is computed again.
"""

import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from hpo.data.dataset import Pixels
from hpo.files import at_home, read_json, remove_leftovers, replacing

_MAX_INDEX_BYTES: Final = 100_000_000
_DIGEST_BYTES: Final = 32


def folder() -> Path:
    """Return where the cache lies: `HPO_CACHE`, or `hpo` in the user's cache folder.

    Raises:
        OSError: this user has no home.
    """
    if chosen := os.environ.get("HPO_CACHE"):
        return at_home(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "hpo"
    try:
        return Path.home() / ".cache" / "hpo"
    except RuntimeError as problem:
        raise OSError(str(problem)) from None


def remove_cut_off() -> None:
    """Remove what killed processes left half written: of pixels these may be gigabytes."""
    with suppress(OSError):
        for name in ("index", "pixels"):
            remove_leftovers(folder() / name)


def read_index(key: str) -> Mapping[str, object] | None:
    """Return what `write_index` kept under this key, or None."""
    try:
        index = read_json(folder() / "index" / f"{key}.json", most=_MAX_INDEX_BYTES)
    except (OSError, ValueError):
        return None
    return index if isinstance(index, dict) else None


def write_index(key: str, index: Mapping[str, object]) -> None:
    """Keep a record under a key, where the cache can be written."""
    with suppress(OSError), replacing(_own("index") / f"{key}.json") as file:
        file.write(json.dumps(index).encode())


def remove_index(key: str) -> None:
    """Remove what `write_index` kept under this key."""
    with suppress(OSError):
        (folder() / "index" / f"{key}.json").unlink(missing_ok=True)


def read_pixels(name: str, shape: tuple[int, int, int]) -> Pixels | None:
    """Map the pixels kept under this name, or return None where they are not there or damaged."""
    header = _header(shape)
    n_bytes = len(header) + math.prod(shape)
    try:
        path = folder() / "pixels" / f"{name}.npy"
        if not path.is_file() or path.stat().st_size != n_bytes + _DIGEST_BYTES:
            return None
        with path.open("rb") as file:
            is_ours = file.read(len(header)) == header
            file.seek(n_bytes)
            digest = file.read()
        mapped = np.memmap(path, np.uint8, "r", len(header), shape)
    except (OSError, ValueError):
        return None
    pixels: Pixels = np.asarray(mapped)
    hasher = hashlib.sha256(name.encode())
    hasher.update(pixels.data)
    return pixels if is_ours and hasher.digest() == digest else None


def write_pixels(name: str, shape: tuple[int, int, int], images: Iterable[Pixels]) -> None:
    """Keep images under a name, one at a time, where the cache can be written.

    The file is a `.npy` with a SHA-256 of name and pixels behind the array. It is written, never
    mapped for writing: on a full disk a write fails, while a mapped page kills the process.
    """
    hasher = hashlib.sha256(name.encode())
    with suppress(OSError), replacing(_own("pixels") / f"{name}.npy") as file:
        file.write(_header(shape))
        for image in images:
            data = np.ascontiguousarray(image).data
            hasher.update(data)
            file.write(data)
        file.write(hasher.digest())


def _header(shape: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


def _own(name: str) -> Path:
    """Return a folder of the cache, made where it is not there: images are for this user alone."""
    made = folder() / name
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    return made
