"""The list of all studies. It is a separate module so that it loads fast."""

from collections.abc import Mapping

from hpo.study.summary import StudySummary
from hpo.tables import DASH, Column, Row, Table


def studies_table(summaries: Mapping[int, StudySummary]) -> Table:
    """Return a row per study; commands accept its number as a name."""
    rows, notes = [], []
    for number, summary in summaries.items():
        score, best, n_done = summary.record.score, summary.best, summary.n_done
        mean = summary.best_score.mean if summary.best_score else None
        cells = (
            str(number),
            summary.name,
            DASH if mean is None else score.text(mean),
            score.title,
            f"{n_done} of {n_done + n_left}" if (n_left := summary.n_left) else str(n_done),
            f"{summary.begun:%Y-%m-%d %H:%M}" if summary.begun else DASH,
            summary.record.data.title,
            best.label if best else DASH,
        )
        rows.append(Row(cells))
        if n := len(summary.openings):
            times = "once" if n == 1 else f"{n} times"
            notes.append(f"The test of {summary.name} was opened {times}.")
    columns = (
        *(Column("#"), Column("study", "name"), Column("best"), Column("metric", "text")),
        *(Column("trainings"), Column("started", "name"), Column("data", "text")),
        Column("best configuration", "long"),
    )
    return Table(columns, tuple(rows), notes=tuple(notes))
