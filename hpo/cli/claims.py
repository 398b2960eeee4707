"""What the curves of a study say, in the terminal."""

from rich.markup import escape
from rich.table import Table

from hpo.claims import ClaimsSummary, cell, heading, outcome
from hpo.cli.output import print_line, print_table
from hpo.stats.sentences import label


def print_claims(found: ClaimsSummary) -> None:
    """Print a row per claim with a column per configuration, then what of it is real."""
    print_line("What the curves say", style="bold")
    table = Table(show_lines=True)
    table.add_column()
    for value in found.configurations:
        table.add_column(escape(label(value)), justify="right")
    for claim in found.claims:
        cells = ("\n".join(cell(claim.kind, m)) for m in claim.measured)
        table.add_row(escape(heading(claim.kind)), *cells)
    print_table(table)
    for value, configuration in found.configurations.items():
        if value != configuration.value:
            print_line(f"{value}: {configuration.label}")
    print_line(f"{found.target.text}: {found.target.chosen}.")
    real, others = outcome(found.claims)
    for line in filter(None, [*real, others]):
        print_line(f"  {line}")
    for note in found.notes:
        print_line(note)
