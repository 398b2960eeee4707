"""A comparison of studies in the terminal."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from hpo.cli.output import print_line, print_path, print_table
from hpo.cli.tables import data_name, score_cells
from hpo.evaluate.studies import Comparison, Entry
from hpo.stats import outcome


def print_comparison(comparison: Comparison, page: Path) -> None:
    """Print a row per configuration, the verdict, and where the page is."""
    first = comparison.summaries[0]
    data = first.record.data
    print_line(
        f"{len(comparison.summaries)} studies on {data_name(first)}, {data.n_train} training and "
        f"{data.n_validation} validation images",
        style="bold",
    )
    table = Table()
    table.add_column("configuration")
    for name in (comparison.score.column, "95 % interval", "repeats", "epochs"):
        table.add_column(name, justify="right")
    for entry in comparison.entries:
        style = "bold green" if entry is comparison.best else ""
        table.add_row(*map(escape, _cells(entry)), style=style)
    print_table(table)
    for entry in comparison.entries:
        if entry.summary.record.kind == "search":
            print_line(f"{entry.name}: {entry.configuration.label}")
    for said in outcome(comparison.verdict):
        print_line(f"  {said if isinstance(said, str) else said.sentence}")
    for note in comparison.notes:
        print_line(note)
    print_path(f"Page: {page}")


def _cells(entry: Entry) -> tuple[str, ...]:
    configuration = entry.configuration
    return (
        entry.name,
        *score_cells(entry.found, entry.summary.record.score),
        str(len(configuration.judged)),
        str(configuration.config.epochs),
    )
