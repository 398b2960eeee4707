"""Predictions in the terminal and as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hpo.cli.output import console, say
from hpo.config import Activation
from hpo.weights import Network, Prediction, Unseen


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


def document(
    model: Path, networks: Sequence[Network], told: Sequence[Prediction]
) -> dict[str, object]:
    """Return what `hpo predict --json` prints."""
    return {
        "model": str(model),
        "weights": [str(network.path) for network in networks],
        "architecture": networks[0].text,
        "notes": list(networks[0].notes),
        "images": [
            {"file": str(one.file), "error": one.problem}
            if one.problem
            else {
                "file": str(one.file),
                "probability": one.probability,
                "repeats": list(one.repeats),
            }
            for one in told
        ],
    }


def show(networks: Sequence[Network], told: Sequence[Prediction]) -> None:
    """Print a line per image, and what was assumed of the network on standard error."""
    for note in (f"Network: {networks[0].text}", *networks[0].notes):
        say(note, style="dim")
    names = [network.path.stem.removeprefix("weights-") for network in networks]
    columns = ["mean", *names] if len(names) > 1 else ["pneumonia"]
    widths = [max(len(name), 6) for name in columns]
    _line(columns, widths, "image")
    for one in told:
        if one.probability is None:
            say(f"Error: {one.problem}", style="red")
        else:
            values = [one.probability, *one.repeats][: len(columns)]
            _line([f"{value:.4f}" for value in values], widths, str(one.file))


def _line(cells: Sequence[str], widths: Sequence[int], file: str) -> None:
    shown = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    console.print("  ".join([*shown, file]), markup=False, soft_wrap=True)
