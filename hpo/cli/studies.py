"""Commands for studies: show, compare, report, dashboard, export, delete."""

import contextlib
import secrets
import shlex
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from hpo.cli import options
from hpo.cli.commands import complete_study
from hpo.cli.output import emit, open_page, print_answer, print_json, print_line, print_table, say
from hpo.cli.process import check_interrupt
from hpo.errors import StudyError, UsageError
from hpo.files import at_home
from hpo.storage.url import DEFAULT_URL
from hpo.tables import count
from hpo.untrusted import printable


def show(
    study: Annotated[
        str | None,
        Argument(
            metavar="[STUDY]",
            help=f"{options.STUDY_HELP} Default: list all studies.",
            autocompletion=complete_study,
        ),
    ] = None,
    curves: Annotated[
        bool,
        Option(
            "--curves", help="Also compare learning curves: convergence, stability, overfitting."
        ),
    ] = False,
    target: Annotated[
        float | None,
        Option(
            metavar="SHARE",
            help="With --curves: validation accuracy that counts as converged, such as 0.93 "
            "(default: chosen from the study).",
        ),
    ] = None,
    toml: Annotated[
        bool, Option("--toml", help="Print only the best configuration, as a space file.")
    ] = False,
    margin: options.Margin = None,
    weights: options.ComparedWeights = None,
    storage: options.Storage = DEFAULT_URL,
    json: options.Json = False,
) -> None:
    """List all studies, or show one: its table, verdict and learning curves.

    Examples:

        hpo show

        hpo show latest --curves

        hpo show latest --toml > best.toml
    """
    has_curves = curves or target is not None
    if toml and json:
        raise UsageError("--toml and --json are two formats. Choose one of them.")
    if study is None and has_curves:
        raise UsageError("--curves and --target need a study: hpo show STUDY --curves.")
    if study is None and toml:
        raise UsageError("--toml needs a study: hpo show STUDY --toml.")
    if study is None and (margin, weights) != (None, None):
        option = "--margin" if margin is not None else "--weights"
        raise UsageError(f"{option} needs a study: hpo show STUDY {option} …")
    if target is not None and not 0 < target <= 1:
        raise UsageError(
            f"--target must be a validation accuracy above 0 and at most 1, but got {target:g}: "
            "for 93 %, write --target 0.93."
        )
    if study is None:
        _show_all(storage, json=json)
        return
    from hpo.evaluate.checks import check_study
    from hpo.evaluate.learning_curves import compare_curves
    from hpo.evaluate.test import read_evaluation
    from hpo.study.gathering import read_study
    from hpo.study.summary import to_document
    from hpo.views.answer import answer, best_toml
    from hpo.views.evaluations import evaluation_document
    from hpo.views.studies import curves_table, study_tables

    stored = read_study(study, storage, margin=margin, weights=weights)
    summary, runs = stored.summary, stored.runs
    if toml:
        print(best_toml(summary))
        return
    tested = None
    with contextlib.suppress(StudyError):  # If the test record is damaged, show the rest.
        tested = read_evaluation(stored.study)
    found = compare_curves(summary, runs, target=target) if has_curves else None
    if json:
        curves_document = {"curves": found.to_document() if found else None}
        test_document = {"test": evaluation_document(tested, summary)} if tested else {}
        document = to_document(summary) | (curves_document if has_curves else {})
        document |= {"warnings": check_study(summary, runs)}
        print_json(document | {"answer": asdict(answer(summary, tested))} | test_document)
        return
    for table in study_tables(summary, runs):
        print_table(table)
    if found:
        # The page shows the answer above its table and only the notes below it.
        table = curves_table(found)
        print_table(replace(table, notes=(*found.outcome, *table.notes)))
    print_answer(answer(summary, tested))


def _show_all(storage: str, *, json: bool) -> None:
    from hpo.storage.opening import open_storage
    from hpo.study.gathering import summarize_all
    from hpo.study.summary import to_document
    from hpo.views.listing import studies_table

    opened = open_storage(storage, create=False)
    summaries, unreadable, n_foreign = summarize_all(opened, compares=json)
    if json:
        documents = [{"number": n} | to_document(one) for n, one in summaries.items()]
        print_json({"studies": documents, "unreadable": unreadable})
    elif summaries:
        print_table(studies_table(summaries))
    elif not unreadable:
        print_line("No studies yet. `hpo grid batch_size` creates the first one.")
    if not json:
        for message in unreadable.values():
            say(message, style="red")
    if n_foreign:
        owners = "another program" if n_foreign == 1 else "other programs"
        studies = "study" if n_foreign == 1 else "studies"
        say(f"Not shown: {n_foreign:,} {studies} of {owners} in {opened.shown_url}.")


