"""The trainings that a study lacks, as far as they are known before it runs.

What a sampler will propose is not known: random configurations stand in for it. Nor is which of
them become finalists: cheap ones or costly ones.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import optuna
from optuna.trial import TrialState

from hpo import space as spaces
from hpo.engines import joins
from hpo.forecast.times import even_choice
from hpo.search.distributions import suggest
from hpo.search.finalists import finalist_jobs
from hpo.search.grid import grid_jobs
from hpo.search.job import Job, first_repeat, further_repeat, job_of, read_job
from hpo.search.report_bases import report_jobs
from hpo.search.samplers import make_sampler
from hpo.search.standing import Standing, all_cells, is_dead_end
from hpo.search.trials import Trials, read_trials
from hpo.space import Cell
from hpo.study_record import Goal, StudyRecord
from hpo.training.cost import epoch_cost
from hpo.training.progress import root_of

_ENOUGH: Final = 400
"""Random configurations whose mean cost is that of the space within a few percent."""


@dataclass(frozen=True, kw_only=True)
class Coming:
    """What a study lacks: what is searched through, and what is trained whatever is found.

    What is searched `is_guessed` where other configurations stand in for a sampler's proposals.
    `candidates` are the final trainings of each configuration of which `n_finalists` will be
    chosen, the cheapest first; none where there are no finalists, or where it is known who they
    are: then they are among the others.
    """

    n_configurations: int
    n_done: int
    searched: Sequence[Job] = ()
    is_guessed: bool = False
    others: Sequence[Job] = ()
    candidates: Sequence[Sequence[Job]] = ()
    n_finalists: int = 0

    @property
    def n_trainings(self) -> int:
        """The number of trainings that are lacking."""
        return len(self.searched) + len(self.others) + len(self.finalists())

    @property
    def jobs(self) -> list[Job]:
        """All that may be trained: more than will be where there are candidates."""
        return [*self.searched, *self.others, *chain.from_iterable(self.candidates)]

    def finalists(self) -> list[Job]:
        """Return the trainings of as many candidates as there will be finalists, of all costs."""
        return self._choose(self.candidates)

    def cheap_finalists(self) -> list[Job]:
        """Return the same of the cheaper half."""
        return self._choose(self.candidates[: -(-len(self.candidates) // 2)])

    def costly_finalists(self) -> list[Job]:
        """Return the same of the costlier half."""
        return self._choose(self.candidates[len(self.candidates) // 2 :])

    def without(self, is_stored: Callable[[Job], bool]) -> "Coming":
        """Return what is left without the trainings that are told from the run store."""

        def left(jobs: Sequence[Job]) -> list[Job]:
            return [job for job in jobs if not is_stored(job)]

        return replace(
            self,
            searched=left(self.searched),
            others=left(self.others),
            candidates=[left(jobs) for jobs in self.candidates],
        )

    def _choose(self, candidates: Sequence[Sequence[Job]]) -> list[Job]:
        return list(chain.from_iterable(even_choice(candidates, self.n_finalists)))


def of_grid(record: StudyRecord, goal: Goal, study: optuna.Study | None) -> Coming:
    """Return the cells and repeats of a grid that are missing."""
    cells = spaces.cells(record.space, record.names)
    jobs = grid_jobs(cells, record, goal.n_repeats)
    trials = _trials(study, record).ours
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    read = [job for trial in complete if (job := read_job(trial)) is not None]
    done = {(job.config.identity(), job.repeat) for job in read}
    missing = [job for job in jobs if (job.config.identity(), job.repeat) not in done]
    return Coming(n_configurations=len(cells), n_done=len(jobs) - len(missing), others=missing)


def of_search(record: StudyRecord, goal: Goal, study: optuna.Study | None) -> Coming:
    """Return what is missing of a search; random configurations where none is proposed yet."""
    trials = _trials(study, record)
    standing = Standing(trials, record, goal, cells=all_cells(record, goal))
    proposed = _proposals(standing)
    known = [job_of(first) for first, *_ in standing.configurations if not is_dead_end(first)]
    searched = [
        further_repeat(job, repeat, record=record)
        for job in known + proposed
        for repeat in range(goal.n_repeats)
    ]
    searched = [job for job in searched if not standing.has_ended(job)]
    others = report_jobs(record, goal)
    if not searched:
        others = finalist_jobs(standing.of_search, record, goal) + others
    return Coming(
        n_configurations=standing.n_tried + len(proposed),
        n_done=sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials.ours),
        searched=searched,
        others=[job for job in others if not standing.has_ended(job)],
        is_guessed=bool(proposed) and not _are_known(standing),
        candidates=_candidates(known + proposed, record, goal) if searched else [],
        n_finalists=goal.n_finalists,
    )


def _trials(study: optuna.Study | None, record: StudyRecord) -> Trials:
    if study is None:
        return Trials()
    return read_trials(study, record)


def unshared(record: StudyRecord, jobs: Sequence[Job]) -> list[Job]:
    """Leave out the jobs that are the beginning of a longer one, and trained with it."""
    if not joins(record):
        return list(jobs)
    longest: dict[object, Job] = {}
    for job in sorted(jobs, key=lambda job: job.config.epochs):
        longest[root_of(job.config) or job.config.identity(), job.seed, job.fold] = job
    return list(longest.values())


def _candidates(firsts: list[Job], record: StudyRecord, goal: Goal) -> list[list[Job]]:
    return [
        [further_repeat(first, repeat, record=record) for repeat in goal.fresh_repeats]
        for first in _by_cost(firsts, record)
    ]


def _by_cost(jobs: list[Job], record: StudyRecord) -> list[Job]:
    def cost(job: Job) -> float:
        return job.config.epochs * epoch_cost(job.config, n_train=record.data.n_train)

    return sorted(jobs, key=cost)


def _proposals(standing: Standing) -> list[Job]:
    """Return the configurations to come: as they will be, as far as that is known."""
    record, begin = standing.record, len(standing.configurations)
    ordinals = range(begin, begin + standing.n_to_try)
    if standing.cells is not None:
        firsts = [job_of(trials[0]) for trials in standing.configurations]
        tried = {job.config.identity() for job in firsts}
        left = [cell for cell in standing.cells if cell.config.identity() not in tried]
        return [
            _first(record, ordinal, cell) for ordinal, cell in zip(ordinals, left, strict=False)
        ]
    if record.sampler == "random" or len(ordinals) >= _ENOUGH:
        return [_propose(record, ordinal) for ordinal in ordinals]
    return _stand_ins(record, ordinals) if ordinals else []


def _are_known(standing: Standing) -> bool:
    return standing.record.sampler == "random" or standing.cells is not None


def _stand_ins(record: StudyRecord, ordinals: range) -> list[Job]:
    """Return random configurations that stand for the space.

    The costs of a few are widely scattered, and with them their mean: so they are an even choice,
    by cost, of many.
    """
    pool = [_propose(record, ordinal) for ordinal in range(1, _ENOUGH)]
    chosen = even_choice(_by_cost(pool, record), len(ordinals))
    random.Random(record.seed).shuffle(chosen)
    return [replace(job, ordinal=ordinal) for job, ordinal in zip(chosen, ordinals, strict=True)]


def _propose(record: StudyRecord, ordinal: int) -> Job:
    """Return what a random search proposes: to begin with, the base."""
    base = spaces.first_cell(record.space) if ordinal == 0 else None
    if base is not None:
        return _first(record, ordinal, base)
    scratch = optuna.create_study(
        sampler=make_sampler("random", seed=record.seed, ordinal=ordinal)
    )
    params = suggest(scratch.ask(), record.space)
    return _first(record, ordinal, Cell(params, spaces.resolve(record.space, params)))


def _first(record: StudyRecord, ordinal: int, cell: Cell) -> Job:
    return first_repeat(record, ordinal=ordinal, params=cell.params, config=cell.config)
