"""The one place where Optuna meets training: ask, add a lane, report, prune, tell."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpo.errors import OutOfMemoryError, TrainingError
from hpo.run.events import EpochDone, Event, StackShrunk, TrialDone
from hpo.run.recording import epoch_score, to_epoch, to_run
from hpo.run.running_trial import UnderWay
from hpo.search import Job, Source
from hpo.search.trials import requeue_stale
from hpo.storage.runs import Run, RunKey, RunStore
from hpo.study.score import Score
from hpo.training.engine import Stack, TrainingResult

_REPORT_EVERY_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What training needs besides the study.

    `open_stack` is called with the number of lanes, at the first training and again when memory
    ran out; `keep` gets what a training leaves behind before its run is stored, and `attach` every
    run before it is told. `check` is called before it is decided what is trained next: it raises
    where this process is no longer the driver of the study.
    """

    runs: RunStore
    key_of: Callable[[Job], RunKey]
    open_stack: Callable[[int], Stack]
    keep: Callable[[Job, str, TrainingResult], None]
    attach: Callable[[optuna.Trial, Run], None]
    score: Score
    check: Callable[[], object] = lambda: None
    n_lanes: int = 1
    deadline: float = math.inf


@dataclass
class _Worker:
    """The state of one call of `work`: which trial each lane trains, and which are to begin."""

    study: optuna.Study
    place: Workplace
    n_lanes: int
    stack: Stack | None = None
    waiting: deque[UnderWay] = field(default_factory=deque)
    live: dict[int, UnderWay] = field(default_factory=dict)
    is_idle: bool = False
    report_at: float = -math.inf

    def opened(self) -> Stack:
        if self.stack is None:
            self.stack = self.place.open_stack(self.n_lanes)
        return self.stack

    def close(self) -> None:
        if self.stack is not None:
            self.stack.close()
            self.stack = None

    def report(self, *asked: UnderWay) -> None:
        """Write what trials have to report; one that another program told takes nothing."""
        for one in asked:
            with contextlib.suppress(UpdateFinishedTrialError):
                for step, score in one.unreported.items():
                    one.trial.report(score, step)
            one.unreported.clear()

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
    (Ctrl-C, an error of the database) wait again; the next call trains them.
    """
    worker = _Worker(study, place, place.n_lanes)
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
        with contextlib.suppress(Exception):
            requeue_stale(study)  # Also one that was being taken as an interrupt came.


def _fill(worker: _Worker, source: Source) -> Iterator[Event]:
    """Give every free lane a trial; what the run store holds is told without training."""
    while len(worker.live) < worker.n_lanes:
        if not worker.waiting and not _ask(worker, source):
            return
        # It waits until its lane is there, so that whatever happens it is not forgotten.
        done = _begin(worker, worker.waiting[0])
        worker.waiting.popleft()
        if done is not None:
            yield done


def _ask(worker: _Worker, source: Source) -> bool:
    """Let the next trial of the source wait for a lane; return whether there is one.

    Where there is none, it is not asked again until a trial has ended.
    """
    if worker.is_idle or time.monotonic() >= worker.place.deadline:
        return False
    worker.place.check()
    begun = source.next({asked.trial.number for asked in worker.live.values()})
    worker.is_idle = begun is None
    if begun is not None:
        worker.waiting.append(UnderWay(begun, worker.place.key_of(begun.job)))
    return begun is not None


def _begin(worker: _Worker, asked: UnderWay) -> TrialDone | None:
    """Give a trial a lane, or tell it at once: from the run store, or failed."""
    run = worker.place.runs.find(asked.key)
    if run is not None and worker.place.score.of(run.kept.validation, run.stress) is not None:
        return _replay(worker, asked, run)
    job = asked.job
    try:
        lane = worker.opened().add(job.config, seed=job.seed, fold=job.fold)
    except TrainingError as error:
        return _fail(worker, asked, str(error))
    worker.live[lane] = asked
    return None


def _step(worker: _Worker) -> Iterator[Event]:
    """Train; a lane that ends is forgotten before its end is told on.

    Epochs are reported twice a second, behind the training; a trial that ends is told at once.
    """
    stack = worker.opened()
    trained = stack.step()
    if time.monotonic() >= worker.report_at:
        worker.report(*worker.live.values())
        worker.report_at = time.monotonic() + _REPORT_EVERY_S
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
        asked.note(score, step=epoch)
        yield EpochDone(trial=asked.trial.number, job=asked.job, epoch=epoch, score=score)
        if last.get(lane) == epoch:
            done = _finish(worker, asked, stack.result(lane))
        elif score is not None and asked.is_to_prune(worker.place.score, step=epoch):
            stack.drop(lane)
            done = _prune(worker, asked)
        else:
            continue
        del worker.live[lane]
        yield done


def _finish(worker: _Worker, asked: UnderWay, result: TrainingResult) -> TrialDone:
    """Keep all of a training, the last thing last that says it needs not be done again."""
    run = to_run(result)
    worker.place.keep(asked.job, asked.key.digest(), result)
    worker.place.runs.save(asked.key, run)
    return _complete(worker, asked, run, is_reused=False)


def _replay(worker: _Worker, asked: UnderWay, run: Run) -> TrialDone:
    """Tell a trial from its recorded run, pruned at the epoch where training would have been."""
    kind = worker.place.score
    for number, epoch in enumerate(run.epochs, start=1):
        score = epoch_score(kind, epoch)
        asked.note(score, step=number)
        is_last = number == len(run.epochs)
        if score is not None and not is_last and asked.is_to_prune(kind, step=number):
            return replace(_prune(worker, asked), is_reused=True)
    return _complete(worker, asked, run, is_reused=True)


def _complete(worker: _Worker, asked: UnderWay, run: Run, *, is_reused: bool) -> TrialDone:
    score = worker.place.score.of(run.kept.validation, run.stress)
    attributes = {
        "run": asked.key.digest(),
        "is_reused": is_reused,
        "seconds": run.seconds,
        "n_epochs": len(run.epochs),
        "metrics": {"train": run.train, "validation": run.kept.validation},
        "score": score,
    }
    _tell(worker, asked, attributes, TrialState.COMPLETE, score, run=run)
    return replace(asked.ended("complete"), score=score, is_reused=is_reused)


def _prune(worker: _Worker, asked: UnderWay) -> TrialDone:
    _tell(worker, asked, {"n_epochs": max(asked.scores)}, TrialState.PRUNED)
    return asked.ended("pruned")


def _fail(worker: _Worker, asked: UnderWay, reason: str) -> TrialDone:
    _tell(worker, asked, {"reason": reason}, TrialState.FAIL)
    return replace(asked.ended("failed"), reason=reason)


def _tell(
    worker: _Worker,
    asked: UnderWay,
    attributes: Mapping[str, object],
    state: TrialState,
    score: float | None = None,
    *,
    run: Run | None = None,
) -> None:
    """Tell how a trial ended.

    Where another program told it meanwhile, the source hands out its job once more: what was
    trained is in the run store.
    """
    worker.report(asked)
    with contextlib.suppress(UpdateFinishedTrialError):
        for name, attribute in attributes.items():
            asked.trial.set_user_attr(name, attribute)
        if run:
            worker.place.attach(asked.trial, run)
        worker.study.tell(asked.trial, score, state=state, skip_if_finished=True)
    worker.is_idle = False
