"""The jobs of a grid: each cell and repeat exactly once, in the prescribed order."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from hpo import space as spaces
from hpo.config import Scalar
from hpo.search.job import Job, enqueue, first_repeat, further_repeat, read_job, trials_in
from hpo.search.stale import owner
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

    @property
    def is_deciding(self) -> bool:
        """Never: every cell and repeat is trained, whatever the scores."""
        return False

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
            enqueue(self.study, job)
        return len(missing)

    def next(self) -> tuple[optuna.Trial, Job] | None:
        """Return the next waiting trial, now running."""
        if not trials_in(self.study, TrialState.WAITING):
            return None
        trial = self.study.ask()
        job = read_job(trial)
        if job is None:
            # Another process took the last waiting trial between the question and the answer.
            trial.set_user_attr("reason", "nothing was left to train")
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        trial.set_user_attr("owner", owner())
        for name, labels in self._labels().items():
            trial.suggest_categorical(name, labels)
        return trial, job

    def n_left(self) -> int:
        """Return the number of trials that wait or run."""
        return len(trials_in(self.study, TrialState.WAITING, TrialState.RUNNING))

    def _labels(self) -> dict[str, tuple[Scalar, ...]]:
        return {name: self.record.space.sweeps[name].labels for name in self.record.names}


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
