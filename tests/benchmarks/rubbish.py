"""100,000 pieces of rubbish for everything that reads what a stranger wrote.

    python -m tests.benchmarks.rubbish [--share 0.1] [--json FILE]

The tests in `tests/rubbish` are the same in short. Hypothesis damages files, documents and texts
that are right, by a fixed seed. Counted is what each reader made of them: a result, one message,
a traceback, a hang (10 s of processor time, or waiting). About twenty minutes on one core.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, given, seed, settings

from tests.benchmarks.machine import describe_machine
from tests.rubbish.attempts import HANG_S, Hang, Reader, attempt
from tests.rubbish.readers import READERS

RESULTS = Path(__file__).parent / "results" / "rubbish.json"
SEED = 20_261
_MOST_SHOWN = 5


@dataclass
class Count:
    """What became of the rubbish for one reader."""

    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


def main() -> None:
    """Read rubbish and write what came of it; fail where a reader did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    target = arguments.json.resolve()
    rows = [_row(name, reader, arguments.share) for name, reader in READERS.items()]
    totals = {
        name: sum(row[name] for row in rows)
        for name in ("n", "n_tracebacks", "n_hangs", "seconds")
    }
    libraries = ("hypothesis", "pillow", "safetensors", "sqlalchemy", "optuna")
    document = {
        "command": "python -m tests.benchmarks.rubbish",
        "machine": describe_machine() | {name: version(name) for name in libraries},
        "seed": SEED,
        "hang_s": HANG_S,
        "total": totals,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "readers": rows,
    }
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(totals["n_tracebacks"] + totals["n_hangs"]))


def _row(name: str, reader: Reader, share: float) -> dict[str, Any]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "surroundings" / "home").mkdir(parents=True)
        os.environ["HPO_CACHE"] = str(Path(folder) / "cache")
        os.chdir(Path(folder) / "surroundings" / "home")
        count = _read(reader, Path(folder) / "surroundings", round(share * reader.n))
        os.chdir(Path(__file__).parent)
    row = {
        "reader": name,
        "n": count.answers.total(),
        "n_read": count.answers["read"],
        "n_messages": count.answers["message"],
        "n_tracebacks": count.answers["traceback"],
        "n_hangs": count.answers["hang"],
        "slowest_s": round(count.slowest_s, 2),
        "seconds": round(time.monotonic() - started, 1),
        "failures": [f"{kind}: {shown}" for kind, shown in count.failures.items()],
    }
    print(json.dumps(row), flush=True)
    return row


def _read(reader: Reader, folder: Path, n: int) -> Count:
    count = Count()

    @seed(SEED)
    @settings(
        max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(reader.rubbish)
    def read(rubbish: object) -> None:
        started = time.process_time()
        try:
            answer = "message" if attempt(reader, folder, rubbish) else "read"
        except Hang:
            answer = "hang"
        except Exception as problem:
            answer = "traceback"
            if len(count.failures) < _MOST_SHOWN:
                kind = f"{type(problem).__name__}: {problem}"[:200]
                count.failures[kind] = repr(rubbish)[:2000]
        count.answers[answer] += 1
        count.slowest_s = max(count.slowest_s, time.process_time() - started)

    read()
    return count


if __name__ == "__main__":
    main()
