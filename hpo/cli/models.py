"""The commands that use trained models: evaluate, predict, reproduce."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer import Argument, Option

from hpo.cli import options
from hpo.cli.commands import complete_study
from hpo.cli.output import (
    emit,
    error_console,
    print_answer,
    print_json,
    print_line,
    print_table,
    say,
)
from hpo.errors import StorageError, StudyError, UsageError
from hpo.files import at_home, write_atomic
from hpo.storage.url import DEFAULT_URL

_OF_WEIGHTS: Final[tuple[str, ...]] = ("input_scale", "activation", "has_sigmoid")
_OF_STUDIES: Final[tuple[str, ...]] = ("all_", "storage", "on")
_SECONDS_BETWEEN_LINES: Final = 3.0


@options.reads_data
def evaluate(
    context: typer.Context,
    of_data: dict[str, Any],
    study: Annotated[
        str | None,
        Argument(metavar="[STUDY]", help=options.STUDY_HELP, autocompletion=complete_study),
    ] = None,
    weights: Annotated[
        Path | None,
        Option(
            parser=at_home,
            metavar="MODEL",
            help="Evaluate a weights file (or a folder of them) instead of a study.",
        ),
    ] = None,
    on: Annotated[
        Path | None,
        Option(
            parser=at_home,
            metavar="DATA",
            help="Test the best configuration on all images of another data set. It is recorded.",
        ),
    ] = None,
    input_scale: options.InputScale = None,
    activation: options.HiddenActivation = None,
    has_sigmoid: options.HasSigmoid = False,
    custom: options.Model = None,
    all_: Annotated[
        bool,
        Option("--all", help="Evaluate every configuration of a search, not only the winner."),
    ] = False,
    threshold: Annotated[
        str,
        Option(
            metavar="0.5|youden|sensitivity=X",
            help="Probability above which an image is classified as positive. The last two "
            "are chosen on the validation images of each repeat.",
        ),
    ] = "0.5",
    storage: options.Storage = DEFAULT_URL,
    no_images: options.NoImages = False,
    json: options.Json = False,
) -> None:
    """Evaluate a study on its test set: accuracy, AUROC and more, with intervals.

    Nothing is trained. Every use of the test set is recorded and shown in later tables and
    pages. With a study, --data is the new path of its data if they were moved.

    Results of a configuration are means over its repeats and, separately, those of their
    ensemble: one model that averages their probabilities.

    With --weights, a weights file from elsewhere, or a folder of them as an ensemble, is evaluated
    on --data. The architecture is found from the shapes; --input-scale, --activation and
    --has-sigmoid describe what a weights file does not contain.

    Examples:

        hpo evaluate STUDY

        hpo evaluate STUDY --threshold sensitivity=0.95 --json

        hpo evaluate STUDY --on other_hospital --positive covid

        hpo evaluate --weights weights.pt --data chest_xray --input-scale raw
    """
    if (study is None) == (weights is None):
        raise UsageError(
            "hpo evaluate takes either the name of a study (`hpo show` lists them) or "
            "--weights MODEL."
        )
    if study and Path(study).is_file():
        raise UsageError(f"{study} is a file. For weights, write --weights {study}")
    given = options.options_from("COMMANDLINE", context)
    if weights is not None:
        only = dict.fromkeys(_OF_STUDIES, "a study")
    else:
        only = dict.fromkeys(_OF_WEIGHTS, "--weights")
        of_others = ("custom", *(name for name in of_data if name != "data"))
        only |= dict.fromkeys(of_others if on is None else (), "--weights and --on")
    for name, home in only.items():
        if name in given:
            raise UsageError(f"{given[name]} is only for {home}. Leave it out.")
    if on is not None and all_:
        raise UsageError("--on tests only the best configuration. Leave --all out.")
    if weights is None and on is None:
        assert study
        moved = of_data["data"] if "data" in given else None  # HPO_DATA is for new studies.
        _evaluate_study(
            study, storage, moved, threshold=threshold, is_all=all_, no_images=no_images, json=json
        )
        return
    from hpo.data.source import open_data
    from hpo.evaluate.thresholds import check_rule, read_rule
    from hpo.views.weights import weights_document, weights_table
    from hpo.weights.network import read_unseen
    from hpo.weights.predict import evaluate_elsewhere, evaluate_weights

    rule = read_rule(threshold)
    if rule.is_chosen and weights is not None:
        raise UsageError(
            f"--threshold {rule.text} is chosen on validation images, which do not exist for "
            "weights from elsewhere. Give a number, such as 0.5."
        )
    unseen = read_unseen(input_scale, activation, has_sigmoid)
    data, manifest = options.read_data_options(of_data)
    dataset = open_data(on or data, manifest)
    check_rule(rule, len(dataset.class_names))
    if weights is None:
        assert study
        command = options.command_line()
        asked = threshold if "threshold" in given else None
        evaluation = evaluate_elsewhere(
            study, storage, dataset, threshold=asked, custom=custom, command=command
        )
    else:
        value = rule.value if "threshold" in given else None
        evaluation = evaluate_weights(
            weights, dataset, unseen=unseen, threshold=value, custom=custom
        )
    if not json:
        for note in (f"Network: {evaluation.architecture}", *evaluation.notes):
            say(note, style="dim")
    emit(weights_document(evaluation), weights_table(evaluation), json=json)


def _evaluate_study(
    study: str,
    storage: str,
    moved: Path | None,
    *,
    threshold: str,
    is_all: bool,
    no_images: bool,
    json: bool,
) -> None:
    from hpo.api import write_page
    from hpo.evaluate.test import open_test
    from hpo.study.gathering import read_study
    from hpo.study.test_access import statements
    from hpo.views.answer import answer
    from hpo.views.evaluations import evaluation_document, evaluation_table

    stored = read_study(study, storage, moved_data=moved)
    command = options.command_line()
    evaluation = open_test(stored.study, threshold=threshold, is_all=is_all, command=command)
    stored = read_study(study, storage)
    summary = stored.summary
    if not json:
        print_table(evaluation_table(evaluation, summary))
        for line in statements(summary.openings, n_complete=summary.count("complete")):
            print_line(line)
    page = write_page(stored, has_images=not no_images)
    document = evaluation_document(evaluation, summary) | {"report": str(page)}
    emit(document, f"Page: {page}", json=json)
    if not json:
        print_answer(answer(summary, evaluation))


def predict(
    model: Annotated[
        Path,
        Argument(
            metavar="MODEL", help="A weights file, a folder of them, or the name of a study."
        ),
    ],
    images: Annotated[
        list[Path], Argument(metavar="IMAGE…", help="Image files, folders of images, or patterns.")
    ],
    threshold: options.Threshold = None,
    csv: Annotated[
        Path | None,
        Option(parser=at_home, metavar="FILE", help="Also write the predictions as CSV."),
    ] = None,
    input_scale: options.InputScale = None,
    activation: options.HiddenActivation = None,
    has_sigmoid: options.HasSigmoid = False,
    custom: options.Model = None,
    storage: options.Storage = DEFAULT_URL,
    json: options.Json = False,
) -> None:
    """Print the label and the probabilities of each image file.

    With two classes, a probability above the threshold means the second class. The threshold is
    that of the last `hpo evaluate`, or of the exported folder, else 0.5; --threshold changes it.

    The weights in a folder form an ensemble: the mean of their probabilities is printed with the
    lowest and the highest. They are the repeats of a configuration, as hpo export writes them, or
    weights from elsewhere. For a study, the repeats of its best configuration are used. The
    options describe weights that hpo export did not write.

    Examples:

        hpo predict STUDY chest_xray/test/NORMAL/*.jpeg

        hpo predict studies/STUDY/export/best new_images/ --csv predictions.csv

        hpo predict weights.pt image.png --input-scale raw
    """
    from rich.progress import track

    from hpo.evaluate.thresholds import read_rule
    from hpo.export import table_to_csv
    from hpo.views.weights import prediction_document, prediction_lines, prediction_rows
    from hpo.weights.load import SUFFIXES, open_model, open_winner
    from hpo.weights.network import read_unseen
    from hpo.weights.predict import image_files
    from hpo.weights.predict import predict as predict_files

    unseen = read_unseen(input_scale, activation, has_sigmoid)
    rule = read_rule(threshold) if threshold else None
    is_name = len(model.parts) == 1 and model.suffix not in SUFFIXES
    if model.exists() or not is_name:
        if rule and rule.is_chosen:
            raise UsageError(
                f"--threshold {rule.text} is chosen on validation images, which are not known "
                "for weights. Give a number, such as 0.5, or the name of a study."
            )
        networks = open_model(model, unseen, custom)
    elif unseen:
        raise UsageError(
            "--input-scale, --activation and --has-sigmoid describe weights files, but there is "
            f"no file or folder {model}. If it is a study, leave them out."
        )
    else:
        try:
            networks = open_winner(model.name, storage, custom, threshold)
        except (StudyError, StorageError) as error:
            message = f"There is no file or folder {model}. {error}"
            raise type(error)(message) from None
    value = rule.value if rule and not rule.is_chosen else networks[0].threshold
    files = image_files(images)
    predictions = list(
        track(
            predict_files(networks, files, threshold=value),
            "predicting",
            total=len(files),
            console=error_console,
            transient=True,
            disable=not error_console.is_terminal,
        )
    )
    document = {"model": str(model)} | prediction_document(networks, predictions, value)
    header, rows = prediction_rows(networks, predictions)
    problems = [one.problem for one in predictions if one.problem]
    if not json:
        for problem in problems:
            say(f"Error: {problem}", style="red")
        for note in (f"Network: {document['architecture']}", *document["notes"]) if rows else ():
            say(note, style="dim")
    if csv:
        hint = "Choose another file with --csv."
        write_atomic(csv, table_to_csv(header, rows).encode(), hint=hint)
    emit(document, *prediction_lines(header, rows), json=json)
    if problems:
        raise typer.Exit(1)


def reproduce(
    study: options.StudyArgument,
    configuration: Annotated[
        int | None,
        Argument(
            metavar="CONFIGURATION",
            parser=options.read_number,
            help="Number of the configuration: # in tables, on the page and in --json.",
        ),
    ] = None,
    repeat: Annotated[
        int | None, Option(help="Number of the repeat, from 1 (default: 1).")
    ] = None,
    trial: Annotated[
        int | None, Option(help="Optuna's trial number, from 0, instead of a configuration.")
    ] = None,
    device: Annotated[
        str | None, Option(help="auto, cpu, cuda or cuda:1 (default: as recorded).")
    ] = None,
    precision: Annotated[
        str | None, Option(help="auto, bf16 or fp32 (default: as recorded).")
    ] = None,
    model: options.Model = None,
    data: options.MovedData = None,
    storage: options.Storage = DEFAULT_URL,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a repeat of a configuration again, and compare every recorded number.

    The run store is not used. The exit code is 0 if the numbers are identical or equal within
    rounding, and 1 if they differ.

    Example:

        hpo reproduce grid-batch_size-90aa3f32 2 --repeat 3
    """
    if (configuration is None) == (trial is None) or (trial is not None and repeat is not None):
        raise UsageError(
            "hpo reproduce needs either the number of a configuration, possibly with --repeat, or "
            "--trial NUMBER."
        )
    from hpo.run.reproduce import Reproduction
    from hpo.run.reproduce import reproduce as train_again
    from hpo.study.gathering import read_study

    stored = read_study(study, storage, moved_data=data)
    runs, configurations = stored.runs, stored.summary.configurations
    trials = {(c.number, r.number): r.trial for c in configurations for r in c.repeats}
    if trial is None:
        repeat = 1 if repeat is None else repeat
        trial = trials.get((configuration or 0, repeat))
    if trial is None:
        if recorded := [r for c, r in trials if c == configuration]:
            missing = (
                f"Configuration {configuration} of {stored.summary.name} has no repeat {repeat}"
            )
            raise StudyError(f"{missing}, only 1 to {max(recorded)}.")
        missing = f"{stored.summary.name} has no configuration {configuration}"
        last = max((c for c, _ in trials), default=0)
        raise StudyError(f"{missing}. The highest number is {last}.")
    place = next((place for place, number in trials.items() if number == trial), None)
    name = f"Configuration {place[0]}, repeat {place[1]}," if place else ""
    shown = time.monotonic()
    for event in train_again(
        stored.study, trial, runs, name=name, device=device, precision=precision, model=model
    ):
        if isinstance(event, Reproduction):
            found = event
        elif not quiet and time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            epoch, n_epochs = event
            say(f"epoch {epoch}/{n_epochs}")
    if json:
        number, repeat_number = place or (None, None)
        print_json(found.to_document() | {"number": number, "repeat": repeat_number})
    else:
        for line in found.sentences():
            print_line(line)
    if found.result == "different":
        raise typer.Exit(1)
