"""The jobs of a grid: each cell and repeat exactly once, in the prescribed order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.study.record import StudyRecord
from hpo.study.trials import (
    Job,
    RunningTrial,
    first_repeat,
    place_of,
    read_trials,
    start,
    start_enqueued,
    start_open,
)


@dataclass(kw_only=True)
class GridSource:
    """Hands out the cells and repeats of a grid that the study does not hold yet.

    Repeats of one cell follow each other; cells that another program enqueued come first.
    One that failed in an earlier call is trained again.
    """

    study: optuna.Study
    record: StudyRecord
    n_repeats: int

    def __post_init__(self) -> None:
        self._n_before = len(self.study.get_trials(deepcopy=False))

    def further(self, n_repeats: int) -> "GridSource":
        """Return the source of the same call with more repeats."""
        source = GridSource(study=self.study, record=self.record, n_repeats=n_repeats)
        source._n_before = self._n_before
        return source

    def next(self, running: Collection[int] = ()) -> RunningTrial | None:
        """Return a trial that waits, else the next that is missing; None where there is none.

        `running` are the numbers of those that train now: they are not handed out again.
        """
        trials = read_trials(self.study, self.record)
        if found := start_open(self.study, self.record, trials.ours, running):
            return found
        missing = self._missing(trials.ours)
        for trial, cell in trials.enqueued:
            job = next((job for job in missing if job.ordinal == cell.ordinal), None)
            if job and (found := start_enqueued(self.study, self.record, trial, job)):
                return found
        return start(self.study, self.record, missing[0]) if missing else None

    def n_left(self) -> int:
        """Return the number of trials that are missing, wait or run."""
        trials = read_trials(self.study, self.record).ours
        return len(self._missing(trials)) + sum(not trial.state.is_finished() for trial in trials)

    @cached_property
    def _jobs(self) -> list[Job]:
        return grid_jobs(self.record, self.n_repeats)

    def _missing(self, trials: Sequence[FrozenTrial]) -> list[Job]:
        there = {
            place_of(trial)
            for trial in trials
            if trial.state != TrialState.FAIL or trial.number >= self._n_before
        }
        return [job for job in self._jobs if job.place not in there]


def grid_jobs(record: StudyRecord, n_repeats: int) -> list[Job]:
    """Return every job of a grid: cell by cell, each with all its repeats."""
    return [
        first_repeat(record, cell, ordinal=cell.ordinal).with_repeat(repeat)
        for cell in spaces.cells(record.space, record.names)
        for repeat in range(n_repeats)
    ]
