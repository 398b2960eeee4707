"""`hpo dashboard` answers its own pages alone, and what is attached to a trial runs nowhere."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest

from hpo.run.dashboard import Server, open_server
from hpo.storage.opening import open_storage
from tests.conftest import Hpo

WRITE = "/api/trials/1/user-attrs"
ATTRIBUTES = '{"user_attrs": {"seen": true}}'
TOKEN = "a-token"


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that runs on this port."""

    port: int

    def ask(
        self, method: str = "GET", path: str = "/api/studies", host: str = "", **headers: str
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"Host": host or self.host, "Content-Type": "application/json"} | given
        connection.request(method, path, ATTRIBUTES, named)
        answer = connection.getresponse()
        answer.read()
        return answer

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def cookie(self) -> str:
        """What a browser keeps that opened the printed link."""
        answer = self.ask(path=f"/?token={TOKEN}")
        assert answer.status == 303
        assert answer.headers["Location"] == "/dashboard"
        kept, _, rest = answer.headers["Set-Cookie"].partition(";")
        assert "HttpOnly" in rest
        assert "SameSite=Strict" in rest
        return kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="module")
def artifacts(folder: Path) -> dict[str, str]:
    """The path of each artifact of a study of one trial; all of them hold a script."""
    study = optuna.create_study(study_name="s", storage=open_storage(f"sqlite:///{folder}/hpo.db"))
    (folder / "artifacts").mkdir()
    store = optuna.artifacts.FileSystemArtifactStore(folder / "artifacts")
    trial, paths = study.ask(), {}
    for name in ("page.html", "drawing.svg", "feed.xml", "image.png", "curves.csv", "notes.txt"):
        (folder / name).write_text("<script>alert(1)</script>")
        artifact = optuna.artifacts.upload_artifact(
            artifact_store=store, file_path=str(folder / name), study_or_trial=trial
        )
        paths[name] = f"/artifacts/1/{trial._trial_id}/{artifact}"
    return paths


@pytest.fixture(scope="module")
def local(folder: Path, artifacts: dict[str, str]) -> Iterator[Dashboard]:
    assert artifacts
    with served(folder, "127.0.0.1") as dashboard:
        yield dashboard


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(folder: Path, host: str) -> Iterator[Dashboard]:
    storage, port = open_storage(f"sqlite:///{folder}/hpo.db"), free_port()
    with open_server(
        storage, folder=folder / "artifacts", host=host, port=port, token=TOKEN
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Dashboard(port)
        server.shutdown()
        thread.join()


def test_its_own_host_reads_without_a_token(local: Dashboard) -> None:
    for host in (local.host, f"localhost:{local.port}", f"[::1]:{local.port}", "localhost:9000"):
        assert local.ask(host=host).status == 200, host
    assert local.ask(path="/dashboard").status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "192.168.0.1", "[:"],
)
def test_another_host_neither_reads_nor_writes(local: Dashboard, host: str) -> None:
    kept = local.cookie
    assert local.ask(host=host).status == 403
    assert local.ask("DELETE", "/api/studies/1", host=host, Cookie=kept).status == 403
    assert local.ask(path="/dashboard", host=host).status == 403


def test_only_a_page_of_the_dashboard_with_its_token_writes(local: Dashboard) -> None:
    own, other = f"http://{local.host}", "http://127.0.0.1:1"
    kept = local.cookie
    wrong = kept[:-4] + "wxyz"
    assert local.ask("POST", WRITE).status == 403
    assert local.ask("POST", WRITE, Cookie=wrong).status == 403
    assert local.ask("POST", WRITE, Cookie=kept, Origin=other).status == 403
    assert local.ask("POST", WRITE, Cookie=kept, Origin="null").status == 403
    assert local.ask("POST", WRITE, Cookie=kept, Sec_Fetch_Site="same-site").status == 403
    assert local.ask("DELETE", "/api/studies/1").status == 403
    assert local.ask("POST", WRITE, Cookie=f"a=b; {kept}", Origin=own).status == 204
    assert local.ask("POST", WRITE, Cookie=kept, Sec_Fetch_Site="same-origin").status == 204
    assert local.ask(path="/?token=wrong").status == 403


def test_an_artifact_runs_nothing_and_is_read_by_no_other_page(
    local: Dashboard, artifacts: dict[str, str]
) -> None:
    for name, path in artifacts.items():
        headers = local.ask(path=path).headers
        assert headers["Content-Security-Policy"] == "sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Access-Control-Allow-Origin"] is None
        is_kept = name in ("image.png", "curves.csv", "notes.txt")
        assert headers["Content-Disposition"] == (None if is_kept else "attachment"), name
    for path in (
        "/artifacts/1/../hpo.db",
        "/artifacts/1/..%2fhpo.db",
        "/artifacts/1/%2fetc%2fhosts",
    ):
        assert local.ask(path=path).status == 404


@pytest.mark.usefixtures("artifacts")
def test_on_every_address_it_warns_and_still_asks_for_the_token(
    folder: Path, hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(folder, "0.0.0.0") as public:
        assert public.ask(host="machine.example:80").status == 200
        kept = public.cookie
        assert public.ask("POST", WRITE, host="machine.example").status == 403
        answer = public.ask("POST", WRITE, host="machine.example", Cookie=kept)
        assert answer.status == 204

    def stop(_: Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "handle_request", stop)
    at = ("--storage", f"sqlite:///{folder}/hpo.db", "--port", free_port())
    assert "Warning" not in hpo("dashboard", *at).err
    answer = hpo("dashboard", *at, "--host", "0.0.0.0")
    assert (answer.code, "everyone who reaches this machine" in answer.err) == (0, True)
