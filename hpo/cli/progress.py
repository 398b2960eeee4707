"""Progress of long work: one live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from hpo.cli.output import duration, error_console, say
from hpo.cli.signals import check_interrupt
from hpo.run.loop import EpochDone, Event, StackShrunk, TrialDone
from hpo.run.session import Session, training_events
from hpo.search import Job
from hpo.search.trials import job_of, read_trials
from hpo.space.records import params_text
from hpo.study.score import Score
from hpo.untrusted import printable

_MOST_PARAMS: Final = 4
_LEAST_EPOCHS: Final = 4


@dataclass
class Tally:
    """What a call has done so far, and what that says about the rest.

    `scores` holds those of the study by configuration and repeat, as far as the grid or the search
    itself goes: what finalists are trained again is judged by itself. `top` is the best mean of a
    configuration that has all of its repeats.
    """

    n_left: int
    score: Score
    n_repeats: int = 1
    n_trained: int = 0
    n_reused: int = 0
    failures: list[str] = field(default_factory=list)
    n_pruned: int = 0
    scores: dict[int, dict[int, float]] = field(default_factory=dict)
    top: float | None = None
    shares: dict[int, float] = field(default_factory=dict)
    n_epochs: int = 0
    begun: tuple[float, float] = (0.0, 0.0)

    def follow(self, epoch: EpochDone) -> None:
        """Note how far a training is; the clock begins when those at the start had an epoch."""
        self.n_epochs += 1
        self.shares[epoch.trial] = epoch.epoch / epoch.job.config.epochs
        if self.n_epochs == len(self.shares) and not self.n_trained:
            self.begun = time.monotonic(), sum(self.shares.values())

    def note(self, job: Job, score: float | None) -> None:
        """Note the score of a job, unless it is of a finalist or of a report's base."""
        if score is None or job.repeat >= self.n_repeats or job.report:
            return
        scores = self.scores.setdefault(job.ordinal, {})
        scores[job.repeat] = score
        if len(scores) == self.n_repeats:
            means = [fmean(scores.values()), *([] if self.top is None else [self.top])]
            self.top = max(means, key=self.score.rank)

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
            self.failures.append(f"{label(done.job)}: {done.reason}")
        self.note(done.job, done.score)

    @property
    def best(self) -> str:
        """The best so far in words; it only ever gets better."""
        if self.top is None:
            return ""
        return f"best {'mean ' * (self.n_repeats > 1)}{self.score.text(self.top)}"

    @property
    def time_left(self) -> str:
        """The time the rest will take, if it goes on as since the first epochs.

        Trainings side by side end their epochs together: it takes a few of each to tell.
        """
        began, base = self.begun
        under_way = sum(self.shares.values())
        n_done, n_left = self.n_trained + under_way - base, self.n_left - under_way
        if self.n_left <= 0:
            return ""
        if self.n_epochs < _LEAST_EPOCHS * max(1, len(self.shares)) or n_done <= 0:
            return "estimating time"
        return f"about {duration((time.monotonic() - began) * max(0.0, n_left) / n_done)} left"


def train(session: Session, *, is_quiet: bool) -> Tally:
    """Train what a study lacks, and show it; return what was done."""
    tally = Tally(
        n_left=session.source.n_left(),
        score=session.record.score,
        n_repeats=session.goal.n_repeats,
    )
    for trial in read_trials(session.study, session.record).ours:
        # A pruned one has a value too: the last it reported.
        if trial.state.name == "COMPLETE":
            tally.note(job_of(trial), trial.value)
    # Closed at once when the caller stops: what was cut off then waits again.
    with closing(training_events(session)) as events:
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
        check_interrupt()


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
                parts = [_outcome(event, tally), tally.best, tally.time_left]
                say(f"[{total - tally.n_left}/{total}] {', '.join(filter(None, parts))}")
            case StackShrunk():
                say(_told(event))
        yield


def _live(events: Iterable[Event], tally: Tally) -> Iterator[None]:
    # The end of the text is cut where there is no room for it, never the count.
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        BarColumn(min(24, error_console.width // 8)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.description}", markup=False, table_column=rest),
    )
    with Progress(*columns, console=error_console, transient=True, expand=True) as progress:
        task = progress.add_task("loading images", total=tally.n_left)
        total = tally.n_left
        for event in events:
            match event:
                case EpochDone():
                    tally.follow(event)
                    text = _live_text(_now(event, tally), tally)
                case TrialDone():
                    tally.add(event)
                    text = _live_text(_outcome(event, tally), tally)
                case StackShrunk():
                    text = _told(event)
                    say(text)
            progress.update(task, completed=total - tally.n_left, description=printable(text))
            yield


def _told(event: StackShrunk) -> str:
    return (
        "There is too little memory for so many trainings at a time: those under way begin again, "
        f"{event.n_lanes} at a time."
    )


def _live_text(event: str, tally: Tally) -> str:
    """Put first what matters: there may be no room for the rest."""
    return ", ".join(filter(None, [tally.time_left, tally.best, event]))


def _now(event: EpochDone, tally: Tally) -> str:
    score = "" if event.score is None else f": {tally.score.text(event.score)}"
    return f"{label(event.job)}, epoch {event.epoch}/{event.job.config.epochs}{score}"


def _outcome(done: TrialDone, tally: Tally) -> str:
    if done.outcome == "failed":
        return f"{label(done.job)}: failed, {done.reason}"
    if done.outcome == "pruned":
        return f"{label(done.job)}: pruned"
    how = " (from the run store)" if done.is_reused else ""
    return f"{label(done.job)}: {'' if done.score is None else tally.score.text(done.score)}{how}"