def compare(
    studies: Annotated[
        list[str],
        Argument(
            metavar="STUDY STUDY…",
            help="Studies on the same data, by name or number.",
            autocompletion=complete_study,
        ),
    ],
    best: Annotated[
        bool | None,
        Option(
            "--best/--all",
            help="Compare only the best configuration of each study, or all (default: the best if "
            "there are more than six studies).",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Validation metric to compare (default: the metric that all studies optimize, "
            "else accuracy).",
        ),
    ] = None,
    margin: options.Margin = None,
    storage: options.Storage = DEFAULT_URL,
    json: options.Json = False,
    open_: options.Open = False,
) -> None:
    """Compare studies: learning curves in one figure, configurations pair by pair.

    Repeats with the same seed and fold are compared with each other.

    Example:

        hpo compare grid-loss-1f0c5a7e grid-activation-93b1d2c4
    """
    if len(names := list(dict.fromkeys(studies))) < 2:
        raise UsageError(
            f"hpo compare needs at least two studies, but got only {names[0]}: hpo compare "
            f"{names[0]} OTHER. `hpo show` lists them."
        )
    from hpo.evaluate.studies import compare as put_side_by_side
    from hpo.evaluate.studies import to_document
    from hpo.report.page import write_comparison
    from hpo.stats import outcome
    from hpo.storage.paths import comparison_page
    from hpo.study.gathering import read_study
    from hpo.views.studies import comparison_table

    stored = [read_study(name, storage) for name in names]
    runs, summaries = stored[0].runs, [one.summary for one in stored]
    names = [summary.name for summary in summaries]
    comparison = put_side_by_side(summaries, best=best, metric=metric, margin=margin, runs=runs)
    path = comparison_page(storage, names)
    write_comparison(comparison, runs, path)
    table, data = comparison_table(comparison), summaries[0].record.data
    said = (s if isinstance(s, str) else s.sentence for s in outcome(comparison.verdict))
    title = (
        f"{len(summaries)} studies on {data.title}, {data.n_train} training and "
        f"{data.n_validation} validation images"
    )
    table = replace(table, title=title, notes=(*said, *table.notes))
    document = to_document(comparison) | {"report": str(path)}
    emit(document, table, f"Page: {path}", json=json)
    if open_:
        open_page(path)


def report(
    study: options.StudyArgument,
    margin: options.Margin = None,
    weights: options.ComparedWeights = None,
    storage: options.Storage = DEFAULT_URL,
    no_images: options.NoImages = False,
    json: options.Json = False,
    open_: options.Open = False,
) -> None:
    """Write the page of a study: studies/STUDY/report.html.

    Example:

        hpo report latest --open
    """
    from hpo.api import write_page
    from hpo.study.gathering import read_study

    stored = read_study(study, storage, margin=margin, weights=weights)
    path = write_page(stored, has_images=not no_images)
    emit({"study": stored.summary.name, "path": str(path)}, f"Page: {path}", json=json)
    if open_:
        open_page(path)


def dashboard(
    storage: options.Storage = DEFAULT_URL,
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=1, max=65535, help="Port to listen on.")] = 8080,
) -> None:
    """Show the studies in optuna-dashboard, through a private link.

    Example:

        hpo dashboard --port 8081
    """
    from hpo.run.dashboard import open_server
    from hpo.storage.opening import open_storage

    opened, token = open_storage(storage, create=False), secrets.token_urlsafe()
    with open_server(opened, host=host, port=port, token=token) as server:
        name = socket.gethostname() if host in ("0.0.0.0", "::") else host
        shown = f"[{name}]" if ":" in name else name
        say(f"optuna-dashboard: http://{shown}:{port}/?token={token} (stop with Ctrl-C)")
        say("Anyone with this link can read, change and delete the studies.")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                server.handle_request()
                check_interrupt()


