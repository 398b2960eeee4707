"""The one place where Optuna meets training: ask, add a lane, report, prune, tell."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpo import trial_writes
from hpo.errors import OutOfMemoryError, TrainingError
from hpo.events import EpochDone, Event, StackShrunk, TrialDone, WaitingForOthers
from hpo.recording import epoch_score, to_epoch, to_run
from hpo.runs import Run, RunKey, RunStore
from hpo.score import Score
from hpo.search import Job, Source
from hpo.search.leases import Watch, put_back
from hpo.training.engine import Stack, TrainingResult
from hpo.under_way import UnderWay

_LOOK_EVERY_S: Final = 0.5
"""How often a process that has nothing to train looks whether another has ended."""

_REPORT_EVERY_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What training needs besides the study.

    `open_stack` is called with the number of lanes, at the first training and again when memory
    ran out; `keep` gets what a training leaves behind before its run is stored, and `attach` every
    run before it is told. `turn` keeps other processes out while it is decided what is trained
    next.
    """

    runs: RunStore
    key_of: Callable[[Job], RunKey]
    open_stack: Callable[[int], Stack]
    keep: Callable[[Job, str, TrainingResult], None]
    attach: Callable[[optuna.Trial, Run], None]
    score: Score
    turn: Callable[[], AbstractContextManager[None]] = nullcontext
    n_lanes: int = 1
    deadline: float = math.inf


@dataclass
class _Worker:
    """The state of one call of `work`: which trial each lane trains, and which are to begin."""

    study: optuna.Study
    place: Workplace
    n_lanes: int
    watch: Watch
    stack: Stack | None = None
    waiting: deque[UnderWay] = field(default_factory=deque)
    live: dict[int, UnderWay] = field(default_factory=dict)
    idle_until: float = -math.inf
    is_waiting: bool = False
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
        """Write what trials have to report."""
        trial_writes.report({one.trial: one.unreported for one in asked if one.unreported})
        for one in asked:
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
    (Ctrl-C, an error of the database) wait again; the next call trains them. While other processes
    train trials of the study, it waits for what follows from them.
    """
    worker = _Worker(study, place, place.n_lanes, Watch(study))
    with place.turn():
        worker.watch.put_back(own=True)
    try:
        while True:
            try:
                # Looked at first: what ends after that may have something follow from it.
                n_others = 0 if worker.live else worker.watch.n_of_others()
                yield from _fill(worker, source)
                if worker.live:
                    yield from _step(worker)
                elif not n_others or time.monotonic() >= place.deadline:
                    return
                else:
                    yield from _wait(worker, n_others)
            except OutOfMemoryError:
                if worker.n_lanes == 1:
                    raise
                yield worker.shrink()
    finally:
        worker.close()
        for asked in [*worker.live.values(), *worker.waiting]:
            with contextlib.suppress(Exception):
                put_back(study, asked.trial)
        with contextlib.suppress(Exception), place.turn():
            worker.watch.put_back(own=True)  # A trial that was being taken as an interrupt came.


def _wait(worker: _Worker, n_others: int) -> Iterator[Event]:
    """Wait a moment for other processes; say so where it begins."""
    if not worker.is_waiting:
        worker.is_waiting = True
        yield WaitingForOthers(n_others)
    time.sleep(_LOOK_EVERY_S)
    worker.idle_until = -math.inf


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

    Where there is none, it is not asked again until a trial has ended, here or (after a while)
    elsewhere.
    """
    now = time.monotonic()
    if now >= worker.place.deadline or now < worker.idle_until:
        return False
    with worker.place.turn():
        worker.watch.put_back()
        begun = source.next()
    if begun is None:
        worker.idle_until = now + _LOOK_EVERY_S
        return False
    worker.is_waiting = False
    worker.waiting.append(UnderWay(begun, worker.place.key_of(begun.job)))
    return True


def _begin(worker: _Worker, asked: UnderWay) -> TrialDone | None:
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
    attributes = {
        "run": asked.key.digest(),
        "is_reused": is_reused,
        "seconds": run.seconds,
        "n_epochs": len(run.epochs),
        "metrics": {"train": run.train, "validation": run.kept.validation},
    }
    _tell(worker, asked, attributes, run=run)
    return replace(asked.ended("complete"), score=_score(worker, run), is_reused=is_reused)


def _prune(worker: _Worker, asked: UnderWay) -> TrialDone:
    _tell(worker, asked, {}, state=TrialState.PRUNED)
    return asked.ended("pruned")


def _fail(worker: _Worker, asked: UnderWay, reason: str) -> TrialDone:
    _tell(worker, asked, {"reason": reason}, state=TrialState.FAIL)
    return replace(asked.ended("failed"), reason=reason)


def _tell(
    worker: _Worker,
    asked: UnderWay,
    attributes: Mapping[str, object],
    *,
    state: TrialState = TrialState.COMPLETE,
    run: Run | None = None,
) -> None:
    """Tell how a trial ended.

    A machine that slept may wake up and go on with a trial that was put back meanwhile. Whoever
    took it over comes to the same numbers: what is told first stays.
    """
    with contextlib.suppress(UpdateFinishedTrialError):
        worker.study._storage.set_trial_state_values(asked.trial._trial_id, TrialState.RUNNING)
        worker.report(asked)
        trial_writes.set_attributes(asked.trial, attributes)
        if run:
            worker.place.attach(asked.trial, run)
        score = _score(worker, run) if run else None
        worker.study.tell(asked.trial, score, state=state)
    worker.idle_until = -math.inf


def _score(worker: _Worker, run: Run) -> float | None:
    return worker.place.score.of(run.kept.validation, run.stress)
