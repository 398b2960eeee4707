"""What training a study tells as it goes, event by event."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from hpo.search import Job

Outcome: TypeAlias = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch of a trial was trained; `score` is None where it was not measured."""

    trial: int
    job: Job
    epoch: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class TrialDone:
    """A trial ended."""

    trial: int
    job: Job
    run: str
    outcome: Outcome
    score: float | None = None
    is_reused: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class StackShrunk:
    """Memory ran out: the trainings under way begin again, fewer at a time."""

    n_lanes: int


Event: TypeAlias = EpochDone | TrialDone | StackShrunk
