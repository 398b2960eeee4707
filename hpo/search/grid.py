"""The jobs of a grid: each cell and repeat exactly once, in the prescribed order."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from hpo import space as spaces
from hpo.search.job import (
    Begun,
    Job,
    begin,
    enqueue,
    first_repeat,
    further_repeat,
    read_job,
    trials_in,
)
from hpo.space import Cell
from hpo.study_record import StudyRecord

_COUNTS_AS_THERE = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True, kw_only=True)
class GridSource:
    """Hands out the cells and repeats of a grid that the study does not hold yet.

    Every missing one is put into the study as a waiting trial at once, so that the plan can be
    seen; a failed one is put there again. Repeats of one cell stand next to each other.
    """

    study: optuna.Study
    record: StudyRecord

    def plan(self, n_repeats: int) -> int:
        """Put what is missing for so many repeats into the study; return how much that is."""
        there = {
            (job.config.identity(), job.repeat)
            for trial in trials_in(self.study, *_COUNTS_AS_THERE)
            if (job := read_job(trial))
        }
        cells = spaces.cells(self.record.space, self.record.names)
        jobs = grid_jobs(cells, self.record, n_repeats)
        missing = [job for job in jobs if (job.config.identity(), job.repeat) not in there]
        for job in missing:
            enqueue(self.study, self.record, job)
        return len(missing)

    def next(self) -> Begun | None:
        """Return the next waiting trial, now running."""
        return begin(self.study) if trials_in(self.study, TrialState.WAITING) else None

    def n_left(self) -> int:
        """Return the number of trials that wait or run."""
        return len(trials_in(self.study, TrialState.WAITING, TrialState.RUNNING))


def grid_jobs(cells: Sequence[Cell], record: StudyRecord, n_repeats: int) -> list[Job]:
    """Return every job of a grid: cell by cell, each with all its repeats."""
    firsts = [
        first_repeat(record, ordinal=ordinal, params=cell.params, config=cell.config)
        for ordinal, cell in enumerate(cells)
    ]
    return [
        further_repeat(first, repeat, record=record)
        for first in firsts
        for repeat in range(n_repeats)
    ]
