"""What is typed after an option, read into values."""

import math
import shlex
from collections.abc import Sequence
from typing import Final

from hpo.errors import UsageError, fault_list

MOST_LANES: Final = 256
INPUT_SCALES: Final = ("unit", "symmetric", "raw", "image")


def read_lanes(text: str) -> int | None:
    """Read `--lanes`: None for auto.

    Raises:
        UsageError: it is neither auto nor a whole number.
    """
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MOST_LANES)):
        raise UsageError(f"--lanes takes auto or 1 to {MOST_LANES}, but got {text[:20]!r}.")
    return int(text)


def check_lanes(lanes: int | None) -> None:
    """Refuse lanes that are none, or more than any machine trains at once.

    Raises:
        UsageError: `lanes` is below 1 or too large.
    """
    if lanes is not None and not 1 <= lanes <= MOST_LANES:
        raise UsageError(f"--lanes takes auto or 1 to {MOST_LANES}, but got {lanes}.")


def read_input_scale(text: str | None) -> str | None:
    """Check `--input-scale`: a name, or the mean and deviation of pixels / 255.

    Raises:
        UsageError: it is neither, or the deviation is not above 0.
    """
    if text is not None and text not in INPUT_SCALES:
        read_mean_and_deviation(text)
    return text


def read_mean_and_deviation(text: str) -> tuple[float, float]:
    """Read `MEAN,STD`, as torchvision's Normalize takes them.

    Raises:
        UsageError: these are not two numbers, or the deviation is not above 0.
    """
    try:
        mean, deviation = map(float, text.split(","))
    except ValueError:
        mean, deviation = math.nan, math.nan
    if not (math.isfinite(mean) and 0 < deviation < math.inf):
        raise UsageError(
            f"--input-scale takes {', '.join(INPUT_SCALES)} or MEAN,STD of pixels / 255 (such as "
            f"0.48,0.24), but got {text[:40]!r}."
        )
    return mean, deviation


def read_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE` of a repeatable option.

    Raises:
        UsageError: a text without `=`, or a name given twice; all faults at once.
    """
    pairs: dict[str, str] = {}
    faults = []
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip() or not value.strip():
            faults.append(f"{text!r} is not of the form NAME=VALUE")
        elif name.strip() in pairs:
            faults.append(f"{name.strip()} is given twice")
        pairs[name.strip()] = value.strip()
    if faults:
        raise UsageError(fault_list(f"{option} cannot be read:", faults))
    return pairs


def read_values(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Read `--values`: `NAME=V,V`, or `V,V` alone where one parameter is swept.

    Raises:
        UsageError: it is not clear which parameter the values are for, or it is not swept.
    """
    if len(names) == 1:
        texts = [text if "=" in text else f"{names[0]}={text}" for text in texts]
    pairs = read_pairs("--values", texts)
    faults = [f"{name} is not swept: add --param {name}" for name in pairs if name not in names]
    if faults:
        raise UsageError(fault_list("--values cannot be used:", faults))
    return pairs


def set_option(command: str, option: str, value: str) -> str:
    """Return a recorded command line with another value of an option that it has."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    for place, word in enumerate(words):
        if word == option and place + 1 < len(words):
            words[place + 1] = value
        elif word.startswith(f"{option}="):
            words[place] = f"{option}={value}"
    return shlex.join(words)
