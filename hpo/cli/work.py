"""Carrying out a plan: forecast or training, then the table, the page and the exit code."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import typer

from hpo.api import with_page
from hpo.cli.evaluation import document, open_if_complete, print_evaluation
from hpo.cli.output import count, duration, print_json, print_line, print_path, say, size
from hpo.cli.progress import Tally, train
from hpo.cli.tables import combinations_note, print_study
from hpo.errors import Interrupted
from hpo.evaluate import check_test
from hpo.run.plan import Plan
from hpo.run.session import Session, open_session
from hpo.search.tpe import all_cells
from hpo.storage.url import named
from hpo.study.gathering import with_call
from hpo.study.summary import StudySummary, to_document


@dataclass(frozen=True, kw_only=True)
class Flags:
    """How a command that trains behaves."""

    dry_run: bool
    json: bool
    quiet: bool
    test: bool = False


def carry_out(plan: Plan, flags: Flags) -> None:
    """Forecast the plan, or train it to its end and print what came out.

    Raises:
        HpoError: the study cannot be worked on, or the user interrupted.
    """
    if flags.dry_run:
        _print_forecast(plan, flags)
        return
    if flags.test:
        check_test(plan.dataset)
    started = time.monotonic()
    with open_session(plan) as session:
        for note in session.storage.notes:
            say(note)
        tally = _train(session, flags)
        _show(session, tally, flags, started=started)


def _show(session: Session, tally: Tally, flags: Flags, *, started: float) -> None:
    summary = with_call(session.summary(), n_trained=tally.n_trained, n_reused=tally.n_reused)
    evaluation = open_if_complete(session, summary) if flags.test else None
    if evaluation:
        summary = replace(summary, openings=session.summary().openings)
    if not flags.json:
        # Before the page: that may fail where a disk is full.
        print_study(summary, session.runs)
    is_new = bool(tally.n_trained or tally.n_reused or evaluation)
    summary = with_page(session, summary, is_new=is_new)
    if flags.json:
        tested = {"test": document(evaluation, summary)} if evaluation else {}
        print_json(to_document(summary) | tested)
    else:
        if evaluation:
            print_evaluation(evaluation, summary)
        _print_call(summary, tally, seconds=time.monotonic() - started)
    _end(summary, tally, session, is_json=flags.json)


def _train(session: Session, flags: Flags) -> Tally:
    n_left = session.source.n_left()
    if n_left and not flags.quiet:
        say(f"{session.study.study_name}: training {count(n_left, 'network')} …")
        # They stand below the table too, which may be hours away.
        for note in session.plan.dataset.notes:
            say(note)
    with _interruptible(session):
        return train(session, is_quiet=flags.quiet)


@contextlib.contextmanager
def _interruptible(session: Session) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"Stopped. Finished trainings are saved. To continue: {resume_command(session)}"
        ) from None


def _print_call(summary: StudySummary, tally: Tally, *, seconds: float) -> None:
    n_done = tally.n_trained - len(tally.failures)
    if n_done or tally.n_reused or tally.failures:
        reused = f", reused {tally.n_reused:,}" if tally.n_reused else ""
        print_line(f"Trained {n_done:,}{reused}, in {duration(seconds)}.")
    else:
        print_line("Nothing to train: all results are already available.")
    if summary.report:
        print_path(f"Page: {summary.report}")


def _end(summary: StudySummary, tally: Tally, session: Session, *, is_json: bool) -> None:
    """Say what is lacking; end with 1 where trainings are missing or a cell of a grid failed."""
    n_failed = summary.count("failed")
    if is_json and summary.n_open:
        # It stands below the table, where there is one.
        left = count(summary.n_open, "training")
        say(f"{left} to be done: `{resume_command(session)}` goes on.")
    if summary.record.kind == "search":
        _end_search(summary, tally)
    elif n_failed:
        say(
            f"Error: {count(n_failed, 'training')} of {summary.name} failed: "
            f"{'; '.join(tally.failures[:5])} The same command tries them again; --values and "
            "--set change what fails.",
            style="red",
        )
        raise typer.Exit(1)
    if summary.n_open:
        raise typer.Exit(1)


def _end_search(summary: StudySummary, tally: Tally) -> None:
    if summary.n_open:
        return
    n_tried, cells = len(summary.configurations), all_cells(summary.record, summary.goal)
    if cells and len(cells) < summary.goal.n_trials:
        say(
            f"The space has no more than {count(len(cells), 'configuration')}: all were tried. A "
            "range with low and high, or another --param, opens it."
        )
    if not summary.count("complete"):
        say(
            f"Error: none of {count(n_tried, 'configuration')} was trained to its end: "
            f"{summary.count('failed')} failed, {summary.count('pruned')} were pruned. "
            f"{'; '.join(tally.failures[:3])} Narrow the ranges (learning_rate first), or leave "
            "the pruner out (--pruner none).",
            style="red",
        )
        raise typer.Exit(1)


def resume_command(session: Session) -> str:
    """Return the command that goes on with this study."""
    return f"hpo resume {named(session.study.study_name, session.storage.url)}"


def _print_forecast(plan: Plan, flags: Flags) -> None:
    from hpo.run.forecast import forecast

    found = forecast(plan)
    if flags.json:
        print_json(
            {
                "study": found.study,
                "device": found.device,
                "precision": found.precision,
                "n_configurations": found.n_configurations,
                "n_trainings": found.n_trainings,
                "n_done": found.n_done,
                "n_stored": found.n_stored,
                "n_to_train": found.n_to_train,
                "n_lanes": found.n_lanes,
                "seconds": found.seconds,
                "seconds_range": list(found.seconds_range),
                "memory_bytes": found.memory_bytes,
                "data": {"notes": list(plan.dataset.notes)},
                "too_large_batches": list(found.too_large_batches),
            }
        )
        return
    print_line(
        f"{found.study} would be trained on {found.device} {found.precision}:", style="bold"
    )
    print_line(f"  configurations   {found.n_configurations:,}")
    for note in combinations_note(plan.record):
        print_line(f"                   {note}", indent=19)
    print_line(
        f"  trainings        {found.n_trainings:,}: {found.n_done:,} in the study, "
        f"{found.n_stored:,} in the run store, {found.n_to_train:,} to train"
    )
    if found.n_to_train:
        print_line(f"  at a time        {count(found.n_lanes, 'training')}")
    least, most = map(duration, found.seconds_range)
    is_open = least != most
    span = f" ({least} to {most})" if is_open else ""
    print_line(f"  time             about {duration(found.seconds)}{span}")
    print_line(f"  memory           about {size(found.memory_bytes)}")
    if found.too_large_batches:
        sizes = " and ".join(map(str, found.too_large_batches))
        print_line(
            f"  Trainings with batch_size {sizes} will fail: there are {found.n_train} training "
            f"images. Leave {sizes} out of the choices in the space file."
        )
    if is_open:
        print_line("  The time depends on what is pruned and on which become finalists.")
    for note in plan.dataset.notes:
        print_line(note)
