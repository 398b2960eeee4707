"""The command that trains a recorded trial again: reproduce."""

import time
from typing import Annotated, Final

import typer

from hpo.cli.options import JsonOption, MovedDataOption, QuietOption, StorageOption, StudyArgument
from hpo.storage_url import DEFAULT_URL

_SECONDS_BETWEEN_LINES: Final = 3.0


def reproduce(
    study: StudyArgument,
    trial: Annotated[
        int, typer.Argument(metavar="TRIAL", help="Number of a trial, as --json has it.")
    ],
    device: Annotated[
        str | None,
        typer.Option("--device", help="auto, cpu, cuda or cuda:1. Default: as recorded."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, bf16, fp32. Default: as recorded.")
    ] = None,
    data: MovedDataOption = None,
    storage: StorageOption = DEFAULT_URL,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a trial again, never from the run store, and compare every recorded number.

    Ends with 0 where they are equal, or equal within rounding, with 1 where they are different.

    Example:

        hpo reproduce grid-batch_size-90aa3f32 4
    """
    from hpo.cli.output import print_json, print_line, say
    from hpo.folders import runs_folder
    from hpo.reproduce import Reproduction, sentences, to_document
    from hpo.reproduce import reproduce as train_again
    from hpo.runs import RunStore
    from hpo.session import move_data
    from hpo.storage import open_storage
    from hpo.study import open_study

    if data is not None:
        move_data(study, storage, data)
    opened = open_study(open_storage(storage, create=False), study)
    runs = RunStore(runs_folder(storage))
    shown = time.monotonic()
    for event in train_again(opened, trial, runs, device=device, precision=precision):
        if isinstance(event, Reproduction):
            found = event
        elif not quiet and time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            same = "as recorded" if event.is_equal else "not as recorded"
            say(f"epoch {event.epoch}/{event.n_epochs}: {same}")
    if json:
        print_json(to_document(found))
    else:
        for line in sentences(found):
            print_line(line)
    if found.judgment.result == "different":
        raise typer.Exit(1)
