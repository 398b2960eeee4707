"""Text from outside, such as names of files and studies, made harmless where it is written."""

import re
import unicodedata
from typing import Final

# A spreadsheet computes what begins so, and some begin a cell at a semicolon.
_FORMULA: Final = re.compile("(^|;)(?=[-=+@＝＋－＠])")  # noqa: RUF001


def printable(text: str) -> str:
    r"""Return text with control characters escaped, such as `\x1b`, so that a terminal shows them.

    Also escaped are line breaks, marks that turn the direction of writing, and invalid UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else ascii(char)[1:-1]
        for char in text
    )


def printable_lines(text: str) -> str:
    """Return our own text, whose line breaks are intended, with the rest made `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def csv_cell(value: object) -> object:
    """Return a value as a cell of a CSV file that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    try:
        float(text)
    except ValueError:
        return _FORMULA.sub(r"\1'", text)
    return text
