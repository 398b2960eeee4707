"""Every option is declared once here and spelled the same in every command."""

import functools
import inspect
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Argument, Context, Option

from hpo import choices
from hpo.cli.commands import complete_name, complete_pair, complete_space, complete_study
from hpo.errors import UsageError, fault_list
from hpo.storage.url import DEFAULT_URL


def _check_input_scale(text: str | None) -> str | None:
    if text is not None and text not in choices.INPUT_SCALES:
        choices.read_mean_and_deviation(text)
    return text


STUDY_HELP: Final = "A study: its name or the start of it, its number in `hpo show`, or latest."
StudyArgument = Annotated[
    str, Argument(metavar="STUDY", help=STUDY_HELP, autocompletion=complete_study)
]
Names = Annotated[
    list[str] | None,
    Argument(metavar="[NAME]…", help="Hyperparameters to vary.", autocompletion=complete_name),
]
Params = Annotated[
    list[str] | None,
    Option(
        metavar="NAME",
        help="A hyperparameter to vary, as an option. Repeatable.",
        autocompletion=complete_name,
    ),
]
Values = Annotated[
    list[str] | None,
    Option(
        metavar="[NAME=]V,V,…",
        help="Values for a hyperparameter; add NAME= if several vary. Repeatable.",
        autocompletion=complete_pair,
    ),
]
Fixed = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="NAME=VALUE",
        help="Fix a hyperparameter. Repeatable.",
        autocompletion=complete_pair,
    ),
]
Repeats = Annotated[
    int | None,
    Option(help="Trainings per configuration, each on another fold (default: 5; 1 in a search)."),
]
Epochs = Annotated[
    int | None, Option(help="Epochs per training (default: from the space, often 30).")
]
Data = Annotated[
    Path | None,
    Option(
        envvar="HPO_DATA",
        help="X-rays: a folder, table, manifest or .npz file (default: synthetic images).",
    ),
]
Positive = Annotated[
    list[str] | None,
    Option(
        metavar="NAME",
        help="Class that counts as positive; all others become the negative class. Repeatable.",
    ),
]
Negative = Annotated[
    list[str] | None,
    Option(
        metavar="NAME",
        help="Class that counts as negative; with --positive, others are left out. Repeatable.",
    ),
]
PatientRegex = Annotated[
    str | None,
    Option(
        metavar="REGEX",
        help="Regular expression whose first group is the patient in the name of an image.",
    ),
]
MergeVal = Annotated[
    bool,
    Option("--merge-val", help="Merge the validation split into training and use folds instead."),
]
SharedPatients = Annotated[
    bool,
    Option(
        "--allow-shared-patients",
        help="Allow patients who are on both sides of a split, such as test and training.",
    ),
]
SkipBroken = Annotated[
    bool, Option("--skip-broken", help="Leave out images that are missing or cannot be read.")
]
MovedData = Annotated[
    Path | None, Option(help="Where the data of the study are now, if they were moved.")
]
Model = Annotated[
    str | None,
    Option(
        "--model",
        metavar="FILE.py:NAME",
        help="Custom network: a function in a Python file, which is run (docs/models.md).",
    ),
]
SpaceName = Annotated[
    str,
    Option(envvar="HPO_SPACE", help="A space file or its name.", autocompletion=complete_space),
]
StudyName = Annotated[
    str | None,
    Option(metavar="NAME", help="Name for this study (default: generated from the settings)."),
]
Storage = Annotated[
    str,
    Option(
        metavar="URL",
        envvar="HPO_STORAGE",
        help="Database of the studies: sqlite:///FILE or postgresql://…",
    ),
]
Seed = Annotated[
    int, Option(metavar="N", min=0, help="Seed and fold of the first repeat; seed of the sampler.")
]
Device = Annotated[str, Option(help="auto, cpu, cuda or cuda:1.")]
Precision = Annotated[str, Option(help="Precision of the first layer: auto, bf16 or fp32.")]
Lanes = Annotated[
    int | None,
    Option(
        parser=choices.read_lanes,
        envvar="HPO_LANES",
        metavar="auto|N",
        help="Number of trainings to run in parallel (default: auto).",
    ),
]
Ray = Annotated[
    str | None,
    Option(
        metavar="auto|HOST:PORT",
        help="Train on the machines of a Ray cluster (docs/ray.md): its address, or auto for "
        "RAY_ADDRESS or a new cluster on this machine.",
    ),
]
MixedProcessors = Annotated[
    bool,
    Option(
        "--mixed-processors",
        help="With --ray: allow processors that round differently. This is recorded.",
    ),
]


