"""Training the trials of Optuna: ask, add a lane, report, prune, finish."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from safetensors.numpy import save as to_safetensors

from hpo.errors import OutOfMemoryError, TrainingError
from hpo.files import MAKE_ROOM, write_atomic
from hpo.run.proposals import is_behind
from hpo.run.sources import Source
from hpo.storage.opening import database_of
from hpo.storage.runs import RunStore
from hpo.study.record import StudyRecord
from hpo.study.trials import Job, RunningTrial, run_key
from hpo.training.engine import Run, Stack, TrainingResult, Workers, mean_metrics

_REPORT_EVERY_S: Final = 0.5
_FILLING_S: Final = 1.0
_MOST_WRITERS: Final = 8
_MOST_UNWRITTEN: Final = 16
"""At most this many results wait for the disk, because weights take megabytes."""


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch of a trial has been trained; `score` is None if it was not measured.

    `trial` is its id in the database.
    """

    trial: int
    job: Job
    epoch: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class TrialDone:
    """A trial has ended."""

    trial: int
    job: Job
    outcome: Literal["complete", "pruned", "failed"]
    score: float | None = None
    is_reused: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class StackShrunk:
    """Memory ran out: the running trainings restart, fewer at a time."""

    n_lanes: int


@dataclass(frozen=True)
class RepeatsAdded:
    """A grid is undecided: it continues to `n_repeats`, with `n_left` trainings."""

    n_repeats: int
    n_left: int


Event: TypeAlias = EpochDone | TrialDone | StackShrunk | RepeatsAdded | Workers


