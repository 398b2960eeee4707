"""The jobs of a search: configurations proposed by a sampler, the base configuration first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo import space as spaces
from hpo.config import Scalar
from hpo.errors import StudyError
from hpo.search.job import Job, enqueue, first_repeat, further_repeat, read_job, trials_in
from hpo.search.samplers import make_sampler
from hpo.search.stale import owner
from hpo.space import Choices, FloatRange, IntRange, Parameter, Space
from hpo.study_record import Goal, StudyRecord

_COUNTS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)
_MOST_FAILURES_IN_A_ROW = 20


@dataclass(frozen=True, kw_only=True)
class SearchSource:
    """Hands out configurations until the study holds as many as its goal says.

    A configuration counts when its first repeat is complete or pruned; its further repeats follow
    once that one is complete. A configuration that fails is replaced by another proposal; a
    further repeat that fails is not tried again. What was cut off is.
    """

    study: optuna.Study
    record: StudyRecord
    goal: Goal

    def next(self) -> tuple[optuna.Trial, Job] | None:
        """Return a waiting trial, else a missing repeat, else a new proposal.

        Raises:
            StudyError: so many trainings in a row failed that going on makes no sense.
        """
        trials = [t for t in trials_in(self.study) if "config" in t.user_attrs]
        if not trials:
            self._enqueue_base()
        self._enqueue_missing(trials)
        if not trials_in(self.study, TrialState.WAITING):
            first = [t for t in trials if t.user_attrs["repeat"] == 0 and t.state in _COUNTS]
            if len(first) >= self.goal.n_trials:
                return None
            _check_failures(trials)
        return self._ask(1 + max((t.user_attrs["ordinal"] for t in trials), default=-1))

    def n_left(self) -> int:
        """Return how many trainings are left if nothing is pruned, those that run included."""
        done = trials_in(self.study, TrialState.COMPLETE, TrialState.PRUNED)
        n_pruned = sum(t.state == TrialState.PRUNED for t in done)
        failed = trials_in(self.study, TrialState.FAIL)
        n_failed = len([t for t in failed if t.user_attrs.get("repeat") and not _was_cut_off(t)])
        n_repeats = self.goal.n_repeats
        n_done = len(done) + n_failed + n_pruned * (n_repeats - 1)
        return max(0, self.goal.n_trials * n_repeats - n_done)

    def _ask(self, ordinal: int) -> tuple[optuna.Trial, Job]:
        record = self.record
        self.study.sampler = make_sampler(record.sampler, seed=record.seed, ordinal=ordinal)
        trial = self.study.ask()
        trial.set_user_attr("owner", owner())
        params = suggest(trial, record.space)
        job = read_job(trial)
        if job is None:
            config = spaces.resolve(record.space, params)
            job = first_repeat(record, ordinal=ordinal, params=params, config=config)
            for name, value in job.to_attributes().items():
                trial.set_user_attr(name, value)
        return trial, job

    def _enqueue_base(self) -> None:
        """Begin with the base configuration, where the ranges can express it."""
        record = self.record
        params = spaces.params_of(record.space, record.space.base)
        if params is not None:
            base = first_repeat(record, ordinal=0, params=params, config=record.space.base)
            enqueue(self.study, base)

    def _enqueue_missing(self, trials: list[FrozenTrial]) -> None:
        """Put further repeats of complete configurations, and what was cut off, into the study."""
        there = {
            (t.user_attrs["ordinal"], t.user_attrs["repeat"])
            for t in trials
            if t.state in _COUNTS or not _was_cut_off(t)
        }
        for trial in trials:
            is_first = trial.user_attrs["repeat"] == 0
            for repeat in self._follow_ups(trial, is_first=is_first):
                job = read_job(trial)
                if job is not None and (job.ordinal, repeat) not in there:
                    there.add((job.ordinal, repeat))
                    enqueue(self.study, further_repeat(job, repeat, record=self.record))

    def _follow_ups(self, trial: FrozenTrial, *, is_first: bool) -> Sequence[int]:
        if trial.state == TrialState.COMPLETE and is_first:
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
