"""What commands print: JSON, numbers in words, and the two consoles."""

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from hpo.untrusted import is_shown, printable

_BEYOND_ASCII: Final = re.compile(r"[^ -~\n]")


class _Console(Console):
    """A console on which nothing from outside controls the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)


console: Final = _Console(highlight=False, emoji=False)
error_console: Final = _Console(stderr=True, highlight=False, emoji=False)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document; a number that is not finite is null."""
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False)
    sys.stdout.write(_BEYOND_ASCII.sub(_json_sign, text) + "\n")


def print_line(text: str, *, style: str = "") -> None:
    """Print a line of a result on standard output; the terminal wraps it, nothing cuts it."""
    console.print(escape(printable(text)), soft_wrap=True, style=style)


def say(message: str, *, style: str = "") -> None:
    """Print lines for the reader on standard error; those after the first are indented."""
    # A name with a line break in it cannot pass for a message.
    lines = re.sub(r"\n(?! )", "\n  ", message)
    error_console.print(escape(lines), style=style, soft_wrap=True)


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


def _json_sign(found: re.Match[str]) -> str:
    """Return a sign as a document shows it; by itself json.dumps escapes those below space."""
    return found[0] if is_shown(found[0]) else json.dumps(found[0])[1:-1]


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
