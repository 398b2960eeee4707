"""100,000 guided rubbish inputs: bytes that lead a reader to new code are developed further.

    python -m benchmarks.fuzz [--share 0.1] [--seconds 600] [--json FILE]

Like `benchmarks.rubbish`, but libFuzzer, through atheris, changes the bytes from which hypothesis
makes its choices, and keeps those that reach new code. No input is read twice. Each reader has a
process, which may crash or hang where Python cannot interrupt. Inputs that a reader does not reach
in its time are left out, as the numbers show. Faster with TMPDIR=/dev/shm.
"""

import argparse
import importlib.util
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, describe_machine
from benchmarks.rubbish.attempts import HANG_S
from benchmarks.rubbish.counts import Count, as_row
from benchmarks.rubbish.guided import INSTRUMENTED
from benchmarks.rubbish.readers import READERS

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
SEED = 20_261
N_FIRST = 200
# Additional seconds: for the imports, and to detect a hang of the last piece.
_GRACE_S = 300
_MEGABYTES = 2048
_MISSING = "atheris is not installed: .venv/bin/pip install atheris==3.0.0 (Linux), or make fuzz"
_LIBRARIES = ("atheris", "hypothesis", "pillow", "safetensors", "sqlalchemy", "optuna")


def main() -> None:
    """Fuzz every reader and write the results; fail if a reader did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print(_MISSING, file=sys.stderr)
        sys.exit(2)
    target = arguments.json.resolve()
    rows = [
        _fuzz(name, n=round(arguments.share * reader.n), seconds=arguments.seconds)
        for name, reader in READERS.items()
    ]
    counted = ("n", "n_repeated", "n_tracebacks", "n_hangs", "n_crashes", "seconds")
    totals = {name: round(sum(row[name] for row in rows), 1) for name in counted}
    document = {
        "command": "python -m benchmarks.fuzz",
        "machine": describe_machine() | {name: version(name) for name in _LIBRARIES},
        "seed": SEED,
        "hang_s": HANG_S,
        "instrumented": INSTRUMENTED,
        "total": totals,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "readers": rows,
    }
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(totals["n_tracebacks"] + totals["n_hangs"] + totals["n_crashes"]))


def _fuzz(name: str, *, n: int, seconds: int) -> dict[str, Any]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write_first(folder / "corpus")
        end = _run([name, str(n), place], folder, seconds)
        log = (folder / "log").read_text(encoding="utf-8", errors="replace")
        if not (folder / "last").exists():
            sys.exit(f"{name}: nothing was read\n{log[-2000:]}")
        row = {"reader": name, **_read_row(folder, end), **_read_edges(log)}
    row["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(row), flush=True)
    return row


def _write_first(folder: Path) -> None:
    """Write the initial corpus of libFuzzer: bytes that make rubbish of all sizes."""
    generator = random.Random(SEED)
    folder.mkdir()
    for number in range(N_FIRST):
        (folder / str(number)).write_bytes(generator.randbytes(generator.randint(8, 64)))


def _run(task: list[str], folder: Path, seconds: int) -> str:
    """Let a process fuzz one reader; return how it ended early, "" if it did not."""
    options = [
        f"-seed={SEED}",
        f"-max_total_time={seconds}",
        "-max_len=128",
        "-len_control=0",
        f"-rss_limit_mb={_MEGABYTES}",
        # Its alarm would be that of `attempt`, which rings long before.
        "-timeout=3600",
        f"-artifact_prefix={folder}/",
        str(folder / "corpus"),
    ]
    command = [sys.executable, "-m", "benchmarks.rubbish.guided", *task, *options]
    with (folder / "log").open("wb") as log:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=log, timeout=seconds + _GRACE_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return "hang"
    return f"crash {code}" if code else ""


def _read_row(folder: Path, end: str) -> dict[str, Any]:
    path = folder / "row.json"
    row = json.loads(path.read_bytes()) if path.exists() else as_row(Count())
    row["n_crashes"] = int(end.startswith("crash"))
    row["n_hangs"] += int(end == "hang")
    if end:
        row["failures"].append(f"{end}: {(folder / 'last').read_bytes()!r}")
    return row


def _read_edges(log: str) -> dict[str, int]:
    """Return the number of edges reached by the first bytes, and the final number."""
    edges = [int(number) for number in re.findall(r" cov: (\d+) ", log)]
    return {"n_edges_first": edges[0], "n_edges": edges[-1]} if edges else {}


if __name__ == "__main__":
    main()
