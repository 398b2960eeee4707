"""Fetching PneumoniaMNIST, from a server of one file."""

import gc
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hpo.data import cache
from hpo.data.cache import download
from hpo.errors import DataError, UsageError

# pooch does not close the connection of a failed download: its socket is left to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = bytes(range(256)) * 40


@dataclass
class Server:
    """A server of one file; what it does with a request can be changed."""

    url: str = ""
    status: int = 200
    content: bytes = CONTENT
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(state.content)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setitem(cache._MD5, 64, hashlib.md5(CONTENT).hexdigest())
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/files"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()
    gc.collect()


def test_a_good_file_takes_its_name_and_is_not_fetched_again(
    server: Server, tmp_path: Path
) -> None:
    for _ in range(2):
        path = download(tmp_path / "new", size=64, base_url=server.url)
        assert path == tmp_path / "new" / "pneumoniamnist_64.npz"
        assert path.read_bytes() == CONTENT
    assert server.requests == ["/files/pneumoniamnist_64.npz?download=1"]
    path.write_bytes(b"damaged")
    assert download(path.parent, size=64, base_url=server.url).read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["wrong sum", "cut", "missing", "no connection"])
def test_a_failed_download_leaves_no_file_and_says_what_to_do(
    server: Server, tmp_path: Path, fault: str
) -> None:
    contents = {"wrong sum": CONTENT[:-1] + b"?", "cut": CONTENT[:5000]}
    server.content = contents.get(fault, CONTENT)
    server.status = 404 if fault == "missing" else 200
    if fault == "no connection":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            server.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(DataError) as error:
        download(tmp_path, size=64, base_url=server.url)
    for part in (f"{server.url}/pneumoniamnist_64.npz", str(tmp_path), cache._MD5[64]):
        assert part in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_and_a_size_that_is_not_published_are_named(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/data/pneumoniamnist_64\.npz"):
        download(tmp_path / "file" / "data", size=64, base_url=server.url)
    with pytest.raises(UsageError, match=r"28, 64, 128, 224 pixels, but got 32"):
        download(tmp_path, size=32)
