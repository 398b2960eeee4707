"""One reader under atheris: libFuzzer changes bytes, hypothesis turns them into rubbish.

    python -m benchmarks.rubbish.guided READER N FOLDER [options of libFuzzer]

It ends after N different inputs. libFuzzer ends the process in its own way, so everything is
written each time: `row.json`, the outcomes so far, and `last`, the current bytes.
"""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

INSTRUMENTED = ("hpo", "PIL", "numpy", "tomllib", "zipfile")
# Zeros are the smallest of every choice: rubbish made from too few bytes ends in them.
_ZEROS = bytes(8192)


def main() -> None:
    """Let libFuzzer search for rubbish that leads a reader to new code."""
    import atheris

    program, name, n, place, *options = sys.argv
    folder = Path(place).resolve()
    # Everything is imported and done in here, so that late imports are instrumented too.
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from benchmarks.rubbish.counts import surroundings

        with surroundings() as around:
            read = _reading(name, around)

            def one_input(content: bytes) -> None:
                (folder / "last").write_bytes(content)
                row = read(content + _ZEROS)
                (folder / "row.json").write_text(json.dumps(row), encoding="utf-8")
                if row["n"] >= int(n):
                    os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer ends cleanly.

            atheris.Setup([program, *options], one_input)
            atheris.Fuzz()


def _reading(name: str, folder: Path) -> Callable[[bytes], dict[str, Any]]:
    """Return a function that reads the rubbish made of bytes, once each, and counts."""
    from hypothesis import given, settings

    from benchmarks.rubbish.counts import Count, as_row, attempt_and_count
    from benchmarks.rubbish.readers import READERS

    count = Count()
    seen: Counter[int] = Counter()

    @settings(database=None, deadline=None)
    @given(READERS[name].rubbish)
    def read(rubbish: object) -> None:
        key = hash(repr(rubbish))
        seen[key] += 1
        if seen[key] == 1:
            attempt_and_count(count, READERS[name], folder, rubbish)

    fuzz_one_input = read.hypothesis.fuzz_one_input

    def read_bytes(content: bytes) -> dict[str, Any]:
        fuzz_one_input(content)
        return as_row(count) | {"n_repeated": seen.total() - len(seen)}

    return read_bytes


if __name__ == "__main__":
    main()
