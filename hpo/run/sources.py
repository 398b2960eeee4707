"""Sources of the trials of a study, one after another: a grid, or a search.

A grid has each cell and repeat exactly once, in the prescribed order. A search has configurations
proposed by a sampler, the base first, then the finalists: the score of the best of many single
trainings is partly due to luck, so the finalists are retrained on other folds with other seeds.
The networks of the course reports may follow; the sampler ignores them, as most are outside the
ranges.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.errors import StudyError
from hpo.run.proposals import Proposer, median_limits
from hpo.space import Cell
from hpo.study.progress import SearchProgress, all_cells, finalist_jobs, report_jobs
from hpo.study.record import Goal, StudyRecord
from hpo.study.trials import (
    Job,
    Limits,
    RunningTrial,
    Trials,
    first_repeat,
    job_of,
    place_of,
    read_trials,
    start,
    start_enqueued,
    start_open,
)

_MOST_FAILURES_IN_A_ROW: Final = 20


@dataclass(kw_only=True)
class GridSource:
    """Returns the missing cells and repeats of a grid, one after another.

    The repeats of a cell follow each other; cells enqueued by another program come first. Trials
    that failed in an earlier call are trained again.
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
        """Return a waiting trial, else the next missing one, else None.

        `running` are the ids of trials in training, which are not returned again.
        """
        trials = read_trials(self.study, self.record)
        if started := start_open(self.study, self.record, trials.own, running):
            return started
        missing = self._missing(trials.own)
        for trial, cell in trials.enqueued:
            job = next((job for job in missing if job.ordinal == cell.ordinal), None)
            if job and (started := start_enqueued(self.study, self.record, trial, job)):
                return started
        return start(self.study, self.record, missing[0]) if missing else None

    def n_left(self) -> int:
        """Return the number of missing, waiting or running trials."""
        trials = read_trials(self.study, self.record).own
        return len(self._missing(trials)) + sum(not trial.state.is_finished() for trial in trials)

    @cached_property
    def _jobs(self) -> list[Job]:
        return grid_jobs(self.record, self.n_repeats)

    def _missing(self, trials: Sequence[FrozenTrial]) -> list[Job]:
        existing = {
            place_of(trial)
            for trial in trials
            if trial.state != TrialState.FAIL or trial.number >= self._n_before
        }
        return [job for job in self._jobs if job.place not in existing]


def grid_jobs(record: StudyRecord, n_repeats: int) -> list[Job]:
    """Return every job of a grid: cell by cell, each with all its repeats."""
    return [
        first_repeat(record, cell, ordinal=cell.ordinal).with_repeat(repeat)
        for cell in spaces.cells(record.space, record.names)
        for repeat in range(n_repeats)
    ]


@dataclass(kw_only=True)
class SearchSource:
    """Returns configurations until the goal of the study is reached, then finalists.

    With `Goal.patience` it stops after that many configurations without an improvement.

    A configuration counts once its first repeat is complete or pruned; further repeats follow a
    complete one. A failed configuration is replaced by another proposal; a failed further repeat
    is not tried again. Each configuration of a small space is trained once. Configurations
    enqueued by another program are proposed next.

    A configuration starts when those of its window (`StudyRecord.window`) have ended: proposals
    and pruning are then independent of the number of parallel trainings.
    """

    study: optuna.Study
    record: StudyRecord
    goal: Goal

    def __post_init__(self) -> None:
        self._proposer = Proposer(self.record)
        self._cells = all_cells(self.record, self.goal)  # A thousand take half a second.

    def next(self, running: Collection[int] = ()) -> RunningTrial | None:
        """Return a waiting trial, else a missing repeat, else a new proposal, else None.

        `running` are the ids of trials in training, which are not returned again.

        Raises:
            StudyError: the last 20 trainings have all failed.
        """
        trials = read_trials(self.study, self.record)
        progress = self._progress(trials)
        started = start_open(self.study, self.record, trials.own, running)
        if not started and (missing := self._missing(progress)):
            started = start(self.study, self.record, missing[0])
        started = started or self._proposal(progress, trials)
        if started:
            started.limits = self._limits(started.job, progress)
        return started

    def n_left(self) -> int:
        """Return the number of trainings left if nothing is pruned, including running ones."""
        return self._progress(read_trials(self.study, self.record)).n_left

    def _progress(self, trials: Trials) -> SearchProgress:
        return SearchProgress(trials, self.record, self.goal, self._cells)

    def _missing(self, progress: SearchProgress) -> list[Job]:
        """Return the missing repeats; those of finalists once everything else is done."""
        jobs = [
            job_of(trials[0]).with_repeat(repeat)
            for trials in progress.configurations
            if trials[0].state == TrialState.COMPLETE and len(trials) < self.goal.n_repeats
            for repeat in range(1, self.goal.n_repeats)
        ]
        if not (jobs or progress.is_open or progress.n_to_try):
            jobs = finalist_jobs(progress.of_search, self.record, self.goal)
            jobs += report_jobs(self.record, self.goal)
        return [job for job in jobs if job.place not in progress.places]

    def _proposal(self, progress: SearchProgress, trials: Trials) -> RunningTrial | None:
        """Start the next configuration, unless enough were tried or its window is open."""
        _check_failures(progress)
        ordinal = progress.next_ordinal
        is_free = self.record.sampler in ("random", "qmc") and self.record.pruner == "none"
        is_free = is_free and not self.goal.patience
        is_decided = is_free or all(map(progress.has_ended, progress.known_before(ordinal)))
        if not progress.n_to_try or not is_decided:
            return None
        for enqueued, request in trials.enqueued if ordinal else ():
            job = first_repeat(self.record, request, ordinal=ordinal)
            if started := start_enqueued(self.study, self.record, enqueued, job):
                return started
        if not progress.n_to_propose:
            return None
        cell = self._next_cell(progress)
        if cell is None:
            params = self._proposer.propose(progress.configurations, ordinal=ordinal)
            cell = Cell(params, spaces.resolve(self.record.space, params))
        return start(self.study, self.record, first_repeat(self.record, cell, ordinal=ordinal))

    def _next_cell(self, progress: SearchProgress) -> Cell | None:
        """Return a cell without a proposal: the base, or the next of a small space."""
        if progress.cells is None:
            return None if progress.configurations else spaces.complete(self.record.space, {})
        tried = {job_of(trials[0]).config.identity() for trials in progress.configurations}
        return next(cell for cell in progress.cells if cell.config.identity() not in tried)

    def _limits(self, job: Job, progress: SearchProgress) -> Limits:
        """Return the pruning limits of a configuration; further repeats are never pruned."""
        if job.repeat or job.report or self.record.pruner == "none":
            return {}
        firsts = [trials[0] for trials in progress.known_before(job.ordinal)]
        complete = [trial for trial in firsts if trial.state == TrialState.COMPLETE]
        return median_limits(complete, self.record.space.base.epochs)


def _check_failures(progress: SearchProgress) -> None:
    last = [trials[0] for trials in progress.configurations[-_MOST_FAILURES_IN_A_ROW:]]
    if len(last) == _MOST_FAILURES_IN_A_ROW and all(t.state == TrialState.FAIL for t in last):
        raise StudyError(
            f"The last {len(last)} trainings failed, the latest because: "
            f"{last[-1].user_attrs.get('reason', 'unknown')} Narrow the ranges in the space file "
            "(learning_rate first), then start a new study."
        )


Source = GridSource | SearchSource
"""A source of the trials of a study, with `next(running)` and `n_left()`."""
