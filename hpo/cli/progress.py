"""Progress of long work: one live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hpo.cli.output import duration, error_console, say
from hpo.events import EpochDone, Event, StackShrunk, TrialDone
from hpo.score import Score
from hpo.search import Job
from hpo.session import Session, run
from hpo.space.records import params_text

_MOST_PARAMS: Final = 4


@dataclass
class Tally:
    """What a call has done so far, and what that says about the rest."""

    n_left: int
    score: Score
    started: float = field(default_factory=time.monotonic)
    n_trained: int = 0
    n_reused: int = 0
    failures: list[str] = field(default_factory=list)
    n_pruned: int = 0
    scores: dict[int, list[float]] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)

    def follow(self, epoch: EpochDone) -> None:
        """Note how far a training is."""
        self.shares[epoch.trial] = epoch.epoch / epoch.job.config.epochs

    def add(self, done: TrialDone) -> None:
        """Count a trial that ended."""
        if done.is_reused:
            self.n_reused += 1
        else:
            self.n_trained += 1
        self.shares.pop(done.trial, None)
        self.n_left -= done.outcome != "failed"
        self.n_pruned += done.outcome == "pruned"
        if done.outcome == "failed":
            self.failures.append(f"trial {done.trial} ({label(done.job)}): {done.reason}")
        if done.score is not None:
            self.scores.setdefault(done.job.ordinal, []).append(done.score)

    @property
    def best(self) -> float | None:
        """The best mean over the repeats of one configuration."""
        means = [fmean(scores) for scores in self.scores.values()]
        return max(means, key=self.score.rank, default=None)

    @property
    def time_left(self) -> str:
        """The time the rest will take, if it goes on as so far; many trainings are under way."""
        under_way = sum(self.shares.values())
        n_done, n_left = self.n_trained + under_way, max(0.0, self.n_left - under_way)
        if not n_done:
            return ""
        return f", about {duration((time.monotonic() - self.started) * n_left / n_done)} left"


def train(session: Session, *, is_quiet: bool) -> Tally:
    """Train what a study lacks, and show it; return what was done."""
    tally = Tally(n_left=session.source.n_left(), score=session.record.score)
    # Closed at once when the caller stops: what was cut off then waits again.
    with closing(run(session)) as events:
        follow(events, tally, is_quiet=is_quiet)
    return tally


def follow(events: Iterable[Event], tally: Tally, *, is_quiet: bool) -> None:
    """Go through the events to the end, and show them."""
    if is_quiet:
        shown: Iterator[None] = _count_only(events, tally)
    elif error_console.is_terminal:
        shown = _live(events, tally)
    else:
        shown = _lines(events, tally)
    for _ in shown:
        pass


def label(job: Job) -> str:
    """Write a configuration and its repeat: `batch_size 32, repeat 1`."""
    params = params_text(job.params)
    if job.report:
        params = f"{job.report}'s base"
    elif len(job.params) > _MOST_PARAMS:
        params = f"configuration {job.ordinal + 1}"
    return f"{params}, repeat {job.repeat + 1}"


def _count_only(events: Iterable[Event], tally: Tally) -> Iterator[None]:
    for event in events:
        if isinstance(event, TrialDone):
            tally.add(event)
        yield


def _lines(events: Iterable[Event], tally: Tally) -> Iterator[None]:
    total = tally.n_left
    for event in events:
        match event:
            case EpochDone():
                tally.follow(event)
            case TrialDone():
                tally.add(event)
                say(f"[{total - tally.n_left}/{total}] {_outcome(event, tally)}")
            case StackShrunk():
                say(_told(event))
        yield


def _live(events: Iterable[Event], tally: Tally) -> Iterator[None]:
    columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=error_console, transient=True) as progress:
        task = progress.add_task("starting", total=tally.n_left)
        total = tally.n_left
        for event in events:
            match event:
                case EpochDone():
                    tally.follow(event)
                    text = _now(event, tally)
                case TrialDone():
                    tally.add(event)
                    text = _outcome(event, tally)
                case StackShrunk():
                    text = _told(event)
                    say(text)
            progress.update(task, completed=total - tally.n_left, description=escape(text))
            yield


def _told(event: StackShrunk) -> str:
    return (
        "There is too little memory for so many trainings at a time: those under way begin again, "
        f"{event.n_lanes} at a time."
    )


def _now(event: EpochDone, tally: Tally) -> str:
    epochs = event.job.config.epochs
    score = "" if event.score is None else f": {tally.score.text(event.score)}"
    best = "" if tally.best is None else f" (best {tally.score.text(tally.best)})"
    return f"{label(event.job)}, epoch {event.epoch}/{epochs}{score}{best}{tally.time_left}"


def _outcome(done: TrialDone, tally: Tally) -> str:
    if done.outcome == "failed":
        return f"{label(done.job)}: failed, {done.reason}"
    if done.outcome == "pruned":
        return f"{label(done.job)}: pruned{tally.time_left}"
    how = " (from the run store)" if done.is_reused else ""
    best = "" if tally.best is None else f", best {tally.score.text(tally.best)}"
    score = "" if done.score is None else tally.score.text(done.score)
    return f"{label(done.job)}: {score}{how}{best}{tally.time_left}"
