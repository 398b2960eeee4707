"""The curves of a run as CSV, a row per epoch, and what it made of the stress battery."""

import csv
import io
from collections.abc import Iterable, Sequence

from hpo.storage.runs import Run
from hpo.untrusted import csv_cell


def to_csv(run: Run) -> str:
    """Return the metrics of every epoch: epoch, learning rate, training, then validation.

    Means over the stress battery follow where it was read, with empty cells in other epochs.
    """
    first = run.epochs[0]
    stress = list(next((epoch.stress for epoch in run.epochs if epoch.stress), {}))
    header = ["epoch", "learning_rate"]
    header += [f"train_{name}" for name in first.train]
    header += [f"validation_{name}" for name in first.validation]
    header += [f"stress_{name}" for name in stress]
    rows = (
        [
            number,
            epoch.learning_rate,
            *epoch.train.values(),
            *epoch.validation.values(),
            *(epoch.stress.get(name) for name in stress),
        ]
        for number, epoch in enumerate(run.epochs, start=1)
    )
    return table_csv(header, rows)


def battery_to_csv(run: Run) -> str:
    """Return the metrics of the kept weights: a row for the unchanged images, one per change."""
    rows = [["unchanged", *run.kept.validation.values()]]
    rows += [[change, *metrics.values()] for change, metrics in run.stress.items()]
    return table_csv(["change", *run.kept.validation], rows)


def table_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV; None is an empty cell, and no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([map(csv_cell, row) for row in (header, *rows)])
    return text.getvalue()
