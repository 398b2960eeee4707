"""What the curves say, as a table with its verdicts."""

from dataclasses import dataclass

from hpo.claims import Claim, cell, claims, heading, outcome
from hpo.runs import RunStore
from hpo.stats.sentences import label
from hpo.summary import StudySummary


@dataclass(frozen=True)
class ClaimRow:
    """One claim: its name and definition, the lines of a cell per configuration, every pair."""

    title: str
    about: str
    cells: tuple[tuple[str, ...], ...]
    pairs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClaimsTable:
    """The section: `real` differences, and `others` in one line."""

    names: tuple[str, ...]
    rows: tuple[ClaimRow, ...]
    real: tuple[str, ...]
    others: str
    notes: tuple[str, ...]


def claims_table(summary: StudySummary, runs: RunStore) -> ClaimsTable | None:
    """Return what the curves say; None while nothing is finished."""
    found = claims(summary, runs)
    if found is None:
        return None
    real, others = outcome(found.claims)
    return ClaimsTable(
        names=tuple(label(value) for value in found.configurations),
        rows=tuple(_row(claim) for claim in found.claims),
        real=tuple(real),
        others=others,
        notes=(f"{found.target.text} is {found.target.chosen}.", *found.notes),
    )


def _row(claim: Claim) -> ClaimRow:
    return ClaimRow(
        title=heading(claim.kind),
        about=claim.kind.about,
        cells=tuple(cell(claim.kind, measured) for measured in claim.measured),
        pairs=tuple(pair.sentence for pair in claim.pairs if pair.low is not None),
    )
