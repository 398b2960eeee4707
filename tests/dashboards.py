"""A dashboard in a process of its own, and what it answers."""

import json
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from tests.processes import Command, start


@contextmanager
def dashboard(*options: str) -> Iterator[Callable[[str], Any]]:
    """Start `hpo dashboard`, and open its link; yield what fetches JSON from a path of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    server = start(Path.cwd(), Command(("dashboard", "--port", port, *options)))
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def fetch(path: str) -> Any:
        with browser.open(f"http://127.0.0.1:{port}{path}") as answer:
            return json.load(answer)

    try:
        for _ in range(600):
            said = server.err.read_text() if server.err.exists() else ""
            if link := re.search(r"http\S+token=\S+", said):
                break
            time.sleep(0.1)
        assert link, said
        browser.open(link[0]).close()
        yield fetch
    finally:
        server.kill()
