"""optuna-dashboard, accessible only through the printed link.

Any page in a browser can send requests to 127.0.0.1, even under its own host name. So every
request must contain the token of the link, which the browser stores as a cookie of this host, and
must not come from a page of another host or port.
"""

import io
import socket
from collections.abc import Iterable
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qs
from wsgiref.headers import Headers
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from hpo.errors import UsageError
from hpo.storage.database import Database


def open_server(storage: Database, *, host: str, port: int, token: str) -> "Server":
    """Start a server of optuna-dashboard for a storage.

    Raises:
        UsageError: the address or port cannot be used.
    """
    from optuna_dashboard import wsgi

    try:
        return Server(wsgi(storage), host=host, port=port, token=token)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another port with "
            "--port, or another address of this machine with --host."
        ) from error


class Server(WSGIServer):
    """An HTTP server of one application, which requires the token."""

    timeout = 0.5  # Then `handle_request` returns even without a request.

    def __init__(self, app: WSGIApplication, *, host: str, port: int, token: str) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)
        self._app, self._token = app, token
        self._cookie = f"hpo-{port}={token}"  # A browser sends a cookie to every port.
        self.set_app(self._answer)

    def handle_error(self, *_: object) -> None:
        """Print nothing if a browser closes the connection."""

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        token = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[0]
        if _is_equal(token, self._token):
            cookie = f"{self._cookie}; Path=/; HttpOnly; SameSite=Strict"
            start("303 See Other", [("Location", "/dashboard"), ("Set-Cookie", cookie)])
            return []
        own = [f"{scheme}://{environ.get('HTTP_HOST')}" for scheme in ("http", "https")]
        cookies = environ.get("HTTP_COOKIE", "").split(";")
        is_authorized = any(_is_equal(cookie.strip(), self._cookie) for cookie in cookies)
        if not is_authorized or environ.get("HTTP_ORIGIN", own[0]) not in own:
            start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"Open the link that `hpo dashboard` printed last."]

        def start_safely(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            """Add headers that prevent other pages from showing or reading the response."""
            safe = Headers(headers)
            del safe["Access-Control-Allow-Origin"]
            safe["X-Content-Type-Options"] = "nosniff"
            safe["X-Frame-Options"] = "DENY"
            safe["Cross-Origin-Resource-Policy"] = "same-origin"
            return start(status, headers, *more)

        return self._app(environ, start_safely)


class _Handler(WSGIRequestHandler):
    timeout = 10  # Browsers open idle connections, which would block others.

    def log_message(self, *_: object) -> None:
        """Print no requests: they contain the token or come from unknown senders."""

    def get_stderr(self) -> io.StringIO:
        """Print no traceback of a request, such as one that Ctrl-C interrupts."""
        return io.StringIO()


def _is_equal(text: str, secret: str) -> bool:
    return compare_digest(text.encode(errors="replace"), secret.encode())
