"""100,000 rubbish inputs for all readers of untrusted input.

    python -m benchmarks.rubbish [--share 0.1] [--json FILE]

`tests/test_rubbish.py` is a short version. Hypothesis damages valid files, documents and texts,
from a fixed seed. The outcomes of each reader are counted: a result, one message, a traceback, a
hang (10 s of processor time, or waiting). About twenty minutes on one core.
"""

import argparse
import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, given, seed, settings

from benchmarks.machine import describe_machine
from benchmarks.rubbish.attempts import HANG_S, Reader
from benchmarks.rubbish.counts import Count, as_row, attempt_and_count, surroundings
from benchmarks.rubbish.readers import READERS

RESULTS = Path(__file__).parents[1] / "results" / "rubbish.json"
SEED = 20_261


def main() -> None:
    """Read rubbish and write the results; fail if a reader did."""
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
        "command": "python -m benchmarks.rubbish",
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
    count = Count()
    with surroundings() as around:
        _read(reader, around, round(share * reader.n), count)
    row = {"reader": name, **as_row(count), "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(row), flush=True)
    return row


def _read(reader: Reader, folder: Path, n: int, count: Count) -> None:
    @seed(SEED)
    @settings(
        max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(reader.rubbish)
    def read(rubbish: object) -> None:
        attempt_and_count(count, reader, folder, rubbish)

    read()


if __name__ == "__main__":
    main()
