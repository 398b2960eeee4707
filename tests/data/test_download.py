"""Fetching PneumoniaMNIST from a server in this process."""

import gc
import hashlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hpo.data import cache
from hpo.data.cache import download
from hpo.errors import DataError, UsageError

# pooch does not close the connection of a failed download: its socket is left to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = bytes(range(256)) * 40
NAME = "pneumoniamnist_64.npz"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    return folder


@pytest.fixture
def url(served: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setitem(cache._MD5, 64, hashlib.md5(CONTENT).hexdigest())
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()
    gc.collect()


def test_a_downloaded_file_is_not_fetched_again(url: str, served: Path, tmp_path: Path) -> None:
    path = download(tmp_path / "new", size=64, base_url=url)
    assert path == tmp_path / "new" / NAME
    assert path.read_bytes() == CONTENT
    path.write_bytes(b"damaged")
    assert download(path.parent, size=64, base_url=url).read_bytes() == CONTENT
    (served / NAME).unlink()
    assert download(path.parent, size=64, base_url=url) == path


@pytest.mark.parametrize("fault", ["wrong sum", "missing", "no connection", "no folder"])
def test_a_failed_download_leaves_no_file_and_says_what_to_do(
    url: str, served: Path, tmp_path: Path, fault: str
) -> None:
    folder = tmp_path / "new"
    if fault == "wrong sum":
        (served / NAME).write_bytes(CONTENT[:-1])
    elif fault == "missing":
        (served / NAME).unlink()
    elif fault == "no connection":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    else:
        folder = served / NAME / "new"
    with pytest.raises(DataError) as error:
        download(folder, size=64, base_url=url)
    for part in (f"{url}/{NAME}", str(folder / NAME), cache._MD5[64]):
        assert part in str(error.value)
    assert list(folder.glob("*")) == []


def test_an_unpublished_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"28, 64, 128, 224 pixels, but got 32"):
        download(tmp_path, size=32)
