"""Carrying out a plan: a forecast, or training with progress, table, page and exit code."""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from hpo.api import with_page
from hpo.cli.options import command_line
from hpo.cli.output import (
    error_console,
    open_page,
    print_answer,
    print_json,
    print_line,
    print_path,
    print_table,
    say,
)
from hpo.cli.process import check_interrupt
from hpo.errors import DeviceError, Interrupted, fault_list
from hpo.evaluate.checks import check_study
from hpo.evaluate.test import check_test, open_test, read_evaluation
from hpo.run.loop import EpochDone, Event, RepeatsAdded, StackShrunk, TrialDone
from hpo.run.plan import Plan
from hpo.run.session import Session, open_session, training_events
from hpo.space.records import params_text
from hpo.storage.url import named
from hpo.study.progress import all_cells
from hpo.study.score import Score
from hpo.study.summary import StudySummary, to_document
from hpo.study.test_access import read_openings
from hpo.study.trials import Job, job_of, read_trials
from hpo.tables import count, duration
from hpo.training.engine import Workers
from hpo.untrusted import printable
from hpo.views.answer import answer
from hpo.views.evaluations import evaluation_document, evaluation_table
from hpo.views.studies import combinations_note, study_tables

_MOST_PARAMS: Final = 4
_LEAST_EPOCHS: Final = 4


def carry_out(
    plan: Plan,
    *,
    dry_run: bool,
    json: bool,
    quiet: bool,
    no_images: bool,
    open_: bool,
    test: bool = False,
) -> None:
    """Forecast the plan, or train it, print the result and open its page if wanted.

    Raises:
        HpoError: the study cannot be trained, or the user interrupted.
    """
    if dry_run:
        _print_forecast(plan, json=json)
        return
    if test:
        check_test(plan.dataset)
    started = time.monotonic()
    with open_session(plan) as session:
        name = session.study.study_name
        resume = f"hpo resume {named(name, session.storage.url)}{plan.record.model_option}"
        if plan.settings.ray:
            resume += f" --ray {plan.settings.ray}"
        notes = list(session.storage.notes)
        notes += [f"After the base: {params_text(params)}." for params in plan.start]
        if (n_left := session.source.n_left()) and not quiet:
            # Notes on the data are repeated below the table, perhaps hours later.
            notes += [f"{name}: training {count(n_left, 'network')} …"]
            notes += [plan.record.data.makeup, *plan.record.notes]
        for note in notes:
            say(note)
        try:
            tally = train(session, is_quiet=quiet)
        except KeyboardInterrupt:
            message = f"Stopped. Finished trainings are saved. To continue: {resume}"
            raise Interrupted(message) from None
        except DeviceError as error:
            if not plan.settings.ray:
                raise
            message = f"{error}\nFinished trainings are saved. To continue: {resume}"
            raise DeviceError(message) from error
        summary = session.summary()
        summary = replace(summary, n_trained=tally.n_trained, n_reused=tally.n_reused)
        evaluation = read_evaluation(session.study) if summary.openings else None
        is_complete = all(c.state == "complete" for c in summary.configurations)
        if test and is_complete and not summary.n_open:
            evaluation = open_test(session.study, command=command_line(), dataset=plan.dataset)
            summary = replace(summary, openings=read_openings(session.study))
        elif test:
            say(
                f"The test set was not used: {count(summary.n_open, 'training')} missing and "
                f"{summary.count('failed')} failed. The same command continues, and uses it at "
                "the end."
            )
        elif "--test" in plan.record.command.split() and is_complete and not summary.openings:
            to_test = f"hpo evaluate {named(name, session.storage.url)}"
            say(f"The test set was not used, because this command has no --test: {to_test}")
        if not json:
            # Before the page, which cannot be written if the disk is full.
            for table in study_tables(summary, session.runs):
                print_table(table)
        is_new = bool(tally.n_trained or tally.n_reused or (test and evaluation))
        summary = with_page(session, summary, is_new=is_new, has_images=not no_images)
        if json:
            tested = {"test": evaluation_document(evaluation, summary)} if evaluation else {}
            document = to_document(summary) | {"answer": asdict(answer(summary, evaluation))}
            print_json(document | {"warnings": check_study(summary, session.runs)} | tested)
            if summary.n_open:  # Otherwise the table shows it.
                say(f"{count(summary.n_open, 'training')} missing. To continue: `{resume}`")
        else:
            if test and evaluation:
                print_table(evaluation_table(evaluation, summary))
            print_line(tally.result(seconds=time.monotonic() - started))
            if summary.report:
                print_path(f"Page: {summary.report}")
            print_answer(answer(summary, evaluation))
        if open_ and summary.report:
            open_page(summary.report)
        _check_complete(summary, tally.failures)


