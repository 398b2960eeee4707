"""Text from outside, such as names of files and studies, escaped for output."""

import re
import unicodedata
from typing import Final

# A spreadsheet evaluates cells that start like this; some start a cell at a semicolon.
_FORMULA: Final = re.compile("(^|;)(?=[-=+@＝＋－＠])")  # noqa: RUF001


def printable(text: str) -> str:
    r"""Return text with control characters escaped, such as `\x1b`, so that a terminal shows them.

    Line breaks, marks that change the writing direction, and invalid UTF-8 are escaped too.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else ascii(char)[1:-1]
        for char in text
    )


def printable_lines(text: str) -> str:
    """Return text with everything but line breaks made `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def csv_cell(value: object) -> object:
    """Return a value as a CSV cell that spreadsheets do not read as a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    try:
        float(text)
    except ValueError:
        return _FORMULA.sub(r"\1'", text)
    return text
