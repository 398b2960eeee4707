"""The jobs of a search: configurations proposed by a sampler, the base configuration first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.config import Scalar
from hpo.errors import StudyError
from hpo.search.finalists import finalist_jobs
from hpo.search.job import Job, enqueue, first_repeat, further_repeat, read_job, trials_in
from hpo.search.report_bases import report_jobs
from hpo.search.samplers import make_sampler
from hpo.search.stale import owner
from hpo.space import Cell, Choices, FloatRange, IntRange, Parameter, Space
from hpo.study_record import Goal, StudyRecord

_COUNTS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)
_OPEN = (TrialState.RUNNING, TrialState.WAITING)
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_MOST_FAILURES_IN_A_ROW = 20


@dataclass(frozen=True, kw_only=True)
class SearchSource:
    """Hands out configurations until the study holds as many as its goal says, then finalists.

    A configuration counts when its first repeat is complete or pruned; its further repeats follow
    once that one is complete. A configuration that fails is replaced by another proposal; a
    further repeat that fails is not tried again. What was cut off is. A space that has no more
    configurations than the goal is gone through, each once.
    """

    study: optuna.Study
    record: StudyRecord
    goal: Goal

    def next(self) -> tuple[optuna.Trial, Job] | None:
        """Return a waiting trial, else a missing repeat, else a new proposal.

        Raises:
            StudyError: so many trainings in a row failed that going on makes no sense.
        """
        trials = self._trials()
        for job in self._missing(trials):
            enqueue(self.study, job)
        if not trials_in(self.study, TrialState.WAITING):
            if self._is_searched(trials):
                return None
            _check_failures(trials)
        return self._ask(_next_ordinal(trials))

    def n_left(self) -> int:
        """Return how many trainings are left if nothing is pruned, those that run included."""
        every, goal = self._trials(), self.goal
        trials = _of_search(every)
        ended = [t for t in trials if t.state in _ENDED and not _was_cut_off(t)]
        searched = [t for t in ended if t.user_attrs["repeat"] < goal.n_repeats]
        n_done = sum(t.state == TrialState.COMPLETE or not _is_first(t) for t in searched)
        # No repeat follows a first one that was pruned, or that failed and is not replaced.
        n_done += goal.n_repeats * sum(self._is_dead_end(t) for t in searched)
        there = {_place(t) for t in every if t.state in _ENDED and not _was_cut_off(t)}
        jobs = report_jobs(self.record, goal)
        n_left = max(0, self.n_wanted * goal.n_repeats - n_done)
        if n_left:
            n_left += min(goal.n_finalists, self.n_wanted) * goal.n_final_repeats
        else:
            jobs += finalist_jobs(trials, self.record, goal)
        return n_left + sum(job.place not in there for job in jobs)

    @property
    def is_deciding(self) -> bool:
        """Whether configurations are still proposed or pruned; finalists go each to its end."""
        return self.record.is_decided_on_the_way and not self._is_searched(self._trials())

    @property
    def n_wanted(self) -> int:
        """The number of configurations to be tried: the goal, or all there are."""
        return self.goal.n_trials if self.cells is None else len(self.cells)

    @cached_property
    def cells(self) -> list[Cell] | None:
        """Every configuration of the space, None where there are more than the goal."""
        return spaces.search_cells(self.record.space, most=self.goal.n_trials)

    def _trials(self) -> list[FrozenTrial]:
        return [t for t in trials_in(self.study) if "config" in t.user_attrs]

    def _is_searched(self, trials: list[FrozenTrial]) -> bool:
        """Whether the study holds as many configurations as are wanted."""
        if self.cells is not None:
            return not self._untried(trials)
        n_tried = sum(_is_first(t) and t.state in _COUNTS for t in _of_search(trials))
        return n_tried >= self.goal.n_trials

    def _is_dead_end(self, trial: FrozenTrial) -> bool:
        is_failed = trial.state == TrialState.FAIL and self.cells is not None
        return _is_first(trial) and (trial.state == TrialState.PRUNED or is_failed)

    def _ask(self, ordinal: int) -> tuple[optuna.Trial, Job]:
        record = self.record
        self.study.sampler = make_sampler(record.sampler, seed=record.seed, ordinal=ordinal)
        trial = self.study.ask()
        trial.set_user_attr("owner", owner())
        job = read_job(trial)
        if job is not None and job.report:
            return trial, job
        params = suggest(trial, record.space)
        if job is None:
            config = spaces.resolve(record.space, params)
            job = first_repeat(record, ordinal=ordinal, params=params, config=config)
            for name, value in job.to_attributes().items():
                trial.set_user_attr(name, value)
        return trial, job

    def _missing(self, trials: list[FrozenTrial]) -> list[Job]:
        """Return the jobs that follow from what is there; finalists when all else is over."""
        missing = self._follow_ups(trials) + self._untried(trials)
        if missing or any(t.state in _OPEN for t in trials) or not self._is_searched(trials):
            return missing
        there = _there(trials)
        jobs = finalist_jobs(_of_search(trials), self.record, self.goal)
        jobs += report_jobs(self.record, self.goal)
        return [job for job in jobs if job.place not in there]

    def _untried(self, trials: list[FrozenTrial]) -> list[Job]:
        """Return what needs no proposal: the base to begin with, or all of a small space."""
        record, cells = self.record, self.cells
        if cells is None:
            # With trials there is a beginning: asked at every turn, all else would be in vain.
            first = None if trials else spaces.first_cell(record.space)
            cells = [] if first is None else [first]
        if not cells:
            return []
        tried = {job.config.identity() for t in _of_search(trials) if (job := read_job(t))}
        untried = [cell for cell in cells if cell.config.identity() not in tried]
        return [
            first_repeat(record, ordinal=ordinal, params=cell.params, config=cell.config)
            for ordinal, cell in enumerate(untried, start=_next_ordinal(trials))
        ]

    def _follow_ups(self, trials: list[FrozenTrial]) -> list[Job]:
        """Return further repeats of complete configurations, and what was cut off."""
        there, missing = _there(trials), []
        for trial in trials:
            for repeat in self._repeats_after(trial):
                place = (trial.user_attrs["ordinal"], repeat)
                if place not in there and (job := read_job(trial)):
                    there.add(place)
                    missing.append(further_repeat(job, repeat, record=self.record))
        return missing

    def _repeats_after(self, trial: FrozenTrial) -> Sequence[int]:
        if trial.state == TrialState.COMPLETE and _is_first(trial):
            return range(1, self.goal.n_repeats)
        if trial.state == TrialState.FAIL and _was_cut_off(trial):
            return [trial.user_attrs["repeat"]]
        return ()


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Scalar]:
    """Let the trial choose a value for each parameter of the space whose conditions hold."""
    params: dict[str, Scalar] = {}
    for parameter in space.search:
        if parameter.is_active(params):
            params[parameter.name] = _suggest(trial, parameter)
    return params


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Scalar:
    name, domain = parameter.name, parameter.domain
    match domain:
        case Choices():
            return cast(Scalar, trial.suggest_categorical(name, domain.labels))
        case IntRange():
            return trial.suggest_int(
                name, domain.low, domain.high, step=domain.step, log=domain.log
            )
        case FloatRange():
            return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _of_search(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if not t.user_attrs.get("report")]


def _there(trials: list[FrozenTrial]) -> set[tuple[int, int]]:
    """Return the ordinal and repeat of all that is not to be handed out again."""
    return {_place(t) for t in trials if t.state in _COUNTS or not _was_cut_off(t)}


def _place(trial: FrozenTrial) -> tuple[int, int]:
    return trial.user_attrs["ordinal"], trial.user_attrs["repeat"]


def _next_ordinal(trials: list[FrozenTrial]) -> int:
    return 1 + max((t.user_attrs["ordinal"] for t in trials), default=-1)


def _is_first(trial: FrozenTrial) -> bool:
    return bool(trial.user_attrs["repeat"] == 0)


def _was_cut_off(trial: FrozenTrial) -> bool:
    return bool(trial.user_attrs.get("was_cut_off", False))


def _check_failures(trials: list[FrozenTrial]) -> None:
    last = trials[-_MOST_FAILURES_IN_A_ROW:]
    if len(last) == _MOST_FAILURES_IN_A_ROW and all(t.state == TrialState.FAIL for t in last):
        raise StudyError(
            f"The last {len(last)} trainings failed, the newest because: "
            f"{last[-1].user_attrs.get('reason', 'unknown')} Narrow the ranges in the space file "
            "(learning_rate first), then start a new study."
        )
