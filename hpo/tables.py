"""The record of a table: what a view shows, whoever prints it."""

from dataclasses import dataclass
from typing import Final, Literal

DASH: Final = "–"
"""What stands where there is nothing to say."""


@dataclass(frozen=True)
class Column:
    """A column: numbers stand to the right, all else to the left; long text takes the room left.

    Numbers and names are never wrapped.
    """

    name: str
    kind: Literal["number", "name", "text", "long"] = "number"


@dataclass(frozen=True)
class Row:
    """A text per column. Lines after the first of a cell are secondary, such as its interval.

    A `reference` was not trained by the study; a `heading` begins a section.
    """

    cells: tuple[str, ...]
    kind: Literal["plain", "best", "reference", "heading"] = "plain"


@dataclass(frozen=True)
class Table:
    """What a view shows; the notes say what a reader must know of the rows."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    title: str = ""


def duration(seconds: float) -> str:
    """Write a time as a person says it: `8.3 s`, `2 min 5 s`, `3 h 20 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def count(number: int, noun: str) -> str:
    """Write `1 training`, `15 trainings`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