def read_number(text: str) -> int:
    """Read the number of a configuration, as results print it: #2 or 2."""
    if not text.removeprefix("#").isdecimal():
        raise UsageError(f"CONFIGURATION must be a number, such as 2 or #2, but is {text[:20]!r}.")
    return int(text.removeprefix("#"))


Metric = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="Validation metric to optimize: accuracy, balanced_accuracy, auroc, log_loss or "
        "brier. The prefix stress_ averages over altered images (docs/stress.md). Default: "
        "accuracy; stress_accuracy in a search.",
    ),
]
Margin = Annotated[
    float | None,
    Option(
        metavar="DIFFERENCE",
        help="Smallest difference that matters, in points or the units of the score (default: 1 "
        "point of accuracy or AUROC, 0.02 of log loss, 0.005 of Brier score).",
    ),
]
ComparedWeights = Annotated[
    choices.ScoredWeights | None,
    Option(
        help="Compare scores of the last weights or of the average (default: the weights that the "
        "study scores)."
    ),
]
Timeout = Annotated[
    float | None,
    Option(metavar="SECONDS", help="Stop starting new trainings after this time (default: none)."),
]
DryRun = Annotated[
    bool, Option("--dry-run", help="Estimate trainings, time and memory; train nothing.")
]
Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Quiet = Annotated[bool, Option("--quiet", help="Show no progress.")]
NoImages = Annotated[
    bool, Option("--no-images", envvar="HPO_NO_IMAGES", help="Show no X-rays on the page.")
]
Open = Annotated[bool, Option("--open", help="Open the page in the browser.")]
Threshold = Annotated[
    str | None,
    Option(
        metavar="0.5|youden|sensitivity=X",
        help="Probability above which an image is classified as positive. The last two are "
        "chosen on validation images. Default: the rule of the last `hpo evaluate`, else 0.5.",
    ),
]
InputScale = Annotated[
    str | None,
    Option(
        metavar="unit|symmetric|raw|image|MEAN,STD",
        callback=_check_input_scale,
        help="Scale of the network's input: unit (0 to 1, the default), symmetric (-1 to 1), raw "
        "(0 to 255), image (each image standardized), or MEAN,STD as in torchvision's Normalize.",
    ),
]
HiddenActivation = Annotated[
    choices.Activation | None,
    Option(help="Activation of the hidden layers; not in a weights file (default: relu)."),
]
HasSigmoid = Annotated[
    bool,
    Option(
        "--has-sigmoid",
        help="Use if the network ends in a Sigmoid and a second sigmoid was applied in training.",
    ),
]

_OF_DATA: Final[Mapping[str, tuple[Any, Any]]] = {
    "data": (Data, None),
    "positive": (Positive, None),
    "negative": (Negative, None),
    "patient_regex": (PatientRegex, None),
    "merge_val": (MergeVal, False),
    "allow_shared_patients": (SharedPatients, False),
    "skip_broken": (SkipBroken, False),
}
_OF_RESUMING: Final[Mapping[str, tuple[Any, Any]]] = {
    "model": (Model, None),
    "storage": (Storage, DEFAULT_URL),
    "lanes": (Lanes, None),
    "ray": (Ray, None),
    "mixed_processors": (MixedProcessors, False),
    "margin": (Margin, None),
    "timeout": (Timeout, None),
}
_OF_TRAINING: Final[Mapping[str, tuple[Any, Any]]] = {
    **_OF_DATA,
    **_OF_RESUMING,
    "set_": (Fixed, None),
    "repeats": (Repeats, None),
    "epochs": (Epochs, None),
    "space": (SpaceName, choices.DEFAULT_SPACE),
    "study": (StudyName, None),
    "seed": (Seed, 0),
    "device": (Device, "auto"),
    "precision": (Precision, "auto"),
    "metric": (Metric, None),
}
_OF_OUTPUT: Final[Mapping[str, tuple[Any, Any]]] = {
    "dry_run": (DryRun, False),
    "json": (Json, False),
    "quiet": (Quiet, False),
    "no_images": (NoImages, False),
    "open_": (Open, False),
}


