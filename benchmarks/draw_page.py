"""How long a browser takes to draw a page, from the start of the navigation.

Figures are drawn when they are about to be seen. Those within two screens come first; then the
page is told that it will be printed, and the others follow.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

from tests.browser import BROWSER, FLAGS, POLICY

_PATIENCE_S = 120
# Two frames after a figure, it has been painted.
_CLOCK = """<script>
const frame = () => new Promise(requestAnimationFrame), newPlot = Plotly.newPlot, times = [];
const all = Array.from(document.querySelectorAll("script[data-figure]"), (x) => x.parentElement);
const near = all.filter((x) => x.getBoundingClientRect().top < 2 * innerHeight).length || 1;
Plotly.newPlot = (...these) => newPlot(...these).then(frame).then(frame).then(() => {
  times.push(performance.now());
  if (times.length === near) setTimeout(() => dispatchEvent(new Event("beforeprint")));
  const body = JSON.stringify([times[0], times[near - 1], times[all.length - 1]]);
  if (times.length === all.length) fetch("/drawn", { method: "POST", body });
});
</script>
"""


def drawn_seconds(page: Path) -> tuple[float, float, float] | None:
    """Return when the first figure, those near the first screen, and all of them were painted.

    None without Chromium.
    """
    if BROWSER is None:
        return None
    html = POLICY.sub("", page.read_text(encoding="utf-8"))
    last = html.rindex("<script>")
    content = (html[:last] + _CLOCK + html[last:]).encode()
    found: Queue[tuple[float, float, float]] = Queue()
    with (
        _served(content, found) as url,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        options = (
            *("--remote-debugging-port=0", "--window-size=1280,900"),
            f"--user-data-dir={profile}/profile",
        )
        browser = subprocess.Popen(
            [BROWSER, *FLAGS, *options, url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return found.get(timeout=_PATIENCE_S)
        finally:
            browser.terminate()
            browser.wait()


@contextmanager
def _served(content: bytes, found: Queue[tuple[float, float, float]]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Page, content, found))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class _Page(BaseHTTPRequestHandler):
    """Serves the page, and receives its timing."""

    def __init__(
        self, content: bytes, found: Queue[tuple[float, float, float]], *rest: object
    ) -> None:
        self.content, self.found = content, found
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer(self.content if self.path == "/" else b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        first, near, last = (milliseconds / 1_000 for milliseconds in json.loads(body))
        self.found.put((first, near, last))
        self._answer(b"")

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(content)
