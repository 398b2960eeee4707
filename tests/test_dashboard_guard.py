"""`hpo dashboard` answers only those who have its link."""

import http.client
import socket
import threading
from collections.abc import Iterator

import optuna
import pytest

from hpo.run.dashboard import open_server
from hpo.storage.opening import open_storage

WRITE = "/api/trials/1/user-attrs"
ATTRIBUTES = '{"user_attrs": {"seen": true}}'
TOKEN = "a-token"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a dashboard on a study of one trial."""
    storage = open_storage(f"sqlite:///{tmp_path_factory.mktemp('dashboard')}/hpo.db")
    optuna.create_study(study_name="s", storage=storage).ask()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with open_server(storage, host="127.0.0.1", port=port, token=TOKEN) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield port
        server.shutdown()
        thread.join()


def ask(
    port: int, method: str = "GET", path: str = "/api/studies", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    named = {"Content-Type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, ATTRIBUTES, named)
    answer = connection.getresponse()
    answer.read()
    return answer


@pytest.fixture
def cookie(port: int) -> str:
    """The cookie of a browser that opened the printed link."""
    answer = ask(port, path=f"/?token={TOKEN}")
    assert (answer.status, answer.headers["Location"]) == (303, "/dashboard")
    kept, _, rest = answer.headers["Set-Cookie"].partition(";")
    assert "HttpOnly" in rest
    assert "SameSite=Strict" in rest
    return kept


def test_the_link_allows_reading_and_writing(port: int, cookie: str) -> None:
    answer = ask(port, path="/dashboard", Cookie=cookie)
    assert (answer.status, answer.headers["X-Frame-Options"]) == (200, "DENY")
    assert ask(port, Cookie=f"a=b; {cookie}").headers["Access-Control-Allow-Origin"] is None
    own = f"http://127.0.0.1:{port}"
    assert ask(port, "POST", WRITE, Cookie=cookie, Origin=own).status == 204
    assert ask(port, "POST", WRITE, Cookie=cookie).status == 204


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "http://evil.example", "null", "[:"])
def test_a_page_of_another_host_or_port_is_refused(port: int, cookie: str, origin: str) -> None:
    assert ask(port, Cookie=cookie, Origin=origin).status == 403
    assert ask(port, "POST", WRITE, Cookie=cookie, Origin=origin).status == 403


def test_requests_without_the_link_are_refused(port: int, cookie: str) -> None:
    for headers in ({}, {"Cookie": f"{cookie[:-4]}wxyz"}, {"Cookie": "hpo=\xe9"}):
        assert ask(port, **headers).status == 403
        assert ask(port, "DELETE", "/api/studies/1", **headers).status == 403
    assert ask(port, path="/?token=wrong").status == 403
