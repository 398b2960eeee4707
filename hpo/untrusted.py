"""Text from outside, such as names of files and studies, made harmless where it is written."""

import re
import unicodedata
from typing import Final

# A spreadsheet computes what begins so, and some begin a cell at a semicolon.
_FORMULA: Final = re.compile("(^|;)(?=[-=+@＝＋－＠])")  # noqa: RUF001


def printable(text: str) -> str:
    r"""Return text with every sign that a terminal obeys or hides written out, such as `\x1b`.

    Those are control characters, line breaks, marks that turn the direction of writing, and what
    is no character in UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or unicodedata.category(sign) == "Zs" else ascii(sign)[1:-1]
        for sign in text
    )


def printable_lines(text: str) -> str:
    """Return text of ours, whose line breaks are meant, with the rest made `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def csv_cell(value: object) -> object:
    """Return a value as a cell of a CSV file, which no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    try:
        float(text)
    except ValueError:
        return _FORMULA.sub(r"\1'", text)
    return text
