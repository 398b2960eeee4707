"""Models to predict with, and predictions in the terminal and as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hpo.cli.output import print_line, say
from hpo.config import Activation
from hpo.errors import StorageError, StudyError, UsageError
from hpo.weights import (
    SUFFIXES,
    Network,
    Prediction,
    Unseen,
    notes_of,
    open_model,
    open_winner,
    text_of,
)


def unseen(
    input_scale: Literal["unit", "raw"] | None, activation: Activation | None, has_sigmoid: bool
) -> Unseen | None:
    """Return what the options say of a network; None where none of them was given."""
    if input_scale is None and activation is None and not has_sigmoid:
        return None
    return Unseen(
        input_scale=input_scale or "unit",
        activation=activation or "relu",
        has_sigmoid=has_sigmoid,
    )


def open_networks(model: Path, how: Unseen | None, storage: str) -> tuple[Network, ...]:
    """Open a file or folder of weights or, where there is none, the winner of a study.

    Raises:
        UsageError: options on a network that a study has on record.
        WeightsError: no weights there, or weights that cannot be read.
        StudyError, StorageError: there is no such study either.
    """
    is_name = len(model.parts) == 1 and model.suffix not in SUFFIXES
    if model.exists() or not is_name:
        return open_model(model, how)
    if how is not None:
        raise UsageError(
            "--input-scale, --activation and --has-sigmoid are for weights, but there is no file "
            f"or folder {model}. Of a study, leave them out."
        )
    try:
        return open_winner(model.name, storage)
    except (StudyError, StorageError) as error:
        raise type(error)(f"There is no file or folder {model}. As a study: {error}") from None


def document(
    model: Path, networks: Sequence[Network], told: Sequence[Prediction]
) -> dict[str, object]:
    """Return what `hpo predict --json` prints."""
    return {
        "model": str(model),
        "weights": [str(network.path) for network in networks],
        "architecture": text_of(networks),
        "notes": list(notes_of(networks)),
        "images": [
            {"file": str(one.file), "error": one.problem}
            if one.problem
            else {
                "file": str(one.file),
                "probability": one.probability,
                "lowest": one.lowest,
                "highest": one.highest,
                "repeats": list(one.repeats),
            }
            for one in told
        ],
    }


def show(networks: Sequence[Network], told: Sequence[Prediction]) -> None:
    """Print a line per image, and what was assumed of the network on standard error.

    Of several networks the mean, and the lowest and highest that one of them tells alone.
    """
    for note in (f"Network: {text_of(networks)}", *notes_of(networks)):
        say(note, style="dim")
    columns = ["pneumonia"]
    if len(networks) > 1:
        say(f"Ensemble: the mean of {len(networks)} networks.", style="dim")
        columns += ["lowest", "highest"]
    widths = [max(len(name), 6) for name in columns]
    _line(columns, widths, "image")
    for one in told:
        values = [v for v in (one.probability, one.lowest, one.highest) if v is not None]
        if values:
            shown = [f"{value:.4f}" for value in values[: len(columns)]]
            _line(shown, widths, str(one.file))
        else:
            say(f"Error: {one.problem}", style="red")


def _line(cells: Sequence[str], widths: Sequence[int], file: str) -> None:
    shown = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    print_line("  ".join([*shown, file]))
