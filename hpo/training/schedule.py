"""How long trainings take side by side, from what an epoch of each takes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """A training that is to come: seconds of an epoch, and how many."""

    epoch: float
    n_epochs: float

    @property
    def seconds(self) -> float:
        """The time of the whole training by itself."""
        return self.epoch * self.n_epochs


def seconds_freely(works: Sequence[Work], *, n_processes: int) -> float:
    """Return the time where no process waits; nothing ends before its longest has ended."""
    seconds = [work.seconds for work in works]
    return max(sum(seconds) / n_processes, max(seconds, default=0.0))


def seconds_in_ticks(works: Sequence[Work], *, n_lanes: int, n_processes: int) -> float:
    """Return the time where every epoch waits for the slowest process, lane by lane as they come.

    A training joins the process with the least work per tick, as `processes.ProcessStack` does.
    """
    waiting, total = list(reversed(works)), 0.0
    lanes: list[list[Work]] = [[] for _ in range(n_processes)]
    while waiting or any(lanes):
        while waiting and sum(map(len, lanes)) < n_lanes:
            min(lanes, key=_tick).append(waiting.pop())
        total += max(map(_tick, lanes))
        lanes = [[_next(work) for work in lane if work.n_epochs > 1] for lane in lanes]
    return total


def _tick(lane: Sequence[Work]) -> float:
    return sum(work.epoch for work in lane)


def _next(work: Work) -> Work:
    return Work(work.epoch, work.n_epochs - 1)
