"""Every option is declared once here and spelled the same in every command."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from hpo.config import Activation
from hpo.option_texts import read_input_scale

DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="HPO_DATA",
        help="The X-rays: a folder or an .npz file. Without it, synthetic ones (the phantom).",
    ),
]
MovedDataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data", help="Where the study's data are now, if they were moved; recorded."),
]
SpaceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--space", envvar="HPO_SPACE", help="A space file, or the name of a shipped one."
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Fix a hyperparameter. Repeatable."),
]
ValuesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--values",
        metavar="[NAME=]V,V,…",
        help="Other values for a swept parameter; NAME= where several are swept. Repeatable.",
    ),
]
StudyOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="NAME",
        help="Name for this study (default: generated from the settings).",
    ),
]
StorageOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--storage",
        metavar="URL",
        envvar="HPO_STORAGE",
        help="Database of the studies: sqlite:///FILE or postgresql://…",
    ),
]
RepeatsOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--repeats", help="Trainings per configuration, each on its own fold."),
]
EpochsOption: TypeAlias = Annotated[
    int | None, typer.Option("--epochs", help="Epochs of every training.")
]
SeedOption: TypeAlias = Annotated[
    int,
    typer.Option("--seed", min=0, help="Seed and fold of the first repeat, and the sampler's."),
]
DeviceOption: TypeAlias = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")
]
PrecisionOption: TypeAlias = Annotated[
    str, typer.Option("--precision", help="Matrix products of the first layer: auto, bf16, fp32.")
]
LanesOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--lanes",
        envvar="HPO_LANES",
        metavar="auto|N",
        help="Number of trainings to run in parallel (default: auto).",
    ),
]
MetricOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="What to optimize: accuracy, balanced_accuracy, auroc, log_loss or brier of the "
        "validation images; stress_… is its mean over changed ones (docs/stress.md).",
    ),
]
DryRunOption: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Forecast trainings, time and memory; train nothing.")
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]
QuietOption: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print no progress.")]
StudyArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study; `hpo show` lists them.")
]
InputScaleOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--input-scale",
        metavar="unit|symmetric|raw|image|MEAN,STD",
        callback=read_input_scale,
        help="What the network takes: unit, 0..1 (the default), symmetric, -1..1, raw, 0..255, "
        "image, each image standardized, or MEAN,STD as in torchvision's Normalize.",
        show_default=False,
    ),
]
ActivationOption: TypeAlias = Annotated[
    Activation | None,
    typer.Option(
        "--activation",
        help="Activation of the hidden layers, which weights do not tell. Default relu.",
        show_default=False,
    ),
]
HasSigmoidOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--has-sigmoid",
        help="Use if the network ends in a Sigmoid and a second sigmoid was applied in training.",
    ),
]