def _gather(
    group: Mapping[str, tuple[Any, Any]], into: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds a group of options to a command, as one argument."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = []
        for parameter in inspect.signature(command).parameters.values():
            own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            added = [own.replace(name=n, annotation=k, default=d) for n, (k, d) in group.items()]
            parameters += added if own.name == into else [own]

        @functools.wraps(command)
        def with_options(**given: Any) -> None:
            gathered = {name: given.pop(name) for name in group}
            command(**{into: gathered}, **given)

        # Typer reads the options of a command from these two.
        with_options.__annotations__ = {p.name: p.annotation for p in parameters}
        signature = inspect.Signature(parameters)
        setattr(with_options, "__signature__", signature)  # noqa: B010
        return with_options

    return decorate


reads_data: Final = _gather(_OF_DATA, "of_data")
trains: Final = _gather(_OF_TRAINING, "of_training")
continues: Final = _gather(_OF_RESUMING, "of_training")
shows: Final = _gather(_OF_OUTPUT, "of_output")


def read_data_options(given: dict[str, Any]) -> tuple[Path | None, Any]:
    """Return the path of the data and their manifest, from the options of `_OF_DATA`."""
    from hpo.data.manifest import from_options

    of_data = {name: given.pop(name) for name in _OF_DATA}
    return of_data.pop("data"), from_options(**of_data)


_PLACES: Final = ("data", "space", "storage")


def command_line(context: Context | None = None) -> str:
    """Return the command line of this process, as a study records it.

    With a context, values from the environment are included, as they may differ elsewhere.
    """
    words = ["hpo", *sys.argv[1:]]
    if context:
        from_environment = options_from("ENVIRONMENT", context)
        for name in filter(from_environment.get, _PLACES):
            words += [from_environment[name], str(context.params[name])]
    return shlex.join(words)


def options_from(source: str, context: Context) -> dict[str, str]:
    """Return the options whose value is from COMMANDLINE or ENVIRONMENT, by parameter."""
    flags = {}
    for parameter in context.command.params:
        name = parameter.name or ""
        if (origin := context.get_parameter_source(name)) and origin.name == source:
            flags[name] = parameter.opts[0]
    return flags


def read_names(texts: Sequence[str], values: Sequence[str]) -> tuple[list[str], list[str]]:
    """Read NAME and NAME=V,V arguments; return the names and all values.

    Raises:
        UsageError: a text is a path or a model.
    """
    from hpo.space.records import names_of

    names, all_values = [], list(values)
    for text in texts:
        name, sign, _ = text.partition("=")
        if name not in names_of(None) and Path(text).exists():
            raise UsageError(
                f"{text} is a path, not a hyperparameter. For data, write --data {text}"
            )
        if text.partition(":")[0].endswith(".py"):
            raise UsageError(f"{text} is not a hyperparameter. For a model, write --model {text}")
        if sign:
            all_values.append(text)
        names.append(name)
    return list(dict.fromkeys(names)), all_values


def read_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE` of a repeatable option.

    Raises:
        UsageError: a text without `=`, or a repeated name; all faults at once.
    """
    pairs: dict[str, str] = {}
    faults = []
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value:
            faults.append(f"{text!r} must have the form NAME=VALUE.")
        elif name in pairs:
            faults.append(f"{name} is given twice.")
        pairs[name] = value
    if faults:
        raise UsageError(fault_list(f"{option} is invalid:", faults))
    return pairs


def read_values(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Read `--values`: `NAME=V,V`, or `V,V` alone if one hyperparameter is varied.

    Raises:
        UsageError: it is unclear what the values are for.
    """
    if len(names) == 1:
        texts = [text if "=" in text else f"{names[0]}={text}" for text in texts]
    return read_pairs("--values", texts)
