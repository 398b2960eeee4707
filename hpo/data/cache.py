"""The cache of image digests and resized pixels, and the download of PneumoniaMNIST.

The cache only saves time. Missing, damaged or unwritable entries are computed again: each file
ends with a SHA-256 of its name and content, so nothing else needs checking.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from hpo.data.dataset import Pixels
from hpo.errors import DataError, UsageError
from hpo.files import at_home, remove_leftovers, replacing

_DIGEST_BYTES: Final = 32

BASE_URL: Final = "https://zenodo.org/records/10519652/files"
_MD5: Final = {
    28: "28209eda62fecd6e6a2d98b1501bb15f",
    64: "8f4eceb4ccffa70c672198ea285246c6",
    128: "05b46931834c231683c68f40c47b2971",
    224: "d6a3c71de1b945ea11211b03746c1fe1",
}
_CHUNK: Final = 1 << 18


def folder() -> Path:
    """Return the folder of the cache: `HPO_CACHE`, or `hpo` in the user's cache folder.

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


def remove_partial_files() -> None:
    """Remove partial files of killed processes, which may be gigabytes of pixels."""
    with suppress(OSError):
        for name in ("index", "pixels"):
            remove_leftovers(folder() / name)


def read_index(key: str) -> Any:
    """Return what `write_index` stored under this key, or None."""
    content = _read(f"index/{key}.index", key)
    return None if content is None else json.loads(content.tobytes())


def write_index(key: str, index: object) -> None:
    """Store a JSON document under a key, if the cache can be written; None removes it."""
    _write(f"index/{key}.index", key, [json.dumps(index).encode()])


def pixels(name: str, shape: tuple[int, int, int], make: Callable[[], Iterable[Pixels]]) -> Pixels:
    """Return the images that `make` yields, or those stored under this name; read-only.

    They are mapped from the cache, or stay in memory if it cannot be written.
    """
    buffer, place = io.BytesIO(), f"pixels/{name}.npy"
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)  # So that `np.load` can read it too.
    header = buffer.getvalue()
    stored = _read(place, name, len(header))
    if stored is None:
        _write(place, name, make(), header)
        stored = _read(place, name, len(header))
    if stored is None:
        in_memory = bytearray()
        for piece in make():
            in_memory += piece.tobytes()
        stored = np.frombuffer(in_memory, np.uint8)
        stored.flags.writeable = False
    return stored.reshape(shape)


def download(
    folder: Path, *, size: int = 28, base_url: str = BASE_URL, show_progress: bool = False
) -> Path:
    """Download PneumoniaMNIST of one image size into a folder if missing; return its path.

    Raises:
        UsageError: a size that is not published.
        DataError: no connection, an incomplete transfer or a wrong checksum.
    """
    if size not in _MD5:
        sizes = ", ".join(map(str, _MD5))
        raise UsageError(f"PneumoniaMNIST is published at {sizes} pixels, but got {size}.")
    import pooch

    name = "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"
    url = f"{base_url}/{name}?download=1"
    downloader = pooch.HTTPDownloader(progressbar=show_progress, chunk_size=_CHUNK)
    try:
        fetched = pooch.retrieve(
            url, f"md5:{_MD5[size]}", fname=name, path=folder, downloader=downloader
        )
    except (OSError, ValueError) as problem:
        raise DataError(
            f"{url} could not be downloaded: {problem}\nTry again, or download it in a browser "
            f"and save it as {folder.absolute() / name} (MD5 {_MD5[size]})."
        ) from None
    return Path(fetched)


def _read(place: str, name: str, n_header: int = 0) -> Pixels | None:
    """Map a file of `_write` without its header; None if it is incomplete."""
    try:
        path = folder() / place
        if not path.is_file():  # A pipe would block.
            return None
        mapped = np.asarray(np.memmap(path, np.uint8, "r", n_header))
    except (OSError, ValueError):
        return None
    content, digest = mapped[:-_DIGEST_BYTES], mapped[-_DIGEST_BYTES:]
    hasher = hashlib.sha256(name.encode())
    hasher.update(content.data)
    return content if hasher.digest() == digest.tobytes() else None


def _write(place: str, name: str, pieces: Iterable[Pixels | bytes], header: bytes = b"") -> None:
    """Write a file that ends with a SHA-256 of name and pieces, if the cache can be written.

    The file is written, not mapped for writing: on a full disk a write fails, while a mapped page
    kills the process. Its folder is only for this user.
    """
    hasher = hashlib.sha256(name.encode())
    with suppress(OSError):
        path = folder() / place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(header)
            for piece in pieces:
                data = np.ascontiguousarray(piece).data if isinstance(piece, np.ndarray) else piece
                hasher.update(data)
                file.write(data)
            file.write(hasher.digest())
