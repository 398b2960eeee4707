"""What commands print: JSON, numbers in words, and the two consoles."""

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.markup import escape

console: Final = Console(highlight=False)
error_console: Final = Console(stderr=True, highlight=False)


# A message may name what comes from a stranger's file, and a terminal obeys such signs.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document, in ASCII for any terminal; a number that is not finite is null."""
    sys.stdout.write(json.dumps(_plain(document), indent=2) + "\n")


def print_line(text: str, *, style: str = "") -> None:
    """Print a line of a result on standard output; the terminal wraps it, nothing cuts it."""
    console.print(escape(text), soft_wrap=True, style=style)


def say(message: str, *, style: str = "") -> None:
    """Print a line for the reader on standard error."""
    error_console.print(escape(_CONTROL.sub("�", message)), style=style, soft_wrap=True)


def duration(seconds: float) -> str:
    """Write a time as a person says it: `8.3 s`, `2 min 5 s`, `3 h 20 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(n_bytes: float) -> str:
    """Write a number of bytes in MB or GB."""
    return f"{n_bytes / 1e6:.0f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.1f} GB"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share of one as a percentage, a dash where there is none."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f}"


def count(number: int, noun: str) -> str:
    """Write `1 training`, `15 trainings`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
