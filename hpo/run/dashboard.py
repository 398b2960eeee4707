"""optuna-dashboard behind a guard: pages of other hosts neither read nor change studies.

Any page in a browser can send requests to 127.0.0.1, even under its own host name (DNS
rebinding). So every request must name this host, and one that writes must come from a page of the
dashboard and carry the token of the printed link, which the browser keeps as a cookie.
"""

import io
import ipaddress
import socket
from collections.abc import Iterable
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from wsgiref.headers import Headers
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.artifacts import FileSystemArtifactStore

from hpo.errors import UsageError
from hpo.files import MAKE_ROOM, writing
from hpo.storage.database import Database

_READING: Final = ("GET", "HEAD")
# A browser shows these and runs nothing in them; HTML, SVG and XML may hold scripts.
_SHOWN: Final = frozenset(
    {"text/plain", "text/csv", "application/json", "application/jsonl", "application/x-ndjson"}
    | {"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"}
)


def open_server(storage: Database, *, folder: Path, host: str, port: int, token: str) -> "Server":
    """Listen for optuna-dashboard on a storage; only who has the token changes studies.

    Raises:
        OutputError: the folder cannot be made.
        UsageError: the address or port cannot be listened on.
    """
    from optuna_dashboard import wsgi

    with writing(folder, hint=MAKE_ROOM):
        folder.mkdir(parents=True, exist_ok=True)
    app = wsgi(storage, artifact_store=FileSystemArtifactStore(folder))
    try:
        return Server(app, host=host, port=port, token=token)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another port with "
            "--port, or another address of this machine with --host."
        ) from error


class Server(WSGIServer):
    """An HTTP server of one application behind the guard."""

    timeout = 0.5  # After which `handle_request` returns without one.

    def __init__(self, app: WSGIApplication, *, host: str, port: int, token: str) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)
        self.address = ipaddress.ip_address(self.socket.getsockname()[0])
        self._app, self._host, self._token = app, host.lower(), token
        self._cookie = f"hpo-{port}={token}"  # A browser sends a cookie to every port.
        self.set_app(self._answer)

    def handle_error(self, *_: object) -> None:
        """Print nothing about a browser that hangs up."""

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        refusal = self._refusal(environ)
        if refusal:
            start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [refusal.encode()]
        if "token" in parse_qs(environ.get("QUERY_STRING", "")):
            cookie = f"{self._cookie}; Path=/; HttpOnly; SameSite=Strict"
            start("303 See Other", [("Location", "/dashboard"), ("Set-Cookie", cookie)])
            return []
        is_artifact = environ.get("PATH_INFO", "").startswith("/artifacts/")

        def start_safely(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            _make_safe(Headers(headers), is_artifact=is_artifact)
            return start(status, headers, *more)

        return self._app(environ, start_safely)

    def _refusal(self, environ: WSGIEnvironment) -> str:
        """Return why a request is refused, or an empty text."""
        host = environ.get("HTTP_HOST", "")
        if not self._is_own(host):
            return (
                "This dashboard does not answer to this host name. Open the link that "
                "`hpo dashboard` printed, or start it with --host NAME."
            )
        tokens = parse_qs(environ.get("QUERY_STRING", "")).get("token")
        if tokens and not _is_equal(tokens[0], self._token):
            return "This link belongs to another dashboard. Open the link that was printed last."
        if environ["REQUEST_METHOD"] in _READING:
            return ""
        origin = environ.get("HTTP_ORIGIN")
        site = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
        if site != "same-origin" or (origin and urlsplit(origin).netloc != host):
            return "Requests from pages of other hosts are refused."
        cookies = environ.get("HTTP_COOKIE", "").split(";")
        if not any(_is_equal(cookie.strip(), self._cookie) for cookie in cookies):
            return "To change studies, open the link that `hpo dashboard` printed."
        return ""

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this dashboard; its port may be that of a tunnel."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name and (self.address.is_unspecified or name in (self._host, "localhost")):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


class _Handler(WSGIRequestHandler):
    timeout = 10  # Browsers open connections ahead of their requests; the others would wait.

    def log_message(self, *_: object) -> None:
        """Print no requests: they hold the token, and what strangers ask for."""

    def get_stderr(self) -> io.StringIO:
        """Print no traceback of a request, such as one that Ctrl-C interrupts."""
        return io.StringIO()


def _make_safe(headers: Headers, *, is_artifact: bool) -> None:
    """Let no other page show or read an answer, and run nothing that is in an artifact."""
    del headers["Access-Control-Allow-Origin"]
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if is_artifact:
        headers["Content-Security-Policy"] = "sandbox"
        if (headers["Content-Type"] or "").partition(";")[0].strip().lower() not in _SHOWN:
            headers["Content-Disposition"] = "attachment"


def _is_equal(given: str, secret: str) -> bool:
    return compare_digest(given.encode(errors="replace"), secret.encode())
