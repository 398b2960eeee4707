"""Every option is declared once here and spelled the same in every command."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from hpo.choices import INPUT_SCALES, Activation, read_mean_and_deviation
from hpo.errors import UsageError, fault_list


def _check_input_scale(text: str | None) -> str | None:
    if text is not None and text not in INPUT_SCALES:
        read_mean_and_deviation(text)
    return text


StudyArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study; `hpo show` lists them.")
]
ParamsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME", help="Hyperparameter to vary. Repeatable."),
]
ValuesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--values",
        metavar="[NAME=]V,V,…",
        help="Other values for a hyperparameter; NAME= where several vary. Repeatable.",
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Fix a hyperparameter. Repeatable."),
]
RepeatsOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--repeats", help="Trainings per configuration, each on another fold."),
]
EpochsOption: TypeAlias = Annotated[
    int | None, typer.Option("--epochs", help="Epochs of every training.")
]
DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="HPO_DATA",
        help="X-rays: a folder or an .npz file (default: the phantom, synthetic images).",
    ),
]
MovedDataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data", help="Where the data of the study are now, if they were moved."),
]
SpaceOption: TypeAlias = Annotated[
    str, typer.Option("--space", envvar="HPO_SPACE", help="A space file, or the name of one.")
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
SeedOption: TypeAlias = Annotated[
    int,
    typer.Option("--seed", min=0, help="Seed and fold of the first repeat, seed of the sampler."),
]
DeviceOption: TypeAlias = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")
]
PrecisionOption: TypeAlias = Annotated[
    str,
    typer.Option("--precision", help="Precision of the first layer: auto, bf16 or fp32."),
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
        help="Validation metric to optimize: accuracy, balanced_accuracy, auroc, log_loss or "
        "brier. With stress_ before it: its mean over altered images (docs/stress.md).",
    ),
]
TimeoutOption: TypeAlias = Annotated[
    float | None,
    typer.Option("--timeout", help="Stop starting new trainings after this many seconds."),
]
DryRunOption: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Estimate trainings, time and memory; train nothing.")
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]
QuietOption: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
InputScaleOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--input-scale",
        metavar="unit|symmetric|raw|image|MEAN,STD",
        callback=_check_input_scale,
        help="Scale of the network's input: unit (0 to 1, the default), symmetric (-1 to 1), raw "
        "(0 to 255), image (each image standardized), or MEAN,STD as in torchvision's Normalize.",
        show_default=False,
    ),
]
ActivationOption: TypeAlias = Annotated[
    Activation | None,
    typer.Option(
        "--activation",
        help="Activation of the hidden layers, which a weights file does not name. Default relu.",
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

_PLACES: Final = ("data", "space", "storage")


def command_line(context: typer.Context | None = None) -> str:
    """Return the command line that this process was started with, for the record of a study.

    With its context it names what it took from the environment too, which may differ elsewhere.
    """
    words = ["hpo", *sys.argv[1:]]
    for parameter in context.command.params if context else ():
        name = parameter.name or ""
        if context and name in _PLACES and is_from(context, name, "ENVIRONMENT"):
            words += [parameter.opts[0], str(context.params[name])]
    return shlex.join(words)


def is_from(context: typer.Context, name: str, source: str) -> bool:
    """Whether the value of a parameter is from this source: COMMANDLINE or ENVIRONMENT."""
    found = context.get_parameter_source(name)
    return found is not None and found.name == source


def read_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE` of a repeatable option.

    Raises:
        UsageError: a text without `=`, or a name given twice; all faults at once.
    """
    pairs: dict[str, str] = {}
    faults = []
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value:
            faults.append(f"{text!r} is not of the form NAME=VALUE.")
        elif name in pairs:
            faults.append(f"{name} is given twice.")
        pairs[name] = value
    if faults:
        raise UsageError(fault_list(f"{option} is invalid:", faults))
    return pairs


def read_values(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Read `--values`: `NAME=V,V`, or `V,V` alone where one hyperparameter is varied.

    Raises:
        UsageError: it is not clear which the values are for, or it is not varied.
    """
    if len(names) == 1:
        texts = [text if "=" in text else f"{names[0]}={text}" for text in texts]
    pairs = read_pairs("--values", texts)
    faults = [f"{name} is not varied. Add --param {name}." for name in pairs if name not in names]
    if faults:
        raise UsageError(fault_list("--values is invalid:", faults))
    return pairs
