"""A dashboard in a process of its own, and what it answers."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Command, start


@contextmanager
def dashboard(*options: str) -> Iterator[str]:
    """Start `hpo dashboard`; yield the URL of its list of studies, which it serves soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    server = start(Path.cwd(), Command(("dashboard", "--port", port, *options)))
    try:
        yield f"http://127.0.0.1:{port}/api/studies"
    finally:
        server.kill()


def fetch(url: str) -> Any:
    """Fetch JSON from a server that is about to start."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
