import gc
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hpo.data import download as module
from hpo.data.download import download
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
    n_promised: int = len(CONTENT)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            self.send_response(state.status)
            self.send_header("Content-Length", str(state.n_promised))
            self.end_headers()
            self.wfile.write(state.content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/files"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()
    gc.collect()


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the content of the server be what was published."""
    for size in (28, 64):
        monkeypatch.setitem(module._MD5, size, hashlib.md5(CONTENT).hexdigest())


def test_a_good_file_takes_its_name(server: Server, tmp_path: Path) -> None:
    path = download(tmp_path / "new", base_url=server.url)

    assert path == tmp_path / "new" / "pneumoniamnist.npz"
    assert path.read_bytes() == CONTENT
    assert server.requests == ["/files/pneumoniamnist.npz?download=1"]


def test_another_size_has_its_own_name(server: Server, tmp_path: Path) -> None:
    path = download(tmp_path, size=64, base_url=server.url)

    assert path.name == "pneumoniamnist_64.npz"
    assert server.requests == ["/files/pneumoniamnist_64.npz?download=1"]


def test_a_good_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        download(tmp_path, base_url=server.url)

    assert len(server.requests) == 1


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pneumoniamnist.npz").write_bytes(b"damaged")

    assert download(tmp_path, base_url=server.url).read_bytes() == CONTENT


def _assert_refused(server: Server, folder: Path) -> None:
    with pytest.raises(DataError, match=r"pneumoniamnist\.npz") as error:
        download(folder, base_url=server.url)
    for way_out in (
        f"{server.url}/pneumoniamnist.npz",
        str(folder),
        hashlib.md5(CONTENT).hexdigest(),
    ):
        assert way_out in str(error.value)
    assert list(folder.iterdir()) == []


def test_a_wrong_sum_leaves_no_file(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"

    _assert_refused(server, tmp_path)


@pytest.mark.parametrize("n_sent", [0, 5000])
def test_a_cut_transfer_leaves_no_file(server: Server, tmp_path: Path, n_sent: int) -> None:
    server.content = CONTENT[:n_sent]

    _assert_refused(server, tmp_path)


def test_a_missing_file_on_the_server_leaves_no_file(server: Server, tmp_path: Path) -> None:
    server.status = 404

    _assert_refused(server, tmp_path)


def test_no_connection_leaves_no_file(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    _assert_refused(Server(url=f"http://127.0.0.1:{port}"), tmp_path)


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataError, match=r"file/data/pneumoniamnist\.npz"):
        download(tmp_path / "file" / "data", base_url=server.url)


def test_a_size_that_is_not_published_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"28, 64, 128, 224 pixels, but got 32"):
        download(tmp_path, size=32)
