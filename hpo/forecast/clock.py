"""How long trainings take side by side, from what an epoch of each takes."""

from dataclasses import dataclass
from typing import Final

from hpo.forecast.coming import Coming, unshared
from hpo.forecast.times import EpochTimes
from hpo.search.job import Job
from hpo.search.pruning import first_compared
from hpo.study_record import StudyRecord
from hpo.training.schedule import Work, seconds_freely, seconds_in_window

# Seconds until a process has imported torch.
_PROCESS_START: Final = 3.0


@dataclass(frozen=True)
class Course:
    """What becomes of a search.

    `pruned` is the share of its trials that the median pruner ends, `leaning` what the proposals
    of TPE cost beside random ones.
    """

    pruned: float
    leaning: float


# About the mean and the extremes of twelve searches (benchmarks/results/courses.json).
TYPICAL: Final = Course(pruned=0.3, leaning=0.9)
CHEAP: Final = Course(pruned=0.45, leaning=0.7)
COSTLY: Final = Course(pruned=0.2, leaning=1.3)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How long trainings take on so many lanes."""

    record: StudyRecord
    times: EpochTimes
    n_lanes: int
    n_processes: int

    def seconds(self, coming: Coming, finalists: list[Job], course: Course) -> float:
        """Return the seconds of a search that takes such a course, and of what comes after."""
        if not coming.n_trainings:
            return 0.0
        leaning = course.leaning if coming.is_guessed else 1.0
        searched = [self._searched(job, course.pruned, leaning) for job in coming.searched]
        rest = unshared(self.record, [*coming.others, *finalists])
        freely = [self._work(job) for job in rest]
        seconds = _PROCESS_START if self.n_processes > 1 else 0.0
        if self.record.is_decided_on_the_way:
            seconds += seconds_in_window(
                searched,
                n_lanes=self.n_lanes,
                n_processes=self.n_processes,
                window=self.record.window,
            )
        else:
            freely += searched
        return seconds + seconds_freely(freely, n_processes=self.n_processes)

    def _work(self, job: Job, n_epochs: float | None = None) -> Work:
        return Work(self.times.seconds(job.config), n_epochs or job.config.epochs)

    def _searched(self, job: Job, pruned: float, leaning: float) -> Work:
        """Return a training as long as it is on average; a pruned one has no further repeats."""
        n_epochs = float(job.config.epochs)
        if self.record.pruner != "none":
            compared = first_compared(self.record.space.base.epochs)
            least = min(n_epochs, compared) if job.repeat == 0 else 0.0
            n_epochs += pruned * (least - n_epochs)
        return self._work(job, leaning * n_epochs)
