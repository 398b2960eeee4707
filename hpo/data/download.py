"""PneumoniaMNIST from Zenodo: chest X-rays of 5,856 children as one .npz file per image size."""

from pathlib import Path
from typing import Final

from hpo.errors import DataError, UsageError

BASE_URL: Final = "https://zenodo.org/records/10519652/files"
_MD5: Final = {
    28: "28209eda62fecd6e6a2d98b1501bb15f",
    64: "8f4eceb4ccffa70c672198ea285246c6",
    128: "05b46931834c231683c68f40c47b2971",
    224: "d6a3c71de1b945ea11211b03746c1fe1",
}
_CHUNK: Final = 1 << 18


def download(
    folder: Path, *, size: int = 28, base_url: str = BASE_URL, show_progress: bool = False
) -> Path:
    """Fetch the archive of one image size into a folder, unless it is there, and return its path.

    The file takes its name when it is whole and its MD5 is the published one.

    Raises:
        UsageError: a size that is not published.
        DataError: no connection, a cut transfer or a wrong sum.
    """
    if size not in _MD5:
        known = ", ".join(map(str, _MD5))
        raise UsageError(f"PneumoniaMNIST is published at {known} pixels, but got {size}.")
    import pooch

    name = "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"
    url = f"{base_url}/{name}?download=1"
    try:
        fetched = pooch.retrieve(
            url,
            known_hash=f"md5:{_MD5[size]}",
            fname=name,
            path=folder,
            downloader=pooch.HTTPDownloader(progressbar=show_progress, chunk_size=_CHUNK),
        )
    except (OSError, ValueError) as problem:
        raise DataError(
            f"{url} could not be fetched: {problem}\nTry again, or fetch it with a browser and "
            f"save it as {folder.absolute() / name} (MD5 {_MD5[size]})."
        ) from None
    return Path(fetched)
