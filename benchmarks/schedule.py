"""The time of parallel trainings, from the time of an epoch of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """A planned training: seconds per epoch, and the number of epochs."""

    epoch: float
    n_epochs: float

    @property
    def seconds(self) -> float:
        """The time of the whole training by itself."""
        return self.epoch * self.n_epochs


def seconds_in_window(
    works: Sequence[Work], *, n_lanes: int, n_processes: int, window: int
) -> float:
    """Return the time if training k starts once those up to `k - window` have ended.

    A training joins the process with the least work left, as in `hpo.training.pool.Pool`.
    """
    places = [_Place() for _ in range(n_processes)]
    left = [work.n_epochs for work in works]
    n_ended, n_begun, now = 0, 0, 0.0  # n_ended: the first one that has not ended.
    while n_ended < len(works):
        while (
            n_begun < min(len(works), n_ended + window)
            and sum(len(place.lanes) for place in places) < n_lanes
        ):
            place = min(places, key=lambda p: sum(works[i].epoch * left[i] for i in p.lanes))
            place.begin(n_begun, now)
            n_begun += 1
        busy = [place for place in places if place.lanes]
        first = min(busy, key=lambda place: place.end_of_round(works))
        now = first.clock = first.end_of_round(works)
        for lane in first.lanes:
            left[lane] -= 1
        first.lanes = [lane for lane in first.lanes if left[lane] > 0]
        while n_ended < n_begun and left[n_ended] <= 0:
            n_ended += 1
    return now


@dataclass
class _Place:
    """A process that trains an epoch of each of its lanes, round by round."""

    lanes: list[int] = field(default_factory=list)
    clock: float = 0.0

    def begin(self, lane: int, now: float) -> None:
        self.clock = self.clock if self.lanes else now
        self.lanes.append(lane)

    def end_of_round(self, works: Sequence[Work]) -> float:
        return self.clock + sum(works[lane].epoch for lane in self.lanes)
