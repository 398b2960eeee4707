"""The curves of a run as CSV: a row per epoch."""

import csv
import io
from collections.abc import Iterable, Sequence

from hpo.runs import Run


def to_csv(run: Run) -> str:
    """Return the metrics of every epoch: epoch, learning rate, training, then validation."""
    first = run.epochs[0]
    header = ["epoch", "learning_rate"]
    header += [f"train_{name}" for name in first.train]
    header += [f"validation_{name}" for name in first.validation]
    rows = (
        [number, epoch.learning_rate, *epoch.train.values(), *epoch.validation.values()]
        for number, epoch in enumerate(run.epochs, start=1)
    )
    return table_csv(header, rows)


def table_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
