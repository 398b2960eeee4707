"""The commands that look at studies: show, report, dashboard."""

import contextlib
from typing import Annotated

import typer

from hpo.cli.options import JsonOption, StorageOption, StudyArgument
from hpo.errors import StudyError, UsageError
from hpo.storage.url import DEFAULT_URL


def show(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="A study; without it, all of them.")
    ] = None,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves", help="Also what its curves say: convergence, steadiness, overfitting."
        ),
    ] = False,
    target: Annotated[
        float | None,
        typer.Option(
            "--target",
            metavar="SHARE",
            help="With --curves: the validation accuracy to converge to, such as 0.93. "
            "Default: chosen from the study.",
            show_default=False,
        ),
    ] = None,
    storage: StorageOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """List the studies, or show one: its table, its verdict, what its curves say."""
    has_curves = curves or target is not None
    if has_curves and study is None:
        raise UsageError("--curves and --target take a study: hpo show STUDY --curves.")
    if target is not None and not 0 < target <= 1:
        raise UsageError(
            f"--target takes a validation accuracy above 0 and up to 1, but got {target:g}: for "
            "93 % write --target 0.93."
        )
    if study is None:
        _show_all(storage, json=json)
    else:
        _show_one(study, storage, has_curves=has_curves, target=target, json=json)


def _show_one(
    study: str, storage: str, *, has_curves: bool, target: float | None, json: bool
) -> None:
    from hpo.cli.evaluation import document, print_result
    from hpo.cli.output import print_json
    from hpo.cli.tables import print_curves, print_study
    from hpo.evaluate import read_evaluation
    from hpo.evaluate.learning_curves import compare_curves
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import runs_folder
    from hpo.storage.runs import RunStore
    from hpo.study.gathering import summarize
    from hpo.study.study import open_study
    from hpo.study.summary import to_document

    opened = open_storage(storage, create=False)
    stored = open_study(opened, study)
    summary = summarize(stored, storage_url=storage)
    tested = None
    with contextlib.suppress(StudyError):  # A damaged record of the test: the rest is shown.
        tested = read_evaluation(stored)
    found = None
    if has_curves:
        found = compare_curves(summary, RunStore(runs_folder(storage)), target=target)
    if json:
        curves = {"curves": found.to_document() if found else None} if has_curves else {}
        test = {"test": document(tested, summary)} if tested else {}
        print_json(to_document(summary) | curves | test)
        return
    print_study(summary, RunStore(runs_folder(storage)))
    if tested:
        print_result(tested, summary)
    if found:
        print_curves(found)


def _show_all(storage: str, *, json: bool) -> None:
    from hpo.cli.output import print_json, say
    from hpo.cli.tables import print_studies
    from hpo.storage.opening import open_storage
    from hpo.study.gathering import summarize_all
    from hpo.study.summary import to_document

    opened = open_storage(storage, create=False)
    summaries, unreadable, n_foreign = summarize_all(opened)
    if json:
        documents = [to_document(summary) for summary in summaries]
        print_json({"studies": documents, "unreadable": unreadable})
    else:
        if summaries or not unreadable:
            print_studies(summaries)
        for message in unreadable.values():
            say(message, style="red")
    if n_foreign:
        one, many = "1 study of another program", f"{n_foreign} studies of other programs"
        say(f"{one if n_foreign == 1 else many} in {opened.shown_url} left out.")


def report(
    study: StudyArgument, storage: StorageOption = DEFAULT_URL, json: JsonOption = False
) -> None:
    """Write the page of a study: studies/STUDY/report.html."""
    from hpo.cli.output import print_json, print_path
    from hpo.report import write_report
    from hpo.storage.opening import open_storage, translate_errors
    from hpo.storage.paths import runs_folder, study_folder
    from hpo.storage.runs import RunStore
    from hpo.study.gathering import summarize
    from hpo.study.study import open_study

    opened = open_study(open_storage(storage, create=False), study)
    summary = summarize(opened, storage_url=storage)
    folder = study_folder(storage, study)
    with translate_errors(storage):
        path = write_report(summary, opened, RunStore(runs_folder(storage)), folder)
    if json:
        print_json({"study": study, "path": str(path)})
    else:
        print_path(f"Page: {path}")


def dashboard(
    storage: StorageOption = DEFAULT_URL,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8080,
) -> None:
    """Open optuna-dashboard on the studies, with their curves as artifacts."""
    import secrets
    import socket

    from hpo.cli.output import say
    from hpo.cli.signals import check_interrupt
    from hpo.run.dashboard import open_server
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import artifacts_folder

    opened = open_storage(storage, create=False)
    token, folder = secrets.token_urlsafe(), artifacts_folder(storage)
    with open_server(opened, folder=folder, host=host, port=port, token=token) as server:
        if not server.address.is_loopback:
            say(
                f"Warning: everyone who reaches this machine on port {port} may read the studies. "
                "Whoever has the link below may change and delete them."
            )
        name = socket.gethostname() if server.address.is_unspecified else host
        shown = f"[{name}]" if ":" in name else name
        say(f"optuna-dashboard: http://{shown}:{port}/?token={token} (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                server.handle_request()
                check_interrupt()
