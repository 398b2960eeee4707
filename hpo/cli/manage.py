"""The commands that take a study out of the database: export, delete."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from hpo.cli.options import (
    JsonOption,
    LanesOption,
    MovedDataOption,
    StorageOption,
    StudyArgument,
)
from hpo.files import at_home
from hpo.option_texts import check_lanes, read_lanes
from hpo.storage.url import DEFAULT_URL
from hpo.untrusted import printable


def export(
    study: StudyArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=at_home,
            metavar="PATH",
            help="Folder to write; default studies/STUDY/export.",
        ),
    ] = None,
    weights: Annotated[
        Literal["best", "all", "none"],
        typer.Option("--weights", help="Of which configurations; not kept ones train again."),
    ] = "best",
    data: MovedDataOption = None,
    lanes: LanesOption = "auto",
    storage: StorageOption = DEFAULT_URL,
    json: JsonOption = False,
) -> None:
    """Write a study as CSV, with a folder per configuration: curves, weights, opened test."""
    from hpo.cli.output import print_json, print_path, say
    from hpo.evaluate import read_evaluation
    from hpo.export import Exporter
    from hpo.export import export as write
    from hpo.run.reproduce import retrain
    from hpo.run.session import move_data
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import runs_folder, study_folder
    from hpo.storage.runs import RunStore
    from hpo.study.gathering import summarize
    from hpo.study.study import open_study

    n_lanes = read_lanes(lanes)
    check_lanes(n_lanes)
    if data is not None:
        move_data(study, storage, data)
    opened = open_study(open_storage(storage, create=False), study)
    home = study_folder(storage, study)
    exporter = Exporter(
        summary=summarize(opened, storage_url=storage),
        runs=RunStore(runs_folder(storage)),
        weights=home / "weights",
        train=partial(retrain, opened, lanes=n_lanes),
        evaluation=read_evaluation(opened),
    )
    folder = out or home / "export"
    for line in write(exporter, folder, which=weights):
        say(line)
    if json:
        print_json({"study": study, "path": str(folder)})
    else:
        print_path(f"Exported to {folder}")


def delete(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: StorageOption = DEFAULT_URL,
) -> None:
    """Delete a study and its folder; what the run store holds stays."""
    from hpo.cli.output import count, print_line
    from hpo.run.session import delete_study
    from hpo.storage.opening import open_storage
    from hpo.storage.paths import has_other_database, runs_folder, study_folder
    from hpo.study.study import count_trials

    opened = open_storage(storage, create=False)
    n_trials = count_trials(opened, study)
    if not yes:
        question = f"Delete {printable(study)} with its {count(n_trials, 'trial')}?"
        typer.confirm(question, abort=True, err=True)
    delete_study(opened, study)
    print_line(
        f"Deleted {study}. Its trained results stay in the cache ({runs_folder(storage)}) and "
        "will be reused."
    )
    if (folder := study_folder(storage, study)).is_dir():
        why = "hpo has no record of writing them, they changed since, or lie behind a link"
        if has_other_database(storage):
            why = "another database lies beside this one, and its studies may have them too"
        print_line(f"Files in {folder} stay: {why}.")
