"""Weights of others in the terminal: what `hpo evaluate --weights` prints."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from rich.markup import escape
from rich.table import Table

from hpo.cli.output import percent, print_json, print_line, print_table, say
from hpo.data import open_data
from hpo.errors import UsageError
from hpo.evaluate.records import NUMBERS, SHARES
from hpo.evaluate.thresholds import read_rule
from hpo.weights import Unseen
from hpo.weights.predict import WeightsEvaluation, evaluate_weights, to_document

_Write: TypeAlias = Callable[[float | None], str]


def evaluate(
    path: Path, data: Path | None, *, how: Unseen | None, threshold: str, json: bool
) -> None:
    """Evaluate a file or folder of weights on the test split of a data set, and print it.

    Raises:
        UsageError: a threshold that is chosen on validation images, of which there are none.
    """
    rule = read_rule(threshold)
    if rule.is_chosen:
        raise UsageError(
            f"--threshold {rule.text} is chosen on validation images, and which these weights "
            "were not trained on is not known: give a number, such as 0.5."
        )
    evaluation = evaluate_weights(path, open_data(data), unseen=how, threshold=rule.value)
    if json:
        print_json(to_document(evaluation))
    else:
        show(evaluation)


def show(evaluation: WeightsEvaluation) -> None:
    """Print metrics with intervals and right answers; on standard error what was assumed."""
    for note in (f"Network: {evaluation.architecture}", *evaluation.notes):
        say(note, style="dim")
    print_table(_table(evaluation))
    counts = evaluation.confusion
    print_line(
        f"{counts.n_right} of {evaluation.n_images} right: {counts.true_positive} pneumonia "
        f"images found and {counts.false_negative} missed, {counts.true_negative} normal ones "
        f"called normal and {counts.false_positive} called pneumonia. Intervals: bootstrap over "
        f"{evaluation.n_patients} patients."
    )
    for sign in evaluation.signs:
        print_line(f"Warning: {sign}", style="yellow")


def _table(evaluation: WeightsEvaluation) -> Table:
    """Make a row per metric, of an ensemble with the range of its networks by themselves."""
    members = evaluation.members
    model = evaluation.path.name or str(evaluation.path)
    model += f", ensemble of {len(members)}," if members else ""
    data = f"{evaluation.data} (synthetic)" if evaluation.is_phantom else evaluation.data
    title = f"{model} on the test of {data}, threshold {evaluation.threshold:g}"
    table = Table(title=escape(title))
    for column in ("", "value", "95 % interval", *(["each alone"] if members else [])):
        table.add_column(column, justify="right" if column else "left")
    rows: list[tuple[str, str, _Write]] = [
        *((f"{label}, %", metric, percent) for label, metric in SHARES.items()),
        *((label, metric, _number) for label, metric in NUMBERS.items()),
    ]
    for label, metric, write in rows:
        found = evaluation.metrics[metric]
        alone = [member.metrics[metric] for member in members]
        ranges = [(found.low, found.high), *([(min(alone), max(alone))] if members else [])]
        table.add_row(label, write(found.mean), *(_range(*pair, write) for pair in ranges))
    return table


def _range(low: float | None, high: float | None, write: _Write) -> str:
    return "–" if low is None or high is None else f"{write(low)} to {write(high)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
