"""The outcomes of rubbish: read, refused with a message, a traceback, a hang."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rubbish.attempts import Hang, Reader, attempt

_MOST_SHOWN = 5


@dataclass
class Count:
    """The outcomes of the rubbish for one reader."""

    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


def attempt_and_count(count: Count, reader: Reader, folder: Path, rubbish: object) -> None:
    """Let a reader read rubbish, and count the outcomes."""
    started = time.process_time()
    try:
        answer = "message" if attempt(reader, folder, rubbish) else "read"
    except Exception as problem:
        answer = "hang" if isinstance(problem, Hang) else "traceback"
        if len(count.failures) < _MOST_SHOWN:
            kind = f"{type(problem).__name__}: {problem}"[:200]
            count.failures[kind] = repr(rubbish)[:2000]
    count.answers[answer] += 1
    count.slowest_s = max(count.slowest_s, time.process_time() - started)


def as_row(count: Count) -> dict[str, object]:
    """Return the numbers of a count, for JSON."""
    return {
        "n": count.answers.total(),
        "n_read": count.answers["read"],
        "n_messages": count.answers["message"],
        "n_tracebacks": count.answers["traceback"],
        "n_hangs": count.answers["hang"],
        "slowest_s": round(count.slowest_s, 2),
        "failures": [f"{kind}: {shown}" for kind, shown in count.failures.items()],
    }


@contextmanager
def surroundings() -> Iterator[Path]:
    """Create a folder in which readers work, inside its `home`, with a cache next to it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        around = Path(folder) / "surroundings"
        (around / "home").mkdir(parents=True)
        os.environ["HPO_CACHE"] = str(Path(folder) / "cache")
        os.chdir(around / "home")
        try:
            yield around
        finally:
            os.chdir(before)
