"""The command that looks at several studies at once: compare."""

from typing import Annotated

import typer

from hpo.cli.options import JsonOption, StorageOption
from hpo.errors import UsageError
from hpo.storage.url import DEFAULT_URL


def compare(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY STUDY…", help="Studies on the same data.")
    ],
    best: Annotated[
        bool | None,
        typer.Option(
            "--best/--all",
            help="Only the best of each study, or every configuration. Default: the best of "
            "studies with more than six.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="What to compare by: a metric of the validation images. Default: the score that "
            "all of them optimize, else accuracy.",
            show_default=False,
        ),
    ] = None,
    storage: StorageOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Compare studies: their curves in one figure, their configurations pair by pair.

    Repeats with the same seed and fold are compared with each other.

    Example:

        hpo compare grid-loss-1f0c5a7e grid-activation-93b1d2c4
    """
    names = list(dict.fromkeys(studies))
    if len(names) < 2:
        raise UsageError(
            f"hpo compare takes two studies or more, but got {names[0]} alone: hpo compare "
            f"{names[0]} OTHER. `hpo show` lists them."
        )
    from hpo.cli.comparison import print_comparison
    from hpo.cli.output import print_json
    from hpo.evaluate.studies import compare as put_side_by_side
    from hpo.evaluate.studies import to_document
    from hpo.report import write_comparison
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import comparison_page, runs_folder
    from hpo.storage.runs import RunStore
    from hpo.study.gathering import summarize
    from hpo.study.study import open_study

    opened = open_storage(storage, create=False)
    summaries = [summarize(open_study(opened, name), storage_url=storage) for name in names]
    comparison = put_side_by_side(summaries, best=best, metric=metric)
    path = comparison_page(storage, names)
    write_comparison(comparison, RunStore(runs_folder(storage)), path)
    if json:
        print_json(to_document(comparison) | {"report": str(path)})
    else:
        print_comparison(comparison, path)
