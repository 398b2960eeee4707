"""What commands print: JSON, lines, tables that fit the screen, and numbers in words."""

import json
import math
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape, render
from rich.table import Column, Table
from rich.text import Text

from hpo.untrusted import printable, printable_lines


class _Console(Console):
    """A console on which nothing from outside controls the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable_lines(text), **options)


console: Final = _Console(highlight=False, emoji=False)
error_console: Final = _Console(stderr=True, highlight=False, emoji=False)

# To be copied: in backticks, or a command of ours up to the end of its line.
_COMMAND: Final = re.compile(r"`[^`\n]+`|(?<=: )hpo .+")
_KEPT_SPACE: Final = "\x00"

# What a column takes beside its text: two spaces and a border; one border more ends the table.
_PADDING: Final = 3
# As far as a column of text is narrowed before the table is parted.
_TEXT_WIDTH: Final = 12
_LEAST_SCREEN: Final = 20


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document, in ASCII for any terminal; a number that is not finite is null."""
    text = json.dumps(_plain(document), indent=2).replace("\x7f", "\\u007f")
    sys.stdout.write(f"{text}\n")


def print_line(text: str, *, style: str = "", indent: int = 0) -> None:
    """Print a line of a result on standard output."""
    _print(console, printable(text), style=style, indent=indent)


def print_path(text: str) -> None:
    """Print a line with a path at its end on standard output, which nothing breaks."""
    console.print(escape(printable(text)), soft_wrap=True)


def say(message: str, *, style: str = "") -> None:
    """Print lines for the reader on standard error; those after the first are indented."""
    # A name with a line break in it cannot pass for a message.
    _print(error_console, re.sub(r"\n(?! )", "\n  ", message), style=style)


def print_table(table: Table) -> None:
    """Print a table whole: one wider than the screen in parts that all have its first column.

    Columns of text are narrowed first, unless they are not to be wrapped; numbers never are.
    One with a ratio takes the room that is left, and its cells are cut.
    """
    first, *others = table.columns
    room = max(console.width, _LEAST_SCREEN) - _PADDING - 1
    widths = [min(_least_width(column), room - _PADDING - 1) for column in others]
    key = max(_least_width(first), room - sum(widths) - _PADDING * len(widths))
    key = min(key, _natural_width(first), room - _PADDING - max(widths))
    parts: list[dict[int, int]] = []
    left = 0
    for place, width in enumerate(widths, start=1):
        if not parts or left < width + _PADDING:
            parts.append({0: key})
            left = room - key
        parts[-1][place] = width
        left -= width + _PADDING
    for part in parts:
        _print_part(table, part)
        table.title = None


def _print_part(table: Table, widths: dict[int, int]) -> None:
    """Print the columns at these places; those after the first share what room there is."""
    left = console.width - 1 - sum(width + _PADDING for width in widths.values())
    for place in sorted(list(widths)[1:], key=lambda place: table.columns[place].ratio or 0):
        column = table.columns[place]
        more = min(left, max(0, _natural_width(column) - widths[place]))
        widths[place] += more
        left -= more
    part = Table(title=table.title, title_justify="left", title_style="bold")
    part.show_lines = table.show_lines
    cells = []
    for place, width in widths.items():
        column = table.columns[place]
        part.add_column(column.header, justify=column.justify, width=width, overflow="fold")
        texts = [_text(cell) for cell in column.cells]
        if column.ratio:
            for text in texts:
                text.truncate(width, overflow="ellipsis")
        cells.append(texts)
    for row, *texts in zip(table.rows, *cells, strict=True):
        part.add_row(*texts, style=row.style, end_section=row.end_section)
    console.print(part)


def _least_width(column: Column) -> int:
    """Return the width below which a column cannot be read; its header is wrapped at words."""
    header = max(map(cell_len, str(column.header).split()), default=1)
    cells = max(map(_line_width, column.cells), default=1)
    is_text = column.justify == "left" and not column.no_wrap
    return max(header, min(cells, column.min_width or _TEXT_WIDTH) if is_text else cells)


def _natural_width(column: Column) -> int:
    return max(map(_line_width, [column.header, *column.cells]))


def _line_width(cell: object) -> int:
    return max(map(cell_len, _text(cell).plain.split("\n")))


def _text(cell: object) -> Text:
    """Return a cell as it is shown: the markup is ours, and nothing controls the terminal."""
    return render(printable_lines(str(cell)))


def _print(where: Console, text: str, *, style: str, indent: int = 0) -> None:
    """Print lines, on a terminal wrapped at words; a longer word is left to it, and not cut."""
    safe = printable_lines(text)
    kept = _COMMAND.sub(lambda found: found[0].replace(" ", _KEPT_SPACE), safe)
    for line in kept.split("\n"):
        hang = " " * (indent or len(line) - len(line.lstrip()))
        wrapped = [line]
        if where.is_terminal:
            wrapped = textwrap.wrap(
                line,
                where.width,
                subsequent_indent=hang,
                break_long_words=False,
                break_on_hyphens=False,
            )
        for shown in wrapped or [""]:
            where.print(escape(shown.replace(_KEPT_SPACE, " ")), style=style, soft_wrap=True)


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