def export(
    study: options.StudyArgument,
    out: Annotated[
        Path | None,
        Option(
            parser=at_home, metavar="PATH", help="Folder to write (default: studies/STUDY/export)."
        ),
    ] = None,
    all_: Annotated[
        bool, Option("--all", help="Also write a folder for every other configuration.")
    ] = False,
    no_weights: Annotated[
        bool, Option("--no-weights", help="Write only tables and curves; retrain nothing.")
    ] = False,
    threshold: options.Threshold = None,
    data: options.MovedData = None,
    lanes: options.Lanes = None,
    model: options.Model = None,
    storage: options.Storage = DEFAULT_URL,
    json: options.Json = False,
) -> None:
    """Write the best model for use without hpo (`best/`), and the study as CSV.

    `best/predict.py` classifies image files with only torch, numpy and Pillow, and
    `best/model_card.md` describes the model and its results. Networks whose weights were
    not saved are retrained.

    Examples:

        hpo export latest --out model

        hpo export STUDY --threshold sensitivity=0.95
    """
    from hpo.evaluate.test import read_evaluation
    from hpo.evaluate.thresholds import model_threshold, rule_of
    from hpo.export import BEST
    from hpo.export import export as write_files
    from hpo.study.gathering import read_study

    stored = read_study(study, storage, moved_data=data)
    folder, best = out or stored.folder / "export", stored.summary.best
    for line in write_files(
        stored,
        folder,
        threshold=threshold,
        is_all=all_,
        has_weights=not no_weights,
        lanes=lanes,
        model=model,
    ):
        say(line)
    home, lines = folder / BEST, [f"Exported to {folder}"]
    document: dict[str, object] = {"study": stored.summary.name, "path": str(folder)}
    if best and not no_weights and stored.summary.record.has_weights:
        is_binary = len(stored.summary.record.data.class_names) == 2
        rule_text = rule_of(threshold, read_evaluation(stored.study))
        value = model_threshold(rule_text, best, stored.runs)
        script = home / "predict.py"
        document |= {
            "best": str(home),
            "script": str(script) if script.is_file() else None,
            "threshold": value if is_binary else None,
        }
        rule = f", threshold {value:.4g}" if is_binary else ""
        if not json:
            of_best = f"{best.tag}, mean of {count(len(best.judged), 'network')}{rule}"
            print_line(f"The best model: {of_best}. Its results are in model_card.md.")
        lines = [f"Model: {home}", f"Tables: {folder}"]
        if script.is_file():
            lines.insert(1, f"Use it without hpo: python {shlex.join([str(script)])} x.jpeg")
    emit(document, *lines, json=json)


def enqueue(
    study: options.StudyArgument,
    set_: options.Fixed = None,
    storage: options.Storage = DEFAULT_URL,
    json: options.Json = False,
) -> None:
    """Add a configuration to a search. It is tried next, even beyond --trials.

    Other hyperparameters keep the values of the base configuration.

    Example:

        hpo enqueue latest --set learning_rate=0.01 --set batch_size=64
    """
    from hpo.space.records import params_text
    from hpo.storage.opening import open_storage
    from hpo.storage.url import named
    from hpo.study.study import open_study, read_record
    from hpo.study.trials import enqueue as let_wait

    found = open_study(open_storage(storage, create=False), study)
    record = read_record(found)
    cell = let_wait(found, record, options.read_pairs("--set", set_ or []))
    emit(
        {"study": found.study_name, "params": dict(cell.params)},
        f"Enqueued in {found.study_name}: {params_text(cell.params)}.",
        f"To train it: hpo resume {named(found.study_name, storage)}{record.model_option}",
        json=json,
    )


def delete(
    study: Annotated[
        str,
        Argument(metavar="STUDY", help="The full name.", autocompletion=complete_study),
    ],
    yes: Annotated[bool, Option("--yes", help="Do not ask for confirmation.")] = False,
    storage: options.Storage = DEFAULT_URL,
) -> None:
    """Delete a study and its folder; its trained results stay in the run store.

    Example:

        hpo delete grid-batch_size-d1acf00e
    """
    from hpo.run.session import delete_study
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import runs_folder, study_folder
    from hpo.study.study import count_trials

    opened = open_storage(storage, create=False)
    n_trials = count_trials(opened, study)
    if not yes:
        question = f"Delete {printable(study)} and its {count(n_trials, 'trial')}?"
        typer.confirm(question, abort=True, err=True)
    other = delete_study(opened, study)
    print_line(
        f"Deleted {study}. Its trained results stay in the run store ({runs_folder(storage)}) "
        "and will be reused."
    )
    if not (folder := study_folder(storage, study)).is_dir():
        return
    if other:
        print_line(f"{folder} remains, as {other} has a study of the same name.")
    else:
        print_line(f"Files in {folder} remain: hpo did not write them, or they are links.")
