"""The records of a table and of an answer, for every kind of output."""

from dataclasses import dataclass
from typing import Final, Literal

DASH: Final = "–"
"""The text of an empty cell."""


@dataclass(frozen=True)
class Column:
    """A column: numbers are right-aligned, text is left-aligned; long text fills the rest.

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
    """A table; the notes explain its rows."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a study in plain words; all fields but `finding` may be empty.

    `settings` is the best configuration of a search as options; `purpose` is that of the command.
    `is_clear`: there is an answer; `is_good`: the best network is better than the baseline.
    """

    finding: str
    quality: str = ""
    settings: str = ""
    on_test: str = ""
    purpose: str = ""
    command: str = ""
    is_clear: bool = True
    is_good: bool = True


def duration(seconds: float) -> str:
    """Format a duration: `8.3 s`, `2 min 5 s`, `3 h 20 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def count(number: int, noun: str) -> str:
    """Format a count: `1 training`, `15 trainings`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
