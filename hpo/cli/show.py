"""The commands that look at studies: show, report, dashboard."""

from typing import Annotated

import typer

from hpo.cli.options import JsonOption, StorageOption, StudyArgument
from hpo.storage_url import DEFAULT_URL


def show(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="A study; without it, all of them.")
    ] = None,
    storage: StorageOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """List the studies, or show one: its table, its best configuration."""
    from hpo.cli.output import print_json, say
    from hpo.cli.tables import print_studies, print_study
    from hpo.storage import open_storage
    from hpo.study import open_study
    from hpo.summary import summarize, summarize_all, to_document

    opened = open_storage(storage, create=False)
    if study is not None:
        summary = summarize(open_study(opened, study), storage_url=storage)
        print_json(to_document(summary)) if json else print_study(summary)
        return
    summaries, n_foreign = summarize_all(opened)
    if json:
        print_json({"studies": [to_document(summary) for summary in summaries]})
    else:
        print_studies(summaries)
    if n_foreign:
        say(f"{n_foreign} studies of other programs in {opened.shown_url} are left out.")


def report(study: StudyArgument, storage: StorageOption = DEFAULT_URL) -> None:
    """Write the page of a study: studies/STUDY/report.html."""
    from hpo.cli.output import console
    from hpo.folders import runs_folder, study_folder
    from hpo.report import write_report
    from hpo.runs import RunStore
    from hpo.storage import open_storage
    from hpo.study import open_study
    from hpo.summary import summarize

    opened = open_study(open_storage(storage, create=False), study)
    summary = summarize(opened, storage_url=storage)
    folder = study_folder(storage, study)
    path = write_report(summary, opened, RunStore(runs_folder(storage)), folder)
    console.print(f"Page: {path}", soft_wrap=True)


def dashboard(
    storage: StorageOption = DEFAULT_URL,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8080,
) -> None:
    """Open optuna-dashboard on the studies, with their curves as artifacts."""
    from hpo.cli.output import say
    from hpo.dashboard import serve
    from hpo.folders import artifacts_folder

    say(f"optuna-dashboard: http://{host}:{port}/ (Ctrl-C ends it)")
    serve(storage, folder=artifacts_folder(storage), host=host, port=port)
