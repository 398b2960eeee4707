"""The jobs of a grid: each cell and repeat exactly once, in the prescribed order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.search.job import (
    Begun,
    Job,
    begin,
    enqueue,
    first_repeat,
    further_repeat,
    trials_in,
)
from hpo.space import Cell
from hpo.study_record import StudyRecord

_PORTION: Final = 50


@dataclass(kw_only=True)
class GridSource:
    """Hands out the cells and repeats of a grid that the study does not hold yet.

    They wait in the study a portion at a time: what waits is read anew at every turn. Repeats of
    one cell stand next to each other. One that failed in an earlier call is trained again.
    """

    study: optuna.Study
    record: StudyRecord
    n_repeats: int
    _n_before: int = field(init=False)

    def __post_init__(self) -> None:
        self._n_before = len(trials_in(self.study))

    def next(self) -> Begun | None:
        """Return the next waiting trial, now running."""
        trials = trials_in(self.study)
        if not any(trial.state == TrialState.WAITING for trial in trials):
            portion = self._missing(trials)[:_PORTION]
            for job in portion:
                enqueue(self.study, self.record, job)
            if not portion:
                return None
        return begin(self.study)

    def n_left(self) -> int:
        """Return the number of trials that are missing, wait or run."""
        trials = trials_in(self.study)
        return len(self._missing(trials)) + sum(not trial.state.is_finished() for trial in trials)

    @cached_property
    def _jobs(self) -> list[Job]:
        cells = spaces.cells(self.record.space, self.record.names)
        return grid_jobs(cells, self.record, self.n_repeats)

    def _missing(self, trials: Sequence[FrozenTrial]) -> list[Job]:
        there = {
            (trial.user_attrs.get("ordinal"), trial.user_attrs.get("repeat"))
            for trial in trials
            if trial.state != TrialState.FAIL or trial.number >= self._n_before
        }
        return [job for job in self._jobs if job.place not in there]


def grid_jobs(cells: Sequence[Cell], record: StudyRecord, n_repeats: int) -> list[Job]:
    """Return every job of a grid: cell by cell, each with all its repeats."""
    firsts = [
        first_repeat(record, ordinal=cell.ordinal, params=cell.params, config=cell.config)
        for cell in cells
    ]
    return [
        further_repeat(first, repeat, record=record)
        for first in firsts
        for repeat in range(n_repeats)
    ]
