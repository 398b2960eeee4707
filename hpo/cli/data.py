"""`hpo data`: inspect a data set, generate the phantom, download a public data set."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from hpo.cli import options
from hpo.cli.commands import Command, Group
from hpo.cli.output import emit, print_path
from hpo.files import at_home

_HELP = "Inspect a data set, generate the phantom, download a public data set."
app = typer.Typer(cls=Group, no_args_is_help=True, help=_HELP)


@app.command(cls=Command)
@options.reads_data
def info(
    of_data: dict[str, Any],
    sheet: Annotated[
        Path | None,
        Option(
            parser=at_home,
            metavar="PATH",
            help="Write a contact sheet of the images to this PNG file.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Show the contents of a data set: splits, classes, patients, image sizes, folds.

    Example:

        hpo data info --data chest_xray --sheet sheet.png
    """
    from hpo.data.dataset import seal
    from hpo.data.images import contact_sheet
    from hpo.data.source import open_data
    from hpo.views.data import show_dataset

    dataset = open_data(*options.read_data_options(of_data))
    if sheet:
        contact_sheet(dataset, sheet)
    sealed = seal(dataset)
    folds = [sealed.fold(repeat) for repeat in range(dataset.n_folds)]
    emit(*show_dataset(dataset, folds), json=json)


@app.command(cls=Command)
@options.reads_data
def audit(of_data: dict[str, Any], json: options.Json = False) -> None:
    """Count duplicates, and patients on both sides of a split.

    Example:

        hpo data audit --data chest_xray
    """
    from hpo.data.audit import audit as find
    from hpo.data.source import open_data
    from hpo.views.data import show_audit

    dataset = open_data(*options.read_data_options(of_data))
    emit(*show_audit(dataset, find(dataset)), json=json)


@app.command(cls=Command)
def describe(
    path: Annotated[Path, Argument(metavar="FOLDER|CSV", help="Folders of images, or a table.")],
    positive: options.Positive = None,
    negative: options.Negative = None,
    patient_regex: options.PatientRegex = None,
    skip_broken: options.SkipBroken = False,
) -> None:
    """Print a manifest of a data set to edit, with everything that was found and guessed.

    Example:

        hpo data describe labels.csv > chest.toml
    """
    from hpo.data.manifest import from_options
    from hpo.data.source import describe

    manifest = from_options(
        positive=positive, negative=negative, patient_regex=patient_regex, skip_broken=skip_broken
    )
    for line in describe(path, manifest).splitlines():
        print_path(line)


@app.command(cls=Command)
def generate(
    folder: Annotated[Path, Argument(metavar="DIR", help="A new folder.")],
    seed: Annotated[int, Option(min=0, help="Seed of the synthetic patients.")] = 0,
    size: Annotated[int, Option(min=16, max=1024, help="Side of the images in pixels.")] = 64,
    json: options.Json = False,
) -> None:
    """Write synthetic X-rays (the phantom) as PNG files, in the folders of the public release.

    Example:

        hpo data generate phantom --size 64
    """
    from hpo.data.phantom import write_phantom

    write_phantom(folder, seed=seed, size=size)
    emit({"path": str(folder)}, f"{folder} is ready: --data {folder}", json=json)


@app.command(cls=Command)
def download(
    folder: Annotated[Path, Argument(metavar="DIR", help="Where to put the file.")],
    size: Annotated[int, Option(help="Side of the images in pixels: 28, 64, 128 or 224.")] = 28,
    json: options.Json = False,
) -> None:
    """Download PneumoniaMNIST, 5,856 real chest X-rays, from Zenodo.

    Example:

        hpo data download data --size 64
    """
    from hpo.data.cache import download as fetch

    path = fetch(folder, size=size, show_progress=sys.stderr.isatty())
    emit({"path": str(path)}, f"{path} is ready: --data {path}", json=json)
