"""The command that opens the sealed test: evaluate."""

from typing import Annotated

import typer

from hpo.cli.options import JsonOption, StorageOption, StudyArgument
from hpo.storage_url import DEFAULT_URL


def evaluate(
    study: StudyArgument,
    all_: Annotated[
        bool, typer.Option("--all", help="Of a search, every configuration; not the winner only.")
    ] = False,
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold",
            metavar="0.5|youden|sensitivity=X",
            help="Above it means pneumonia. The last two are chosen on validation, per repeat.",
        ),
    ] = "0.5",
    storage: StorageOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Open the sealed test of a study: accuracy, sensitivity, AUROC …, each with an interval.

    Nothing is trained. The opening goes on record and is told in every later table and page.

    Examples:

        hpo evaluate STUDY

        hpo evaluate STUDY --threshold sensitivity=0.95 --json
    """
    from hpo.cli.command_line import command_line
    from hpo.cli.evaluation import document, print_evaluation, print_openings
    from hpo.cli.output import console, print_json
    from hpo.evaluate import Request, open_test
    from hpo.folders import runs_folder, study_folder
    from hpo.report import write_report
    from hpo.runs import RunStore
    from hpo.storage import open_storage
    from hpo.study import open_study
    from hpo.summary import summarize

    place = open_storage(storage, create=False)
    opened = open_study(place, study)
    request = Request(threshold=threshold, is_all=all_, command=command_line())
    evaluation = open_test(opened, place, request)
    summary = summarize(opened, storage_url=storage)
    folder = study_folder(storage, study)
    page = write_report(summary, opened, RunStore(runs_folder(storage)), folder)
    if json:
        print_json(document(evaluation, summary) | {"report": str(page)})
        return
    print_evaluation(evaluation, summary)
    print_openings(summary)
    console.print(f"Page: {page}", soft_wrap=True)
