"""The jobs of a grid: each cell and repeat exactly once, in the prescribed order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.search.job import Begun, Job, first_repeat, further_repeat
from hpo.search.trials import read_trials, start, start_enqueued, start_open
from hpo.space import Cell
from hpo.study.record import StudyRecord


@dataclass(kw_only=True)
class GridSource:
    """Hands out the cells and repeats of a grid that the study does not hold yet.

    Repeats of one cell stand next to each other; cells that another program enqueued come first.
    One that failed in an earlier call is trained again.
    """

    study: optuna.Study
    record: StudyRecord
    n_repeats: int
    _n_before: int = field(init=False)

    def __post_init__(self) -> None:
        self._n_before = len(self.study.get_trials(deepcopy=False))

    def next(self, under_way: Collection[int] = ()) -> Begun | None:
        """Return a trial that waits, else the next that is missing; now running."""
        trials = read_trials(self.study, self.record)
        if begun := start_open(self.study, self.record, trials.ours, under_way):
            return Begun(*begun)
        missing = self._missing(trials.ours)
        for trial, cell in trials.enqueued:
            of_cell = [job for job in missing if job.ordinal == cell.ordinal]
            if of_cell and (asked := start_enqueued(self.study, self.record, trial, of_cell[0])):
                return Begun(asked, of_cell[0])
        return Begun(start(self.study, self.record, missing[0]), missing[0]) if missing else None

    def n_left(self) -> int:
        """Return the number of trials that are missing, wait or run."""
        trials = read_trials(self.study, self.record).ours
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
