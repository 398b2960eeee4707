"""Carrying out a plan: forecast or training, then the table, the page and the exit code."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import typer

from hpo.cli.evaluation import document, open_if_complete, print_evaluation
from hpo.cli.output import console, count, duration, print_json, print_line, say, size
from hpo.cli.progress import Tally, train
from hpo.cli.signals import ends_in_order
from hpo.cli.tables import combinations_note, print_study
from hpo.errors import Interrupted
from hpo.evaluate import check_test
from hpo.plan import Plan
from hpo.search.standing import all_cells
from hpo.session import Session, open_session
from hpo.storage_url import storage_option
from hpo.summary import StudySummary, to_document, with_call


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
    summary = _write_page(session, summary, is_new=is_new)
    if flags.json:
        tested = {"test": document(evaluation, summary)} if evaluation else {}
        print_json(to_document(summary) | tested)
    else:
        _print_call(summary, tally, seconds=time.monotonic() - started)
        if evaluation:
            print_evaluation(evaluation, summary)
    _end(summary, tally, session, is_json=flags.json)


def _train(session: Session, flags: Flags) -> Tally:
    n_left = session.source.n_left()
    if n_left and not flags.quiet:
        say(f"{session.study.study_name}: {count(n_left, 'training')} to do")
    with _interruptible(session):
        return train(session, is_quiet=flags.quiet)


@contextlib.contextmanager
def _interruptible(session: Session) -> Iterator[None]:
    try:
        with ends_in_order():
            yield
    except KeyboardInterrupt:
        way_on = resume_command(session)
        raise Interrupted(
            f"Interrupted. What is finished is kept. This goes on: {way_on}"
        ) from None


def _write_page(session: Session, summary: StudySummary, *, is_new: bool) -> StudySummary:
    """Write the page of the study if anything in it is new; drawing it takes a second."""
    path = session.folder / "report.html"
    if summary.count("complete") and (is_new or not path.exists()):
        from hpo.report import write_report

        summary = replace(summary, report=str(path))
        write_report(summary, session.study, session.runs, session.folder)
    return replace(summary, report=str(path) if path.exists() else None)


def _print_call(summary: StudySummary, tally: Tally, *, seconds: float) -> None:
    reused = f", {tally.n_reused} told from the run store" if tally.n_reused else ""
    console.print(f"{count(tally.n_trained, 'training')} done{reused} in {duration(seconds)}.")
    if summary.report:
        print_line(f"Page: {summary.report}")


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
    return f"hpo resume {session.study.study_name}{storage_option(session.storage.url)}"


def _print_forecast(plan: Plan, flags: Flags) -> None:
    from hpo.forecast import forecast

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
            }
        )
        return
    console.print(f"[bold]{found.study}[/] would be trained on {found.device} {found.precision}:")
    console.print(f"  configurations   {found.n_configurations:,}")
    for note in combinations_note(plan.record):
        console.print(f"                   {note}", soft_wrap=True)
    console.print(
        f"  trainings        {found.n_trainings:,}: {found.n_done:,} in the study, "
        f"{found.n_stored:,} in the run store, {found.n_to_train:,} to train"
    )
    if found.n_to_train:
        console.print(f"  at a time        {count(found.n_lanes, 'training')}")
    least, most = map(duration, found.seconds_range)
    is_open = least != most
    span = f" ({least} to {most})" if is_open else ""
    console.print(f"  time             about {duration(found.seconds)}{span}")
    console.print(f"  memory           about {size(found.memory_bytes)}")
    if is_open:
        console.print("  The time depends on what is pruned and on which become finalists.")
