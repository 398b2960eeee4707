"""What an opened test looks like in the terminal and in JSON."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from hpo.cli.command_line import command_line
from hpo.cli.output import count, print_line, print_table, say
from hpo.cli.tables import data_name
from hpo.evaluate import (
    Ensemble,
    Evaluated,
    Evaluation,
    open_test,
    to_document,
)
from hpo.evaluate.records import NUMBERS, SHARES
from hpo.evaluate.thresholds import read_rule
from hpo.run.session import Session
from hpo.space.records import short_text
from hpo.stats import Interval, PairComparison
from hpo.study.summary import StudySummary
from hpo.study.test_access import statements, to_documents

_MOST_SHOWN: Final = 12
_MOST_PAIRS: Final = 10
_NONE: Final = "–"


def open_if_complete(session: Session, summary: StudySummary) -> Evaluation | None:
    """Open the test of a sweep that is complete; of another one it stays sealed, and that is said.

    Raises:
        HpoError: the test cannot be opened.
    """
    n_open = summary.n_open
    if not n_open and all(c.state == "complete" for c in summary.configurations):
        return open_test(
            session.study,
            session.storage,
            command=command_line(),
            dataset=session.plan.dataset,
        )
    say(
        f"The test stays sealed: {count(n_open, 'training')} to be done and "
        f"{summary.count('failed')} failed. The same command goes on, and opens it at the end."
    )
    return None


def document(evaluation: Evaluation, summary: StudySummary) -> dict[str, Any]:
    """Return the JSON of an opened test."""
    return to_document(evaluation) | {
        "n_openings": len(summary.openings),
        "openings": to_documents(summary.openings),
    }


def print_evaluation(evaluation: Evaluation, summary: StudySummary) -> None:
    """Print the metrics with their intervals, right answers, gaps, verdicts and warnings."""
    print_line(
        f"Test of {evaluation.study}: {data_name(summary)}, {evaluation.n_normal} normal and "
        f"{evaluation.n_pneumonia} pneumonia images, threshold {_threshold(evaluation)}",
        style="bold",
    )
    shown = evaluation.configurations[:_MOST_SHOWN]
    print_table(_table(evaluation, shown))
    of_ensemble = ", below an ensemble over patients alone" * any(c.ensemble for c in shown)
    print_line(
        f"Below each mean its 95 % interval over trainings and patients{of_ensemble}; gap: "
        "validation - test."
    )
    if n_hidden := len(evaluation.configurations) - len(shown):
        print_line(f"{count(n_hidden, 'more configuration')} in --json.")
    for evaluated in shown:
        if evaluated.name != evaluated.label:
            print_line(f"  {evaluated.name}: {evaluated.label}")
        for line in (_confusion(evaluation, evaluated), *evaluated.notes):
            print_line(f"  {evaluated.name}: {line}")
        for line in evaluated.signs:
            print_line(f"  {evaluated.name}: Warning: {line}", style="yellow")
    for line in _verdict(evaluation.pairs):
        print_line(f"  {line}")
    for line in evaluation.notes:
        print_line(line)


def print_result(evaluation: Evaluation, summary: StudySummary) -> None:
    """Print what the last opening of the test found of the best configuration."""
    found = evaluation.of(summary.best)
    if found is None:
        return
    accuracy, auroc = (
        _written(found.metrics[name], factor=factor, form=form, bounds=" ({} to {})")
        for name, factor, form in (("accuracy", 100, ".1f"), ("auroc", 1, ".3f"))
    )
    print_line(
        f"Test result of {found.name}, with 95 % intervals: accuracy {accuracy} %, AUROC {auroc}."
    )


def print_openings(summary: StudySummary) -> None:
    """Print every opening of the test, as every later table does."""
    for line in statements(summary.openings, n_complete=summary.count("complete")):
        print_line(line)


def _table(evaluation: Evaluation, columns: Sequence[Evaluated]) -> Table:
    """Make a row per metric, each with its interval below, and a column per configuration."""
    table = Table()
    corner, *names = _heads(columns)
    table.add_column(escape(corner))
    for name in names:
        table.add_column(escape(name), justify="right")
    _add_metrics(table, evaluation, columns)
    table.add_section()
    table.add_row("accuracy gap, points", *(_points(c.gap["accuracy"], sign="+") for c in columns))
    table.add_row("AUROC gap", *(_number(c.gap["auroc"], form="+.2f") for c in columns))
    if any(c.ensemble for c in columns):
        _add_ensembles(table, evaluation, [c.ensemble for c in columns])
    return table


def _add_ensembles(
    table: Table, evaluation: Evaluation, ensembles: Sequence[Ensemble | None]
) -> None:
    table.add_section()
    table.add_row("ensemble", *(f"of {e.n} repeats" if e else _NONE for e in ensembles))
    if read_rule(evaluation.threshold).is_chosen:
        table.add_row("threshold", *(f"{e.threshold:.3f}" if e else _NONE for e in ensembles))
    _add_metrics(table, evaluation, ensembles)


def _add_metrics(
    table: Table, evaluation: Evaluation, columns: Sequence[Evaluated | Ensemble | None]
) -> None:
    """Add a row per metric, and the right answers; a dash where a column is None."""
    for name, metric in SHARES.items():
        table.add_row(f"{name}, %", *(_points(c.metrics[metric]) if c else _NONE for c in columns))
    right = (f"{c.n_right:.4g} of {evaluation.n_images}" if c else _NONE for c in columns)
    table.add_row("right answers", *right)
    for name, metric in NUMBERS.items():
        table.add_row(name, *(_number(c.metrics[metric]) if c else _NONE for c in columns))


def _heads(columns: Sequence[Evaluated]) -> list[str]:
    """Return what stands over the columns: the values of a sweep, its parameter in the corner."""
    swept = {tuple(c.params) if c.name == c.label else () for c in columns}
    if len(swept) == 1 and len(name := swept.pop()) == 1:
        return [*name, *(short_text(c.value) for c in columns)]
    return ["", *(c.name for c in columns)]


def _confusion(evaluation: Evaluation, evaluated: Evaluated) -> str:
    counts, n = evaluated.confusion, len(evaluated.trials)
    over = "" if n == 1 else f" (means over {n} repeats)"
    return (
        f"{counts.true_positive / n:.4g} of {evaluation.n_pneumonia} pneumonia images found, "
        f"{counts.true_negative / n:.4g} of {evaluation.n_normal} normal ones called normal; "
        f"{counts.false_negative / n:.4g} missed, {counts.false_positive / n:.4g} false alarms"
        f"{over}."
    )


def _threshold(evaluation: Evaluation) -> str:
    chosen = [t for c in evaluation.configurations for t in c.thresholds]
    if len(set(chosen)) == 1:
        return evaluation.threshold
    low, high = min(chosen), max(chosen)
    return f"{evaluation.threshold} on each repeat's validation ({low:.3f} to {high:.3f})"


def _verdict(pairs: Sequence[PairComparison]) -> Iterable[str]:
    real = [pair for pair in pairs if pair.is_real]
    shown = pairs if len(pairs) <= _MOST_PAIRS else real
    yield from (pair.sentence for pair in shown)
    if len(shown) < len(pairs):
        n_other = count(len(pairs) - len(real), "pair")
        yield f"no difference can be told on the test in the other {n_other}"


def _points(interval: Interval, *, sign: str = "") -> str:
    return _written(interval, factor=100, form=f"{sign}.1f")


def _number(interval: Interval, *, form: str = ".3f") -> str:
    return _written(interval, factor=1, form=form)


def _written(
    interval: Interval, *, factor: int, form: str, bounds: str = "\n[dim]{} to {}[/]"
) -> str:
    if interval.mean is None:
        return _NONE
    text = f"{factor * interval.mean:{form}}"
    if interval.low is None or interval.high is None:
        return text
    low, high = (f"{factor * bound:{form}}" for bound in (interval.low, interval.high))
    return text + bounds.format(low, high)