def _check_complete(summary: StudySummary, failures: list[str]) -> None:
    """Raise an error if a study is incomplete; a search may lose some trainings."""
    n_failed, error = summary.count("failed"), ""
    if summary.record.kind == "grid":
        if n_failed:
            error = f"Error: {count(n_failed, 'training')} of {summary.name} failed:"
            error = fault_list(error, failures[:5])
            error += (
                "\nThe same command tries again. Change failing values with --values or --set."
            )
    elif not summary.n_open:
        cells = all_cells(summary.record, summary.goal)
        if cells and len(cells) < summary.goal.n_trials:
            say(
                f"All {count(len(cells), 'configuration')} of the space were tried. To add more, "
                "use a range with low and high, or another --param."
            )
        if not summary.count("complete"):
            error = (
                f"Error: No training of {count(len(summary.configurations), 'configuration')} was "
                f"completed: {n_failed} failed, {summary.count('pruned')} were pruned."
            )
            error = fault_list(error, failures[:3])
            error += "\nNarrow the ranges (learning_rate first), or use --pruner none."
    if error:
        say(error, style="red")
    if error or summary.n_open:
        raise typer.Exit(1)


def _print_forecast(plan: Plan, *, json: bool) -> None:
    from hpo.run.forecast import forecast  # It loads torch, which `hpo evaluate` does not need.

    estimate = forecast(plan)
    if json:
        data = {"makeup": plan.record.data.makeup, "notes": list(plan.record.notes)}
        notes = {"data": data, "n_to_train": estimate.n_to_train}
        print_json(asdict(estimate) | notes)
        return
    print_line(f"{estimate.study}, on {estimate.device} {estimate.precision}:", style="bold")
    least, most = map(duration, estimate.seconds_range)
    is_range = least != most
    # What a search will propose is not known.
    stored = f"{estimate.n_stored:,} in the run store, " if plan.record.kind == "grid" else ""
    done = f"{estimate.n_done:,} in the study, {stored}{estimate.n_to_train:,} to train"
    about = f"about {duration(estimate.seconds)}" + (f" ({least} to {most})" if is_range else "")
    parts = [
        ("configurations", f"{estimate.n_configurations:,}"),
        *(("", note) for note in combinations_note(plan.record)),
        ("trainings", f"{estimate.n_trainings:,}: {done}"),
        ("in parallel", count(estimate.n_lanes, "training")),
        ("time", about),
        ("memory", f"about {estimate.memory_bytes / 1e6:,.0f} MB"),
    ]
    for name, text in parts:
        if name != "in parallel" or estimate.n_to_train:
            print_line(f"  {name:<16} {text}", indent=19)
    fewest, largest = estimate.repeats
    if fewest < largest:
        span = f"{fewest} to {largest}"
        print_line(f"  The time depends on the number of repeats needed to decide: {span}.")
    elif is_range:
        print_line("  The time depends on pruning and on the finalists.")
    for note in (plan.record.data.makeup, *plan.record.notes):
        print_line(note)


