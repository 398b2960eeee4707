"""The command that opens the sealed test of a study, or tests weights of others: evaluate."""

from pathlib import Path
from typing import Annotated, Final

import typer

from hpo.cli.command_line import command_line, is_from
from hpo.cli.options import (
    ActivationOption,
    HasSigmoidOption,
    InputScaleOption,
    JsonOption,
    StorageOption,
)
from hpo.errors import UsageError
from hpo.files import at_home
from hpo.storage.url import DEFAULT_URL

_OF_WEIGHTS: Final = ("input_scale", "activation", "has_sigmoid")
_OF_STUDIES: Final = ("all_", "storage")


def evaluate(
    context: typer.Context,
    study: Annotated[
        str | None,
        typer.Argument(metavar="STUDY", help="Name of a study; `hpo show` lists them."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            parser=at_home,
            metavar="MODEL",
            help="Evaluate a weights file (or a folder of them) instead of a study.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="HPO_DATA",
            help="With --weights: the X-rays. Of a study: where its data are now, if they were "
            "moved; recorded, and never taken from HPO_DATA.",
        ),
    ] = None,
    input_scale: InputScaleOption = None,
    activation: ActivationOption = None,
    has_sigmoid: HasSigmoidOption = False,
    all_: Annotated[
        bool,
        typer.Option(
            "--all", help="Evaluate every configuration of a search, not only the winner."
        ),
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

    A configuration of several repeats is told by their mean, and by their ensemble: the mean of
    their probabilities, taken as one model.

    With --weights, a file from elsewhere is tested on --data, or the ensemble of a folder. Its
    network is found from the shapes; --input-scale, --activation and --has-sigmoid say what
    weights do not tell.

    Examples:

        hpo evaluate STUDY

        hpo evaluate STUDY --threshold sensitivity=0.95 --json

        hpo evaluate --weights weights.pt --data chest_xray --input-scale raw
    """
    _check_usage(context, study, weights)
    if weights is not None:
        from hpo.cli import weights as others
        from hpo.cli.predictions import unseen

        how = unseen(input_scale, activation, has_sigmoid)
        others.evaluate(weights, data, how=how, threshold=threshold, json=json)
    elif study is not None:
        if data is not None and is_from(context, "data", "COMMANDLINE"):
            from hpo.run.session import move_data

            move_data(study, storage, data)
        _open_test(study, storage, threshold=threshold, is_all=all_, json=json)


def _check_usage(context: typer.Context, study: str | None, weights: Path | None) -> None:
    """Check that there is one thing to evaluate, and no option of the other.

    Raises:
        UsageError: says which to leave out.
    """
    if (study is None) == (weights is None):
        raise UsageError(
            "hpo evaluate takes one of both: the name of a study (`hpo show` lists them), or "
            "--weights MODEL."
        )
    others = _OF_WEIGHTS if weights is None else _OF_STUDIES
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in others and is_from(context, name, "COMMANDLINE"):
            home = "--weights" if weights is None else "a study"
            raise UsageError(f"{parameter.opts[0]} belongs to {home}. Leave it out.")


def _open_test(study: str, storage: str, *, threshold: str, is_all: bool, json: bool) -> None:
    from hpo.cli.evaluation import document, print_evaluation, print_openings
    from hpo.cli.output import print_json, print_path
    from hpo.evaluate import open_test
    from hpo.report import write_report
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import runs_folder, study_folder
    from hpo.storage.runs import RunStore
    from hpo.study.gathering import summarize
    from hpo.study.study import open_study

    place = open_storage(storage, create=False)
    opened = open_study(place, study)
    evaluation = open_test(
        opened, place, threshold=threshold, is_all=is_all, command=command_line()
    )
    summary = summarize(opened, storage_url=storage)
    if not json:
        print_evaluation(evaluation, summary)
        print_openings(summary)
    folder = study_folder(storage, study)
    page = write_report(summary, opened, RunStore(runs_folder(storage)), folder)
    if json:
        print_json(document(evaluation, summary) | {"report": str(page)})
    else:
        print_path(f"Page: {page}")
