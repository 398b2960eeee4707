"""Progress of long work: one live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hpo.cli.output import duration, error_console, percent, say
from hpo.objective import EpochDone, Event, TrialDone
from hpo.search import Job

_MOST_PARAMS: Final = 4


@dataclass
class Tally:
    """What a call has done so far, and what that says about the rest."""

    n_left: int
    started: float = field(default_factory=time.monotonic)
    n_trained: int = 0
    n_reused: int = 0
    failures: list[str] = field(default_factory=list)
    n_pruned: int = 0
    scores: dict[int, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    def add(self, done: TrialDone) -> None:
        """Count a trial that ended."""
        now = time.monotonic()
        if done.is_reused:
            self.n_reused += 1
        else:
            self.n_trained += 1
            self.seconds.append(now - self.last)
        self.last = now
        self.n_left -= done.outcome != "failed"
        self.n_pruned += done.outcome == "pruned"
        if done.outcome == "failed":
            self.failures.append(f"trial {done.trial} ({label(done.job)}): {done.reason}")
        if done.score is not None:
            self.scores.setdefault(done.job.ordinal, []).append(done.score)

    @property
    def best(self) -> float | None:
        """The best mean over the repeats of one configuration."""
        return max((fmean(scores) for scores in self.scores.values()), default=None)

    @property
    def time_left(self) -> str:
        """The time the rest will take, from what the last trainings took."""
        if not self.seconds:
            return ""
        return f", about {duration(fmean(self.seconds[-20:]) * max(0, self.n_left))} left"


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
    params = ", ".join(f"{name} {_short(value)}" for name, value in job.params.items())
    if len(job.params) > _MOST_PARAMS:
        params = f"configuration {job.ordinal + 1}"
    return f"{params or 'base'}, repeat {job.repeat + 1}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _count_only(events: Iterable[Event], tally: Tally) -> Iterator[None]:
    for event in events:
        if isinstance(event, TrialDone):
            tally.add(event)
            yield


def _lines(events: Iterable[Event], tally: Tally) -> Iterator[None]:
    total = tally.n_left
    for event in events:
        if isinstance(event, TrialDone):
            tally.add(event)
            say(f"[{total - tally.n_left}/{total}] {_outcome(event, tally)}")
            yield


def _live(events: Iterable[Event], tally: Tally) -> Iterator[None]:
    columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=error_console, transient=True) as progress:
        task = progress.add_task("starting", total=tally.n_left)
        total = tally.n_left
        for event in events:
            if isinstance(event, EpochDone):
                text = _now(event, tally)
            else:
                tally.add(event)
                text = _outcome(event, tally)
            progress.update(task, completed=total - tally.n_left, description=escape(text))
            yield


def _now(event: EpochDone, tally: Tally) -> str:
    epochs = event.job.config.epochs
    best = "" if tally.best is None else f" (best {percent(tally.best)})"
    return (
        f"{label(event.job)}, epoch {event.epoch}/{epochs}: {percent(event.score)}{best}"
        f"{tally.time_left}"
    )


def _outcome(done: TrialDone, tally: Tally) -> str:
    if done.outcome == "failed":
        return f"{label(done.job)}: failed, {done.reason}"
    if done.outcome == "pruned":
        return f"{label(done.job)}: pruned{tally.time_left}"
    how = " (from the run store)" if done.is_reused else ""
    return (
        f"{label(done.job)}: {percent(done.score)}{how}, best {percent(tally.best)}"
        f"{tally.time_left}"
    )