@dataclass
class Tally:
    """The progress of a call, and an estimate of the remaining time.

    `scores` holds the scores of the study by configuration and repeat, without those of finalists,
    which are judged separately. `top` is the best mean of a configuration with all its repeats.
    `shares` holds the completed part of each running trial. A search has phases: `planned` and
    `done` count their trainings, and `phase` is the phase of the last event in words. `begun` is
    the time, and the completed part of the trainings, when every training of the first batch had
    finished an epoch: the estimate starts there.
    """

    n_left: int
    score: Score
    n_repeats: int = 1
    n_trained: int = 0
    n_reused: int = 0
    failures: list[str] = field(default_factory=list)
    scores: dict[int, dict[int, float]] = field(default_factory=dict)
    top: float | None = None
    shares: dict[int, float] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    phase: str = ""
    n_epochs: int = 0
    begun: tuple[float, float] | None = None

    def add(self, event: Event) -> str:
        """Count an event and return it in words."""
        if isinstance(event, StackShrunk):
            return (
                "Too little memory for this many parallel trainings: they start again, "
                f"{event.n_lanes} at a time."
            )
        if isinstance(event, Workers):
            places = f"{count(event.n_actors, 'actor')} on {count(event.n_nodes, 'node')}"
            lost = f" {count(event.n_lost, 'training')} restarted." if event.n_lost else ""
            return " ".join([f"Ray: training in {places}.{lost}", *event.notes])
        if isinstance(event, RepeatsAdded):
            self.n_left, self.n_repeats = event.n_left, event.n_repeats
            return f"Not every pair is decided yet: continuing to {event.n_repeats} repeats."
        phase = _phase(event.job, self.n_repeats)
        if phase == "finalists" and self.planned:
            # The search is over; with --patience, before its last configuration.
            self.planned["search"] = self.done["search"]
            self.n_left = min(self.n_left, self.planned[phase] - self.done[phase])
        if isinstance(event, TrialDone) and event.outcome != "failed":
            self.done[phase] += 1
        if phase in self.planned:
            # Enqueued configurations are trained in addition.
            self.planned[phase] = max(self.planned[phase], self.done[phase])
            self.phase = f"{phase} {self.done[phase]}/{self.planned[phase]}"
        name = _label(event.job)
        score = "" if event.score is None else self.score.text(event.score)
        if isinstance(event, EpochDone):
            n_epochs = event.job.config.epochs
            self.n_epochs += 1
            self.shares[event.trial] = event.epoch / n_epochs
            if self.n_epochs >= len(self.shares) and not self.begun:
                self.begun = time.monotonic(), sum(self.shares.values())
            return f"{name}, epoch {event.epoch}/{n_epochs}{score and f': {score}'}"
        self.n_reused += event.is_reused
        self.n_trained += not event.is_reused
        self.shares.pop(event.trial, None)
        if event.outcome == "failed":
            self.failures.append(f"{name}: {event.reason}")
            return f"{name}: failed, {event.reason}"
        self.n_left -= 1
        self.note(event.job, event.score)
        if event.outcome == "pruned":
            return f"{name}: pruned"
        return f"{name}: {score}{' (from the run store)' if event.is_reused else ''}"

    def note(self, job: Job, score: float | None) -> None:
        """Record the score of a job, unless it belongs to a finalist or a course network."""
        if score is None or job.repeat >= self.n_repeats or job.report:
            return
        scores = self.scores.setdefault(job.ordinal, {})
        scores[job.repeat] = score
        if len(scores) == self.n_repeats:
            means = [fmean(scores.values()), *([] if self.top is None else [self.top])]
            self.top = max(means, key=self.score.rank)

    @property
    def n_done(self) -> int:
        """The number of trainings that this call finished or found in the run store."""
        return self.n_trained + self.n_reused - len(self.failures)

    @property
    def best(self) -> str:
        """The best score so far in words; it never gets worse."""
        if self.top is None:
            return ""
        return f"best {'mean ' * (self.n_repeats > 1)}{self.score.text(self.top)}"

    @property
    def time_left(self) -> str:
        """The estimated remaining time, at the speed since the first epochs.

        Parallel trainings finish their epochs together, so an estimate needs several of each.
        """
        if self.n_left <= 0:
            return ""
        running = sum(self.shares.values())
        began, base = self.begun or (0.0, 0.0)
        n_done = self.n_trained + running - base
        if self.n_epochs < _LEAST_EPOCHS * max(1, len(self.shares)) or n_done <= 0:
            return "estimating time"
        seconds = (time.monotonic() - began) * max(0.0, self.n_left - running) / n_done
        return f"about {duration(seconds)} left"

    def result(self, *, seconds: float) -> str:
        """The result of the call in words."""
        if not (self.n_done or self.failures):
            if self.n_left:
                return "No training was finished in this call."
            return "Nothing to train: all results are already available."
        reused = f", reused {self.n_reused:,}" if self.n_reused else ""
        return f"Trained {self.n_done - self.n_reused:,}{reused}, in {duration(seconds)}."


