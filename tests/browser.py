"""Pages in a headless Chromium, if one is installed."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The tag of a page that forbids foreign scripts and all requests.
POLICY = re.compile(r"<meta http-equiv=[^>]*>")
_DUMP = ("--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom")


@dataclass(frozen=True)
class Visit:
    """The DOM of a page after its scripts ran, and its console output."""

    dom: str
    console: list[str]

    @property
    def n_figures(self) -> int:
        return self.dom.count('class="modebar-container"')

    @property
    def was_hacked(self) -> bool:
        return 'data-hacked="1"' in self.dom


def visit(html: str, folder: Path, *, height: int = 8_000) -> Visit:
    """Open a page in the browser, from a file in a folder, in a window of this height."""
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    options = (f"--user-data-dir={folder / 'profile'}", f"--window-size=1280,{height}")
    command = [str(BROWSER), *FLAGS, *_DUMP, *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return Visit(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])
