"""Equal, equal within rounding, or different and where it begins."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from hpo.reproduce.numbers import AFTER, EXACT, Numbers
from hpo.study.score import Score

Result = Literal["equal", "equal_within_rounding", "different"]

# Half a point of accuracy; of losses above 1, half a percent. Training lets rounding grow: on real
# X-rays another instruction set went beyond this after 1 to 7 epochs in fp32, in the first in bf16
# (docs/reproduce.md). A tolerance that held for whole trainings would hold for other seeds too.
TOLERANCE: Final = 0.005


@dataclass(frozen=True, slots=True)
class Difference:
    """One number as recorded and as it is now, None where training ended before it.

    `epoch` is None after the last epoch.
    """

    epoch: int | None
    metric: str
    recorded: float
    now: float | None

    @property
    def size(self) -> float:
        """How far apart they are, in units of the recorded number where that is above 1."""
        if self.now is None or math.isnan(self.now) != math.isnan(self.recorded):
            return math.inf
        if self.now == self.recorded or math.isnan(self.now):
            return 0.0
        size = abs(self.now - self.recorded) / max(1.0, abs(self.recorded))
        return math.inf if math.isnan(size) else size

    @property
    def is_beyond(self) -> bool:
        """Whether this is more than rounding."""
        return self.size > (0.0 if self.metric in EXACT else TOLERANCE)


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """What a comparison of numbers says.

    `first` is the first number that is not the same, `begins` the first beyond the tolerance,
    `largest` the largest difference.
    """

    result: Result
    n_numbers: int
    n_equal: int
    first: Difference | None
    begins: Difference | None
    largest: Difference | None


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A trial that was trained again, for `n_epochs` epochs; `metric` is what its study optimizes.

    `name` is what it is called, `trial` Optuna's number.
    `score` is None for a pruned trial, `score_now` also where training diverged. `changes` says
    what differs between the surroundings of the record and these. Without `has_run` only what the
    trial itself holds was compared.
    """

    study: str
    name: str
    trial: int
    metric: Score
    has_run: bool
    n_epochs: int
    score: float | None
    score_now: float | None
    changes: tuple[str, ...]
    judgment: Judgment
    seconds: float


def judge(recorded: Numbers, now: Numbers) -> Judgment:
    """Compare every recorded number with the one that training gives now."""
    ordered = sorted(recorded.items(), key=lambda item: item[0][0])
    every = [
        Difference(None if epoch == AFTER else epoch, metric, value, now.get((epoch, metric)))
        for (epoch, metric), value in ordered
    ]
    differing = [difference for difference in every if difference.size > 0]
    begins = next((d for d in differing if d.is_beyond), None)
    result: Result = "different" if begins else "equal_within_rounding" if differing else "equal"
    return Judgment(
        result=result,
        n_numbers=len(every),
        n_equal=len(every) - len(differing),
        first=differing[0] if differing else None,
        begins=begins,
        largest=max(differing, key=lambda d: d.size, default=None),
    )
