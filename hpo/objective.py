"""The one place where Optuna meets training: ask, add a lane, report, prune, tell."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

import optuna
from optuna.trial import TrialState

from hpo.errors import TrainingError
from hpo.runs import Epoch, Run, RunKey, RunStore
from hpo.search import Job, Source
from hpo.search.stale import cut_off
from hpo.study_record import versions
from hpo.training.engine import EpochMetrics, Stack, TrainingResult

Outcome: TypeAlias = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch of a trial was trained."""

    trial: int
    job: Job
    epoch: int
    score: float


@dataclass(frozen=True, kw_only=True)
class TrialDone:
    """A trial ended. `result` is there where it was trained to its end just now."""

    trial: int
    job: Job
    outcome: Outcome
    score: float | None
    is_reused: bool
    run: str
    reason: str | None = None
    result: TrainingResult | None = None


Event: TypeAlias = EpochDone | TrialDone


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What training needs besides the study.

    `open_stack` is called at the first training; `attach` gets every run before it is told.
    """

    runs: RunStore
    key_of: Callable[[Job], RunKey]
    open_stack: Callable[[], Stack]
    attach: Callable[[optuna.Trial, Run], None]
    n_lanes: int = 1
    deadline: float = math.inf


@dataclass
class _Worker:
    """The state of one call of `work`: which trial each lane trains."""

    study: optuna.Study
    place: Workplace
    stack: Stack | None = None
    live: dict[int, tuple[optuna.Trial, Job]] = field(default_factory=dict)

    def opened(self) -> Stack:
        if self.stack is None:
            self.stack = self.place.open_stack()
        return self.stack


def work(study: optuna.Study, source: Source, place: Workplace) -> Generator[Event, None, None]:
    """Train what the source hands out until it has no more or the deadline is over.

    Each finished training is in the run store before its trial is told. Trials that are cut off
    (Ctrl-C, an error of the database) are told failed; the next call trains them again.
    """
    worker = _Worker(study, place)
    try:
        while True:
            yield from _fill(worker, source)
            if not worker.live:
                return
            yield from _step(worker)
    finally:
        for trial, _ in worker.live.values():
            with contextlib.suppress(Exception):
                cut_off(study, trial, reason="it was interrupted.")


def _fill(worker: _Worker, source: Source) -> Iterator[Event]:
    """Give every free lane a trial; what the run store holds is told without training."""
    place = worker.place
    while len(worker.live) < place.n_lanes and time.monotonic() < place.deadline:
        asked = source.next()
        if asked is None:
            return
        trial, job = asked
        if (run := place.runs.find(place.key_of(job))) is not None:
            yield _replay(worker, trial, job, run)
            continue
        try:
            lane = worker.opened().add(job.config, seed=job.seed, fold=job.fold)
        except TrainingError as error:
            yield _fail(worker, trial, job, str(error))
        else:
            worker.live[lane] = (trial, job)


def _step(worker: _Worker) -> Iterator[Event]:
    stack = worker.opened()
    for lane, epoch, metrics in stack.step():
        trial, job = worker.live[lane]
        score = metrics.validation.accuracy
        if not (math.isfinite(metrics.train.loss) and math.isfinite(metrics.validation.loss)):
            stack.drop(lane)
            del worker.live[lane]
            yield _fail(worker, trial, job, f"its loss was not finite in epoch {epoch}.")
            continue
        trial.report(score, step=epoch)
        yield EpochDone(trial=trial.number, job=job, epoch=epoch, score=score)
        if lane not in stack.lanes:
            done = _finish(worker, trial, job, stack.result(lane))
            del worker.live[lane]
            yield done
        elif job.repeat == 0 and trial.should_prune():
            stack.drop(lane)
            del worker.live[lane]
            yield _prune(worker, trial, job)


def _finish(worker: _Worker, trial: optuna.Trial, job: Job, result: TrainingResult) -> TrialDone:
    run = to_run(result)
    key = worker.place.key_of(job)
    worker.place.runs.save(key, run)
    score = _complete(worker, trial, run, digest=key.digest(), is_reused=False)
    return TrialDone(
        trial=trial.number,
        job=job,
        outcome="complete",
        score=score,
        is_reused=False,
        run=key.digest(),
        result=result,
    )


def _replay(worker: _Worker, trial: optuna.Trial, job: Job, run: Run) -> TrialDone:
    """Tell a trial from its recorded run, pruned at the epoch where training would have been."""
    for number, epoch in enumerate(run.epochs, start=1):
        trial.report(epoch.validation["accuracy"], step=number)
        if number < len(run.epochs) and job.repeat == 0 and trial.should_prune():
            return _prune(worker, trial, job, is_reused=True)
    digest = worker.place.key_of(job).digest()
    score = _complete(worker, trial, run, digest=digest, is_reused=True)
    return TrialDone(
        trial=trial.number, job=job, outcome="complete", score=score, is_reused=True, run=digest
    )


def _complete(
    worker: _Worker, trial: optuna.Trial, run: Run, *, digest: str, is_reused: bool
) -> float:
    score = run.kept.validation["accuracy"]
    attributes = {
        "run": digest,
        "is_reused": is_reused,
        "seconds": run.seconds,
        "metrics": {"train": run.train, "validation": run.kept.validation},
    }
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    worker.place.attach(trial, run)
    worker.study.tell(trial, score)
    return score


def _prune(
    worker: _Worker, trial: optuna.Trial, job: Job, *, is_reused: bool = False
) -> TrialDone:
    worker.study.tell(trial, state=TrialState.PRUNED)
    return TrialDone(
        trial=trial.number,
        job=job,
        outcome="pruned",
        score=None,
        is_reused=is_reused,
        run=worker.place.key_of(job).digest(),
    )


def _fail(worker: _Worker, trial: optuna.Trial, job: Job, reason: str) -> TrialDone:
    trial.set_user_attr("reason", reason)
    worker.study.tell(trial, state=TrialState.FAIL)
    return TrialDone(
        trial=trial.number,
        job=job,
        outcome="failed",
        score=None,
        is_reused=False,
        run=worker.place.key_of(job).digest(),
        reason=reason,
    )


def to_run(result: TrainingResult) -> Run:
    """Return what the run store keeps of a finished training: all but its weights."""
    return Run(
        epochs=tuple(_to_epoch(metrics) for metrics in result.epochs),
        kept_epoch=result.kept_epoch,
        train=asdict(result.train),
        validation_probabilities=tuple(map(float, result.validation_probabilities)),
        test_probabilities=tuple(map(float, result.test_probabilities)),
        seconds=result.seconds,
        versions=versions(),
    )


def _to_epoch(metrics: EpochMetrics) -> Epoch:
    return Epoch(
        learning_rate=metrics.learning_rate,
        train=asdict(metrics.train),
        validation=asdict(metrics.validation),
    )
