"""Output of the commands: JSON, lines, and tables that fit the screen."""

import json as json_module
import re
import sys
import textwrap
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from hpo.tables import Answer, Column, Table
from hpo.untrusted import printable, printable_lines

console: Final = Console(highlight=False, emoji=False, markup=False)
error_console: Final = Console(stderr=True, highlight=False, emoji=False, markup=False)

# To be copied: text in backticks, or one of our commands up to the end of its line.
_COMMAND: Final = re.compile(r"`[^`\n]+`|(?<=: )hpo .+")
_KEPT_SPACE: Final = "\x00"

# A column takes two spaces and a border besides its text; the table ends with one more border.
_PADDING: Final = 3
# Columns of text are narrowed to this width before the table is split into parts.
_LEAST_TEXT: Final = {"text": 12, "long": 24}
_LEAST_SCREEN: Final = 20
_STYLES: Final = {"plain": "", "best": "bold green", "reference": "dim", "heading": "bold"}


def emit(document: Mapping[str, object], *shown: Table | str, json: bool) -> None:
    """Print one JSON document, or tables and lines that end with a path."""
    if json:
        print_json(document)
        return
    for one in shown:
        if isinstance(one, Table):
            print_table(one)
        else:
            print_path(one)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document, in ASCII for any terminal; non-finite numbers become null."""
    plain = json_module.loads(
        json_module.dumps(document, default=dict), parse_constant=lambda _: None
    )
    text = json_module.dumps(plain, indent=2).replace("\x7f", "\\u007f")
    sys.stdout.write(f"{text}\n")


def print_line(text: str, *, style: str = "", indent: int = 0) -> None:
    """Print a line on standard output."""
    _print(console, printable(text), style=style, indent=indent)


def print_path(text: str) -> None:
    """Print a line that ends with a path on standard output, without wrapping it."""
    console.print(printable(text), soft_wrap=True)


def open_page(path: str | Path) -> None:
    """Open a page in the browser; print a message if there is none."""
    if not webbrowser.open(Path(path).resolve().as_uri()):
        say(f"No browser was found. Open {path} manually.")


def print_answer(answer: Answer) -> None:
    """Print the finding, its quality and the next step, in color on a terminal."""
    print_line("")
    print_line(answer.finding, style="bold green" if answer.is_clear else "bold yellow")
    quality_style = "" if answer.is_good else "yellow"
    for text, style in ((answer.quality, quality_style), (answer.on_test, "")):
        if text:
            print_line(text, style=style)
    if answer.settings:
        print_line(f"Best: `{answer.settings}`")
    if answer.command:
        print_line(f"{answer.purpose}: {answer.command}", style="cyan")


def say(message: str, *, style: str = "") -> None:
    """Print a message on standard error; lines after the first are indented."""
    # A name with a line break in it cannot fake a message.
    _print(error_console, re.sub(r"\n(?! )", "\n  ", message), style=style)


def _print(target: Console, text: str, *, style: str, indent: int = 0) -> None:
    """Print lines; a terminal wraps them at words, and longer words are not cut."""
    safe = printable_lines(text)
    protected = _COMMAND.sub(lambda match: match[0].replace(" ", _KEPT_SPACE), safe)
    for line in protected.split("\n"):
        wrapped = [line]
        if target.is_terminal:
            margin = " " * (indent or len(line) - len(line.lstrip()))
            wrapped = textwrap.wrap(
                line,
                target.width,
                subsequent_indent=margin,
                break_long_words=False,
                break_on_hyphens=False,
            )
        for shown in wrapped or [""]:
            target.print(shown.replace(_KEPT_SPACE, " "), style=style, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table; if it is too wide, in parts that repeat its first column."""
    names = [printable_lines(column.name) for column in table.columns]
    rows = [[printable_lines(cell) for cell in row.cells] for row in table.rows]
    if table.title:
        print_line(table.title, style="bold")
    for part in _parts(table.columns, names, rows):
        shown = rich_table.Table()
        for place, width in part.items():
            shown.add_column(
                Text(names[place]),
                justify="right" if table.columns[place].kind == "number" else "left",
                width=width,
                overflow="fold",
            )
        for number, (row, texts) in enumerate(zip(table.rows, rows, strict=True)):
            if row.kind == "heading" and number:
                shown.add_section()
            cells = []
            for place, width in part.items():
                first, *others = texts[place].split("\n")
                cell = Text.assemble(first, *((f"\n{line}", "dim") for line in others))
                if table.columns[place].kind == "long":
                    cell.truncate(width, overflow="ellipsis")
                cells.append(cell)
            shown.add_row(*cells, style=_STYLES[row.kind])
        console.print(shown)
    for note in table.notes:
        print_line(note, style="yellow" if note.startswith("Warning") else "")


def _parts(
    columns: Sequence[Column], names: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[dict[int, int]]:
    """Divide columns into parts that fit the screen, each as the widths of columns by position.

    Columns of text are narrowed; numbers never are. Long text takes the remaining room and is cut.
    Headers are wrapped at words.
    """
    narrow, natural = [], []
    for place, (column, name) in enumerate(zip(columns, names, strict=True)):
        lines = [line for row in rows for line in row[place].split("\n")]
        widest = max(map(cell_len, lines), default=1)
        word = max(map(cell_len, name.split()), default=1)
        narrow.append(max(word, min(widest, _LEAST_TEXT.get(column.kind, widest))))
        natural.append(max(cell_len(name), widest))
    room = max(console.width, _LEAST_SCREEN) - _PADDING - 1
    others = [min(width, room - _PADDING - 1) for width in narrow[1:]]
    key = min(natural[0], room - _PADDING - max(others))
    parts: list[dict[int, int]] = []
    left = 0
    for place, width in enumerate(others, start=1):
        if not parts or left < width + _PADDING:
            parts.append({0: key})
            left = room - key
        parts[-1][place] = width
        left -= width + _PADDING
    for part in parts:
        left = console.width - 1 - sum(width + _PADDING for width in part.values())
        # Long text shares the remaining room.
        for place in sorted(part, key=lambda place: (columns[place].kind == "long", place)):
            more = min(left, max(0, natural[place] - part[place])) if place else 0
            part[place] += more
            left -= more
    return parts