def train(session: Session, *, is_quiet: bool) -> Tally:
    """Train the missing trainings of a study with progress; return the tally."""
    n_left, goal = session.source.n_left(), session.goal
    tally = Tally(n_left, session.record.score, n_repeats=goal.n_repeats)
    if session.record.kind == "search":
        cells = all_cells(session.record, goal)
        n_fresh = goal.n_finalists + 5 * goal.with_baselines
        tally.planned = {
            "search": goal.n_repeats * (len(cells) if cells else goal.n_trials),
            "finalists": goal.n_final_repeats * n_fresh,
        }
    for trial in read_trials(session.study, session.record).own:
        if trial.state.name in ("COMPLETE", "PRUNED"):
            tally.done[_phase(job_of(trial), goal.n_repeats)] += 1
        # A pruned trial has a value too: the last reported score.
        if trial.state.name == "COMPLETE":
            tally.note(job_of(trial), trial.value)
    # Closed at once if the caller stops: unfinished trials are re-queued.
    with closing(training_events(session)) as events:
        follow(events, tally, is_quiet=is_quiet)
    return tally


def follow(events: Iterable[Event], tally: Tally, *, is_quiet: bool) -> None:
    """Consume the events; show one live line on a terminal, else a line per trial."""
    is_live = error_console.is_terminal and not is_quiet
    whole = Column(no_wrap=True)
    # If there is no room, the end of the text is cut, never the count.
    cut = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    with Progress(
        BarColumn(min(24, error_console.width // 8)),
        MofNCompleteColumn(table_column=whole),
        TextColumn("{task.description}", markup=False, table_column=cut),
        console=error_console,
        transient=True,
        expand=True,
        disable=not is_live,
    ) as progress:
        task = progress.add_task("loading images", total=tally.n_left)
        for event in events:
            text, n_done = tally.add(event), tally.n_done
            total = n_done + max(0, tally.n_left)
            # On a live line the important part comes first, as the rest may not fit.
            parts = [tally.phase, tally.time_left, tally.best, text]
            if is_live:
                shown = printable(", ".join(filter(None, parts)))
                progress.update(task, total=total, completed=n_done, description=shown)
            if isinstance(event, StackShrunk | RepeatsAdded | Workers) and not is_quiet:
                say(text)
            elif isinstance(event, TrialDone) and not is_quiet and not is_live:
                phase, *others = parts
                details = ", ".join(filter(None, reversed(others)))
                say(f"[{n_done}/{total}] {phase}{phase and ': '}{details}")
            check_interrupt()


def _phase(job: Job, n_repeats: int) -> str:
    return "finalists" if job.report or job.repeat >= n_repeats else "search"


def _label(job: Job) -> str:
    """Return a configuration and repeat in words: `batch_size 32, repeat 1`."""
    params = params_text(job.params)
    if job.report:
        params = f"network of {job.report}"
    elif len(job.params) > _MOST_PARAMS:
        params = f"configuration {job.ordinal + 1}"
    return f"{params}, repeat {job.repeat + 1}"
