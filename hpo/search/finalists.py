"""The last part of a search: its best configurations again, on other folds with fresh seeds.

The best of many single trainings owes part of its score to luck. Further repeats do not.
"""

from collections.abc import Sequence
from statistics import fmean

from optuna.trial import FrozenTrial, TrialState

from hpo.search.job import Job, further_repeat, read_job
from hpo.study.record import Goal, StudyRecord


def finalist_jobs(trials: Sequence[FrozenTrial], record: StudyRecord, goal: Goal) -> list[Job]:
    """Return the trainings of the finalists, the best configuration first.

    Call it when the search itself is over: every configuration has its `goal.n_repeats`. The
    repeats of the finalists are the ones after these, so no seed and no fold draw that chose them
    serves again.
    """
    return [
        further_repeat(job, repeat, record=record)
        for job in choose_finalists(trials, record, goal)
        for repeat in goal.fresh_repeats
    ]


def choose_finalists(trials: Sequence[FrozenTrial], record: StudyRecord, goal: Goal) -> list[Job]:
    """Return the first repeats of the configurations with the best mean scores, at most so many.

    What is told of the finalists themselves does not count. Equal configurations are one.
    """
    if not goal.n_finalists:
        return []
    scores: dict[str, list[float]] = {}
    firsts: dict[str, Job] = {}
    for trial in trials:
        job = read_job(trial) if trial.state == TrialState.COMPLETE else None
        if job is None or job.report or job.repeat >= goal.n_repeats:
            continue
        assert trial.value is not None
        scores.setdefault(job.config.identity(), []).append(trial.value)
        if job.repeat == 0:
            firsts.setdefault(job.config.identity(), job)
    means = {name: record.score.rank(fmean(scores[name])) for name in firsts}
    ranked = sorted(firsts, key=lambda name: (-means[name], firsts[name].ordinal))
    return [firsts[name] for name in ranked[: goal.n_finalists]]
