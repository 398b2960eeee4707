"""The one place where Optuna meets training: ask, add a lane, report, prune, tell."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, TypeAlias

import optuna
from optuna.trial import TrialState

from hpo.errors import OutOfMemoryError, TrainingError
from hpo.runs import Epoch, Run, RunKey, RunStore
from hpo.score import Score
from hpo.search import Job, Source
from hpo.search.stale import cut_off
from hpo.study_record import versions
from hpo.training.engine import EpochMetrics, Stack, TrainingResult

Outcome: TypeAlias = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch of a trial was trained; `score` is None where it was not measured."""

    trial: int
    job: Job
    epoch: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class TrialDone:
    """A trial ended. `result` is there where it was trained to its end just now."""

    trial: int
    job: Job
    run: str
    outcome: Outcome
    score: float | None = None
    is_reused: bool = False
    reason: str | None = None
    result: TrainingResult | None = None


@dataclass(frozen=True)
class StackShrunk:
    """Memory ran out: the trainings under way begin again, fewer at a time."""

    n_lanes: int


Event: TypeAlias = EpochDone | TrialDone | StackShrunk


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What training needs besides the study.

    `open_stack` is called with the number of lanes and whether they go by ticks, at the first
    training and again when memory ran out or nothing is decided any more; `attach` gets every run
    before it is told.
    """

    runs: RunStore
    key_of: Callable[[Job], RunKey]
    open_stack: Callable[[int, bool], Stack]
    attach: Callable[[optuna.Trial, Run], None]
    score: Score
    n_lanes: int = 1
    deadline: float = math.inf


@dataclass
class _Asked:
    """A trial that runs, its job, where its run is or will be, and how much was reported."""

    trial: optuna.Trial
    job: Job
    key: RunKey
    n_reported: int = 0

    def report(self, score: float | None, *, step: int) -> None:
        """Report an epoch where it has a score, and not again where training began again."""
        if score is not None and step > self.n_reported:
            self.trial.report(score, step=step)
            self.n_reported = step

    def ended(self, outcome: Outcome) -> TrialDone:
        return TrialDone(
            trial=self.trial.number, job=self.job, run=self.key.digest(), outcome=outcome
        )


@dataclass
class _Worker:
    """The state of one call of `work`: which trial each lane trains, and which are to begin."""

    study: optuna.Study
    place: Workplace
    n_lanes: int
    in_ticks: bool
    stack: Stack | None = None
    waiting: deque[_Asked] = field(default_factory=deque)
    live: dict[int, _Asked] = field(default_factory=dict)

    def opened(self) -> Stack:
        if self.stack is None:
            self.stack = self.place.open_stack(self.n_lanes, self.in_ticks)
        return self.stack

    def close(self) -> None:
        if self.stack is not None:
            self.stack.close()
            self.stack = None

    def stop_waiting(self, source: Source) -> None:
        """Let no lane wait for another once their scores decide nothing more."""
        if self.in_ticks and not self.live and not source.is_deciding:
            self.close()
            self.in_ticks = False

    def shrink(self) -> StackShrunk:
        """Put everything under way back, to begin again in half as many lanes."""
        self.close()
        self.waiting.extendleft(reversed(self.live.values()))
        self.live.clear()
        self.n_lanes //= 2
        return StackShrunk(self.n_lanes)


def work(study: optuna.Study, source: Source, place: Workplace) -> Generator[Event, None, None]:
    """Train what the source hands out until it has no more or the deadline is over.

    Each finished training is in the run store before its trial is told. Trials that are cut off
    (Ctrl-C, an error of the database) are told failed; the next call trains them again.
    """
    worker = _Worker(study, place, place.n_lanes, source.is_deciding)
    try:
        while True:
            try:
                yield from _fill(worker, source)
                if not worker.live:
                    return
                yield from _step(worker)
            except OutOfMemoryError:
                if worker.n_lanes == 1:
                    raise
                yield worker.shrink()
    finally:
        worker.close()
        for asked in [*worker.live.values(), *worker.waiting]:
            with contextlib.suppress(Exception):
                cut_off(study, asked.trial, reason="it was interrupted.")


def _fill(worker: _Worker, source: Source) -> Iterator[Event]:
    """Give every free lane a trial; what the run store holds is told without training."""
    worker.stop_waiting(source)
    while len(worker.live) < worker.n_lanes:
        if not worker.waiting and not _ask(worker, source):
            return
        # It waits until its lane is there, so that whatever happens it is not forgotten.
        done = _begin(worker, worker.waiting[0])
        worker.waiting.popleft()
        if done is not None:
            yield done


def _ask(worker: _Worker, source: Source) -> bool:
    """Let the next trial of the source wait for a lane; return whether there is one."""
    if time.monotonic() >= worker.place.deadline:
        return False
    found = source.next()
    if found is not None:
        trial, job = found
        worker.waiting.append(_Asked(trial, job, worker.place.key_of(job)))
    return found is not None


def _begin(worker: _Worker, asked: _Asked) -> TrialDone | None:
    """Give a trial a lane, or tell it at once: from the run store, or failed."""
    run = worker.place.runs.find(asked.key)
    if run is not None and _score(worker, run) is not None:
        return _replay(worker, asked, run)
    job = asked.job
    try:
        lane = worker.opened().add(job.config, seed=job.seed, fold=job.fold)
    except TrainingError as error:
        return _fail(worker, asked, str(error))
    worker.live[lane] = asked
    return None


def _step(worker: _Worker) -> Iterator[Event]:
    """Train; a lane that ends is forgotten before its end is told on."""
    stack = worker.opened()
    trained = stack.step()
    last = {done.lane: done.epoch for done in trained if done.lane not in stack.lanes}
    for lane, epoch, metrics in trained:
        asked = worker.live.get(lane)
        if asked is None:
            # It ended with an earlier epoch of this step.
            continue
        if not (math.isfinite(metrics.train.loss) and math.isfinite(metrics.validation.loss)):
            stack.drop(lane)
            done = _fail(worker, asked, f"its loss was not finite in epoch {epoch}.")
            del worker.live[lane]
            yield done
            continue
        score = epoch_score(worker.place.score, to_epoch(metrics))
        asked.report(score, step=epoch)
        yield EpochDone(trial=asked.trial.number, job=asked.job, epoch=epoch, score=score)
        if last.get(lane) == epoch:
            done = _finish(worker, asked, stack.result(lane))
        elif score is not None and _is_to_prune(asked):
            stack.drop(lane)
            done = _prune(worker, asked)
        else:
            continue
        del worker.live[lane]
        yield done


def _is_to_prune(asked: _Asked) -> bool:
    """Ask the pruner; further repeats of a configuration are trained to their end."""
    return asked.job.repeat == 0 and asked.trial.should_prune()


def _finish(worker: _Worker, asked: _Asked, result: TrainingResult) -> TrialDone:
    run = to_run(result)
    worker.place.runs.save(asked.key, run)
    return replace(_complete(worker, asked, run, is_reused=False), result=result)


def _replay(worker: _Worker, asked: _Asked, run: Run) -> TrialDone:
    """Tell a trial from its recorded run, pruned at the epoch where training would have been."""
    for number, epoch in enumerate(run.epochs, start=1):
        score = epoch_score(worker.place.score, epoch)
        asked.report(score, step=number)
        if score is not None and number < len(run.epochs) and _is_to_prune(asked):
            return replace(_prune(worker, asked), is_reused=True)
    return _complete(worker, asked, run, is_reused=True)


def _complete(worker: _Worker, asked: _Asked, run: Run, *, is_reused: bool) -> TrialDone:
    score = _score(worker, run)
    attributes = {
        "run": asked.key.digest(),
        "is_reused": is_reused,
        "seconds": run.seconds,
        "n_epochs": len(run.epochs),
        "metrics": {"train": run.train, "validation": run.kept.validation},
    }
    for name, value in attributes.items():
        asked.trial.set_user_attr(name, value)
    worker.place.attach(asked.trial, run)
    worker.study.tell(asked.trial, score)
    return replace(asked.ended("complete"), score=score, is_reused=is_reused)


def _prune(worker: _Worker, asked: _Asked) -> TrialDone:
    worker.study.tell(asked.trial, state=TrialState.PRUNED)
    return asked.ended("pruned")


def _fail(worker: _Worker, asked: _Asked, reason: str) -> TrialDone:
    asked.trial.set_user_attr("reason", reason)
    worker.study.tell(asked.trial, state=TrialState.FAIL)
    return replace(asked.ended("failed"), reason=reason)


def _score(worker: _Worker, run: Run) -> float | None:
    return worker.place.score.of(run.kept.validation, run.stress)


def epoch_score(score: Score, epoch: Epoch) -> float | None:
    """Return the score of an epoch; None where the stress battery was not read."""
    return score.of(epoch.validation, {"mean": epoch.stress} if epoch.stress else {})


def to_run(result: TrainingResult) -> Run:
    """Return what the run store keeps of a finished training: all but its weights."""
    return Run(
        epochs=tuple(to_epoch(metrics) for metrics in result.epochs),
        kept_epoch=result.kept_epoch,
        train=asdict(result.train),
        validation_probabilities=tuple(map(float, result.validation_probabilities)),
        test_probabilities=tuple(map(float, result.test_probabilities)),
        seconds=result.seconds,
        versions=versions(),
        stress={name: asdict(metrics) for name, metrics in result.stress.items()},
    )


def to_epoch(metrics: EpochMetrics) -> Epoch:
    """Return what the run store keeps of an epoch."""
    return Epoch(
        learning_rate=metrics.learning_rate,
        train=asdict(metrics.train),
        validation=asdict(metrics.validation),
        stress=asdict(metrics.stress) if metrics.stress else {},
    )
