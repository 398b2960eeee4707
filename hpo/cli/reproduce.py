"""The command that trains a recorded trial again: reproduce."""

import time
from collections.abc import Collection
from typing import Annotated, Final

import typer

from hpo.cli.options import JsonOption, MovedDataOption, QuietOption, StorageOption, StudyArgument
from hpo.errors import StudyError, UsageError
from hpo.storage.url import DEFAULT_URL

_SECONDS_BETWEEN_LINES: Final = 3.0


def reproduce(
    study: StudyArgument,
    configuration: Annotated[
        int | None,
        typer.Argument(
            metavar="CONFIGURATION",
            help="Number of a configuration: its # on the page, in exports and as --json has it.",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", help="Number of its repeat, from 1.")] = 1,
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial",
            help="Optuna's number of a trial, from 0, instead of a configuration.",
            show_default=False,
        ),
    ] = None,
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
    """Train a repeat of a configuration again, and compare every recorded number.

    It is never read from the run store.

    Ends with 0 where they are equal, or equal within rounding, with 1 where they are different.

    Example:

        hpo reproduce grid-batch_size-90aa3f32 2 --repeat 3
    """
    if (configuration is None) == (trial is None):
        raise UsageError("hpo reproduce takes the number of a configuration, or --trial NUMBER.")
    from hpo.cli.output import print_json, print_line, say
    from hpo.run.reproduce import Reproduction
    from hpo.run.reproduce import reproduce as train_again
    from hpo.run.session import move_data
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import runs_folder
    from hpo.storage.runs import RunStore
    from hpo.study.gathering import summarize
    from hpo.study.study import open_study

    if data is not None:
        move_data(study, storage, data)
    opened = open_study(open_storage(storage, create=False), study)
    runs = RunStore(runs_folder(storage))
    repeats = {
        (c.number, r.number): r.trial
        for c in summarize(opened, storage_url=storage).configurations
        for r in c.repeats
    }
    if trial is None:
        trial = repeats.get((configuration or 0, repeat))
    if trial is None:
        raise StudyError(_missing(study, configuration, repeats))
    place = next((place for place, number in repeats.items() if number == trial), None)
    name = f"Configuration {place[0]}, repeat {place[1]}," if place else ""
    shown = time.monotonic()
    for event in train_again(opened, trial, runs, name=name, device=device, precision=precision):
        if isinstance(event, Reproduction):
            found = event
        elif not quiet and time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            epoch, n_epochs, is_equal = event
            say(f"epoch {epoch}/{n_epochs}: {'as recorded' if is_equal else 'not as recorded'}")
    if json:
        number, repeat_number = place or (None, None)
        print_json(found.to_document() | {"number": number, "repeat": repeat_number})
    else:
        for line in found.sentences():
            print_line(line)
    if found.result == "different":
        raise typer.Exit(1)


def _missing(study: str, number: int | None, repeats: Collection[tuple[int, int]]) -> str:
    there = [repeat for configuration, repeat in repeats if configuration == number]
    if there:
        return f"Configuration {number} of {study} has no such repeat: it has 1 to {max(there)}."
    last = max((configuration for configuration, _ in repeats), default=0)
    return f"The study {study} has no configuration {number}: its numbers go up to {last}."
