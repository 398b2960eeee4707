"""A dashboard in a process of its own, and what it answers."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def dashboard(*options: str) -> Iterator[str]:
    """Start `hpo dashboard`; yield the URL of its list of studies, which it serves soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    server = subprocess.Popen(
        [sys.executable, "-m", "hpo", "dashboard", "--port", port, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/api/studies"
    finally:
        server.terminate()
        server.wait()


def fetch(url: str) -> Any:
    """Fetch JSON from a server that is about to start."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
