"""`python docs/site.py FOLDER`: gather the pages of the documentation site in a folder.

These are docs/, the documents of other folders, and a reference of every command, made from the
code. Links between them are adjusted; links to other files become text.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import typer

from hpo.cli.app import app

ROOT: Final = Path(__file__).parents[1]
# Documents outside docs/, and the names of their pages.
ELSEWHERE: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "studies/RESULTS.md": "results.md",
    "studies/SCORES.md": "scores.md",
}
_LINK: Final = re.compile(r"\[([^]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def gather(folder: Path) -> None:
    """Write every page of the site into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    homes = {path.name: ROOT / "docs" / path.name for path in folder.glob("*.md")}
    homes |= {name: ROOT / path for path, name in ELSEWHERE.items()}
    for name, home in homes.items():
        text = home.read_text(encoding="utf-8")
        (folder / name).write_text(_with_links(text, home, folder), encoding="utf-8")
    (folder / "commands.md").write_text(_commands(), encoding="utf-8")


def _with_links(text: str, home: Path, folder: Path) -> str:
    def moved(link: re.Match[str]) -> str:
        words, place, anchor = link.groups()
        if "://" in place:
            return link.group()
        path = os.path.relpath((home.parent / place).resolve(), ROOT)
        name = ELSEWHERE.get(path, path.removeprefix("docs/"))
        is_shown = name in ELSEWHERE.values() or (folder / name).is_file()
        return f"[{words}]({name}{anchor or ''})" if is_shown else words

    return _LINK.sub(moved, text)


def _commands() -> str:
    """Return every command with its arguments and options, as its `--help` has them."""
    parts = ["# Commands"]
    group = typer.main.get_command(app)
    with typer.Context(group, info_name="hpo") as context:
        for name in group.list_commands(context):
            if not (command := group.get_command(context, name)).hidden:
                parts += _command(f"hpo {name}", command, context)
    return "\n\n".join(parts) + "\n"


def _command(path: str, command: Any, parent: typer.Context) -> list[str]:
    with typer.Context(command, info_name=path, parent=parent) as context:
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        parts = [f"## {path}", f"```\n{usage}\n```", (command.help or "").replace("\b", "")]
        if hasattr(command, "list_commands"):
            for name in command.list_commands(context):
                parts += _command(f"{path} {name}", command.get_command(context, name), context)
            return parts
        found = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in filter(None, found)]
    return (
        [*parts, "\n".join(["| option | what it does |", "|---|---|", *rows])] if rows else parts
    )


def _cell(text: str) -> str:
    """Return a text of the help for a cell of a table, without its markup for terminals."""
    return " ".join(re.sub(r"\[/?[a-z ]+\]", "", text).split()).replace("|", "\\|")


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
