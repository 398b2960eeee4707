"""`kill -9` at random moments, until the study is complete all the same."""

import random
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.studies import Case


@dataclass(frozen=True)
class Disturbed:
    """What came of one study: its kills, what was lost or double, and what differs."""

    n_kills: int
    n_lost: int
    n_double: int
    differences: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self) | {"is_equal": not self.differences}


def disturb(case: Case, expected: dict[str, Any], *, n_kills: int, seed: int) -> Disturbed:
    """Kill the command so many times, then let it finish.

    A training is lost where its run was in the store when something was killed, and was written
    again all the same.
    """
    chance, n_done = random.Random(seed), 0
    stored: dict[str, int] = {}
    while n_done < n_kills:
        child = case.start()
        end = time.monotonic() + chance.uniform(0.5, 6.0)
        while time.monotonic() < end and child.poll() is None:
            time.sleep(0.005)
        if child.poll() is not None:
            # It was faster than its killer: this study cannot be disturbed any more.
            _wait(child)
            break
        child.kill()
        _wait(child)
        n_done += 1
        stored = case.inodes() | stored
    case.finish()
    n_lost = sum(case.inodes().get(name) != inode for name, inode in stored.items())
    found = case.described()
    differences = [name for name in expected if found[name] != expected[name]]
    return Disturbed(n_done, n_lost, found["n_double"], tuple(differences))


def _wait(child: subprocess.Popen[bytes]) -> None:
    child.wait()
    if child.stderr:
        child.stderr.close()