class TrainingLoop:
    """Trains the jobs of a source until there are none left or the deadline has passed.

    `open_stack` is called with the number of lanes, at the first training and again if memory ran
    out. `check` is called before each decision on the next training; it raises if this process no
    longer drives the study. `news` returns the workers of a cluster if they have changed: the
    number of lanes follows them, up to `most_lanes`. Threads write the
    weights and the run of a training before its trial is finished, because a large cluster would
    be idle while it waits for the disk. Trials that are cut off (Ctrl-C, an error
    of the database) stay RUNNING: the driver re-queues them.
    """

    def __init__(
        self,
        study: optuna.Study,
        record: StudyRecord,
        source: Source,
        *,
        runs: RunStore,
        weights: Path,
        open_stack: Callable[[int], Stack],
        n_lanes: int = 1,
        deadline: float = math.inf,
        check: Callable[[], object] = lambda: None,
        news: Callable[[], Workers | None] = lambda: None,
        most_lanes: float = math.inf,
    ) -> None:
        self.study, self.record, self.source = study, record, source
        self.runs, self.weights = runs, weights
        self.n_lanes, self.deadline, self.check = n_lanes, deadline, check
        self._open_stack, self._news, self._most_lanes = open_stack, news, most_lanes
        database = database_of(study)
        assert database is not None
        self._database, database.is_driver = database, True
        self._stack: Stack | None = None
        self._live: dict[int, RunningTrial] = {}
        self._written: deque[tuple[RunningTrial, Future[Run]]] = deque()
        self._writers = ThreadPoolExecutor(_MOST_WRITERS, "hpo-writer")
        self._is_idle = False
        self._n_actors = self._n_waiting = 0
        self._report_at = -math.inf

    def events(self) -> Generator[Event, None, None]:
        """Train; yield events as they happen."""
        try:
            while True:
                try:
                    # On one machine, training during the writes would not save time.
                    yield from self._complete_written(_MOST_UNWRITTEN if self._n_actors else 0)
                    yield from self._fill()
                    yield from self._read_news()
                    if self._live:
                        yield from self._step()
                    elif self._written:
                        yield from self._complete_written(0)
                    else:
                        return
                except OutOfMemoryError:
                    if self.n_lanes == 1:
                        raise
                    # The source returns all of these trials again, for half as many lanes.
                    self._close()
                    self._live.clear()
                    self._is_idle = False
                    self.n_lanes //= 2
                    yield StackShrunk(self.n_lanes)
        finally:
            self._close()
            self._writers.shutdown()

    def _opened(self) -> Stack:
        if self._stack is None:
            self._stack = self._open_stack(self.n_lanes)
        return self._stack

    def _close(self) -> None:
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def _fill(self) -> Iterator[Event]:
        """Start a trial in every free lane; trials in the run store are finished without training.

        A source without a job is asked again only after a trial has ended. A cluster trains
        meanwhile, so its epochs are read again after a second.
        """
        until = time.monotonic() + _FILLING_S
        while len(self._live) < self._room() and not self._is_idle:
            if time.monotonic() >= self.deadline:
                return
            self.check()
            trial = self.source.next({trial.id for trial in self._underway()})
            self._is_idle = trial is None
            self._n_waiting -= 1
            if trial and (done := self._begin(trial)):
                yield done
            yield from self._read_news()
            if self._live and self._n_actors and time.monotonic() >= until:
                return

    def _read_news(self) -> Iterator[Workers]:
        """Follow the workers of a cluster if they have changed."""
        if workers := self._news():
            self.n_lanes = int(min(workers.n_lanes, self._most_lanes))
            self._n_actors = workers.n_actors
            self._n_waiting = self.source.n_left() - len(self._underway())
            yield workers

    def _underway(self) -> list[RunningTrial]:
        """Return the trials that are training, or whose results are being written."""
        return [*self._live.values(), *(trial for trial, _ in self._written)]

    def _room(self) -> int:
        """Return the limit of parallel trials: fewer per actor at the end, to end together."""
        if not self._n_actors:
            return self.n_lanes
        return min(self.n_lanes, max(self._n_actors, self._n_waiting // 2))

    def _begin(self, trial: RunningTrial) -> TrialDone | None:
        """Start a trial in a lane, or finish it at once: from the run store, or as failed."""
        job = trial.job
        run = self.runs.read(run_key(self.record, job).digest())
        if run and self.record.score.of_run(run) is not None:
            return self._replay(trial, run)
        try:
            lane = self._opened().add(job.config, seed=job.seed, fold=job.fold)
        except TrainingError as error:
            return self._fail(trial, str(error).replace("\n  - ", " "))
        self._live[lane] = trial
        return None

    def _step(self) -> Iterator[Event]:
        """Train; a lane that ends is removed before its end is yielded.

        Epochs are reported twice a second, asynchronously; the end of a trial is reported at once.
        """
        stack, kind = self._opened(), self.record.score
        trained = stack.step()
        if time.monotonic() >= self._report_at:
            self._report(self._live.values())
            self._report_at = time.monotonic() + _REPORT_EVERY_S
        last = {done.lane: done.epoch for done in trained if done.lane not in stack.lanes}
        for lane, epoch, metrics in trained:
            if lane not in self._live:  # It ended in an earlier epoch of this step.
                continue
            trial = self._live[lane]
            losses = (metrics.train["loss"], metrics.validation["loss"])
            if not all(map(math.isfinite, losses)):
                stack.drop(lane)
                del self._live[lane]
                yield self._fail(trial, f"its loss was not finite in epoch {epoch}.")
                continue
            score, limit = kind.of_epoch(metrics), trial.limits.get(epoch)
            if score is not None:
                trial.scores[epoch] = score
            yield EpochDone(trial=trial.id, job=trial.job, epoch=epoch, score=score)
            if last.get(lane) == epoch:
                yield from self._end(lane)
            elif score is not None and is_behind(kind, trial.scores.values(), limit):
                stack.drop(lane)
                del self._live[lane]
                yield self._prune(trial)
        for lane in [lane for lane in self._live if lane not in stack.lanes]:
            yield from self._end(lane)  # It failed in the middle of an epoch.

    def _end(self, lane: int) -> Iterator[TrialDone]:
        """Start writing the result of a lane that has left the stack, or finish a failed trial."""
        trial = self._live.pop(lane)
        try:
            result = self._opened().result(lane)
        except TrainingError as error:
            yield self._fail(trial, str(error).replace("\n  - ", " "))
        else:
            self._written.append((trial, self._writers.submit(self._write, trial.job, result)))
            yield from self._complete_written(_MOST_UNWRITTEN)

    def _complete_written(self, most: int) -> Iterator[TrialDone]:
        """Finish the trials whose results have been written, in the order in which they ended.

        Wait while more than `most` are unwritten.
        """
        while self._written and (len(self._written) > most or self._written[0][1].done()):
            trial, run = self._written.popleft()
            yield self._complete(trial, run.result(), is_reused=False)

    def _write(self, job: Job, result: TrainingResult) -> Run:
        """Write the results of a training, the run last: with it, the training counts as finished.

        The weights of course networks are not stored.
        """
        key = run_key(self.record, job)
        if not job.report:
            path = self.weights / f"{key.digest()}.safetensors"
            write_atomic(path, to_safetensors(result.weights), hint=MAKE_ROOM)
        self.runs.save(key, result.run)
        return result.run

    def _replay(self, trial: RunningTrial, run: Run) -> TrialDone:
        """Finish a trial from its stored run, pruned where the training would have been."""
        kind = self.record.score
        for number, epoch in enumerate(run.epochs, start=1):
            score = kind.of_epoch(epoch)
            if score is None:
                continue
            trial.scores[number] = score
            limit = trial.limits.get(number) if number < len(run.epochs) else None
            if is_behind(kind, trial.scores.values(), limit):
                return self._prune(trial, is_reused=True)
        return self._complete(trial, run, is_reused=True)

    def _complete(self, trial: RunningTrial, run: Run, *, is_reused: bool) -> TrialDone:
        score, job = self.record.score.of_run(run), trial.job
        assert score is not None
        if not math.isfinite(score):
            return self._fail(trial, f"its {self.record.score.title} is not a number.")
        digest = run_key(self.record, job).digest()
        metrics = {"train": run.train, "validation": run.kept.validation}
        if run.stress:
            metrics["stress"] = mean_metrics(run.stress.values())
        if run.other:
            metrics[f"{run.other.weights}_weights"] = run.other.validation
        attributes = {
            "run": digest,
            "is_reused": is_reused,
            "seconds": run.seconds,
            "n_epochs": len(run.epochs),
            "metrics": metrics,
            "score": score,
        }
        self._finish(trial, attributes, TrialState.COMPLETE, score)
        return TrialDone(
            trial=trial.id, job=job, outcome="complete", score=score, is_reused=is_reused
        )

    def _prune(self, trial: RunningTrial, *, is_reused: bool = False) -> TrialDone:
        self._finish(trial, {"n_epochs": max(trial.scores)}, TrialState.PRUNED)
        return TrialDone(trial=trial.id, job=trial.job, outcome="pruned", is_reused=is_reused)

    def _fail(self, trial: RunningTrial, reason: str) -> TrialDone:
        self._finish(trial, {"reason": reason}, TrialState.FAIL)
        return TrialDone(trial=trial.id, job=trial.job, outcome="failed", reason=reason)

    def _finish(
        self,
        trial: RunningTrial,
        attributes: Mapping[str, object],
        state: TrialState,
        score: float | None = None,
    ) -> None:
        """Record the end of a trial.

        If another program has finished it, the source returns its job again: the result is in the
        run store.
        """
        self._report([trial], attributes)
        if state == TrialState.PRUNED:  # Like `optuna.Study.tell`, which reads the trial twice.
            score = trial.scores[max(trial.scores)]
        values = None if score is None or math.isnan(score) else [score]
        with contextlib.suppress(UpdateFinishedTrialError):
            self._database.set_trial_state_values(trial.id, state, values)
        self._is_idle = False

    def _report(
        self, trials: Collection[RunningTrial], attributes: Mapping[str, object] | None = None
    ) -> None:
        """Write the pending reports; trials that another program finished are skipped."""
        scores = [
            (trial.id, epoch, score)
            for trial in trials
            for epoch, score in trial.scores.items()
            if epoch > trial.n_reported
        ]
        items = [(trial.id, *item) for trial in trials for item in (attributes or {}).items()]
        if scores or items:
            self._database.write_running(scores, items)
        for trial in trials:
            trial.n_reported = max([trial.n_reported, *trial.scores])
