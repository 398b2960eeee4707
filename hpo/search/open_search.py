"""The jobs of a search: configurations proposed by a sampler, the base configuration first."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.errors import StudyError
from hpo.search.finalists import finalist_jobs
from hpo.search.job import Begun, Job, first_repeat, further_repeat, job_of
from hpo.search.proposals import Proposals
from hpo.search.pruning import PRUNERS, Limits
from hpo.search.report_bases import report_jobs
from hpo.search.standing import Standing, all_cells, is_dead_end
from hpo.search.trials import Trials, read_trials, start, start_enqueued, start_open
from hpo.space import Cell
from hpo.study.record import Goal, StudyRecord

_MOST_FAILURES_IN_A_ROW: Final = 20


@dataclass(kw_only=True)
class SearchSource:
    """Hands out configurations until the study holds as many as its goal says, then finalists.

    A configuration counts when its first repeat is complete or pruned; its further repeats follow
    once that one is complete. A configuration that fails is replaced by another proposal; a
    further repeat that fails is not tried again. A space that has no more configurations than the
    goal is gone through, each once. What another program enqueued is the next to be proposed.

    A configuration begins when those of its window (`StudyRecord.window`) have ended: what is
    proposed and pruned is then the same, whoever trains how many at a time.
    """

    study: optuna.Study
    record: StudyRecord
    goal: Goal
    _proposals: Proposals = field(init=False)
    _identities: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._proposals = Proposals(self.record)

    def next(self, under_way: Collection[int] = ()) -> Begun | None:
        """Return a waiting trial, else a missing repeat, else a new proposal.

        Raises:
            StudyError: so many trainings in a row failed that going on makes no sense.
        """
        trials = read_trials(self.study, self.record)
        standing = self._standing(trials)
        if begun := start_open(self.study, self.record, trials.ours, under_way):
            return Begun(*begun, self._limits(begun[1], standing))
        if missing := self._missing(standing):
            job = missing[0]
            return Begun(start(self.study, self.record, job), job, self._limits(job, standing))
        return self._proposal(standing, trials)

    def n_left(self) -> int:
        """Return how many trainings are left if nothing is pruned, those that run included."""
        return self._standing(read_trials(self.study, self.record)).n_left

    @cached_property
    def cells(self) -> list[Cell] | None:
        """Every configuration of the space, None where there are more than the goal."""
        return all_cells(self.record, self.goal)

    def _standing(self, trials: Trials) -> Standing:
        return Standing(trials, self.record, self.goal, cells=self.cells)

    def _missing(self, standing: Standing) -> list[Job]:
        """Return the jobs that follow from what is there; finalists when all else is over."""
        missing = list(self._repeats(standing))
        if missing or standing.is_open or standing.n_to_try:
            return missing
        jobs = finalist_jobs(standing.of_search, self.record, self.goal)
        jobs += report_jobs(self.record, self.goal)
        return [job for job in jobs if job.place not in standing.places]

    def _repeats(self, standing: Standing) -> Iterator[Job]:
        """Yield the further repeats of complete configurations that are not there yet."""
        for trials in standing.configurations:
            first = trials[0]
            if first.state != TrialState.COMPLETE or len(trials) >= self.goal.n_repeats:
                continue
            job = job_of(first)
            for repeat in range(1, self.goal.n_repeats):
                if (job.ordinal, repeat) not in standing.places:
                    yield further_repeat(job, repeat, record=self.record)

    def _proposal(self, standing: Standing, trials: Trials) -> Begun | None:
        """Begin the next configuration; none where enough are tried or its window is open."""
        _check_failures(standing)
        ordinal = standing.next_ordinal
        if not standing.n_to_try or not self._may_begin(ordinal, standing):
            return None

        def begun(trial: optuna.Trial, job: Job) -> Begun:
            return Begun(trial, job, self._limits(job, standing))

        for enqueued, asked in trials.enqueued if ordinal else ():
            job = self._first(ordinal, asked)
            if trial := start_enqueued(self.study, self.record, enqueued, job):
                return begun(trial, job)
        if standing.n_tried >= standing.n_wanted:
            return None
        cell = self._next_cell(standing)
        if cell is None:
            params = self._proposals.propose(standing.configurations, ordinal=ordinal)
            cell = Cell(params, spaces.resolve(self.record.space, params))
        job = self._first(ordinal, cell)
        return begun(start(self.study, self.record, job), job)

    def _first(self, ordinal: int, cell: Cell) -> Job:
        return first_repeat(self.record, ordinal=ordinal, params=cell.params, config=cell.config)

    def _may_begin(self, ordinal: int, standing: Standing) -> bool:
        """Whether the configurations that it is decided by have ended."""
        known = standing.configurations[: self._n_known(ordinal)]
        return not self.record.is_decided_on_the_way or all(map(self._has_ended, known))

    def _n_known(self, ordinal: int) -> int:
        return max(0, ordinal - self.record.window + 1)

    def _has_ended(self, trials: list[FrozenTrial]) -> bool:
        if is_dead_end(trials[0]):
            return True
        asked = trials[: self.goal.n_repeats]
        return len(asked) == self.goal.n_repeats and all(t.state.is_finished() for t in asked)

    def _next_cell(self, standing: Standing) -> Cell | None:
        """Return what needs no proposal: the base to begin with, or the next of a small space."""
        if self.cells is None:
            return None if standing.configurations else spaces.first_cell(self.record.space)
        for ordinal, trials in enumerate(standing.configurations):
            if ordinal not in self._identities:
                self._identities[ordinal] = job_of(trials[0]).config.identity()
        tried = set(self._identities.values())
        return next(cell for cell in self.cells if cell.config.identity() not in tried)

    def _limits(self, job: Job, standing: Standing) -> Limits:
        """Return what a configuration is pruned by; its further repeats are trained to the end."""
        if job.repeat or job.report:
            return {}
        known = [trials[0] for trials in standing.configurations[: self._n_known(job.ordinal)]]
        complete = [t for t in known if t.state == TrialState.COMPLETE]
        return PRUNERS[self.record.pruner](complete, self.record.space.base.epochs)


def _check_failures(standing: Standing) -> None:
    last = [trials[0] for trials in standing.configurations[-_MOST_FAILURES_IN_A_ROW:]]
    if len(last) == _MOST_FAILURES_IN_A_ROW and all(t.state == TrialState.FAIL for t in last):
        raise StudyError(
            f"The last {len(last)} trainings failed, the newest because: "
            f"{last[-1].user_attrs.get('reason', 'unknown')} Narrow the ranges in the space file "
            "(learning_rate first), then start a new study."
        )
