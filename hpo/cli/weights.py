"""Weights of others in the terminal: what `hpo evaluate --weights` prints."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from hpo.cli.output import console, percent, print_json, say
from hpo.data import open_data
from hpo.errors import UsageError
from hpo.evaluate.records import NUMBERS, SHARES
from hpo.evaluate.thresholds import read_rule
from hpo.stats import Interval
from hpo.weights import Unseen
from hpo.weights.evaluation import WeightsEvaluation, evaluate_weights, to_document


def evaluate(
    path: Path, data: Path | None, *, how: Unseen | None, threshold: str, json: bool
) -> None:
    """Evaluate a file of weights on the test split of a data set, and print it.

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
    name = f"{evaluation.data} (synthetic)" if evaluation.is_phantom else evaluation.data
    title = f"{evaluation.path.name} on the test of {name}, threshold {evaluation.threshold:g}"
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for column in ("", "value", "95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    for label, metric in SHARES.items():
        table.add_row(f"{label}, %", *_cells(evaluation.metrics[metric], is_share=True))
    for label, metric in NUMBERS.items():
        table.add_row(label, *_cells(evaluation.metrics[metric], is_share=False))
    console.print(table)
    counts = evaluation.confusion
    console.print(
        f"{counts.n_right} of {evaluation.n_images} right: {counts.true_positive} pneumonia "
        f"images found and {counts.false_negative} missed, {counts.true_negative} normal ones "
        f"called normal and {counts.false_positive} called pneumonia. Intervals: bootstrap over "
        f"{evaluation.n_patients} patients.",
        soft_wrap=True,
    )
    for sign in evaluation.signs:
        console.print(f"Warning: {escape(sign)}", style="yellow", soft_wrap=True)


def _cells(found: Interval, *, is_share: bool) -> tuple[str, str]:
    write = percent if is_share else _number
    interval = "–"
    if found.low is not None and found.high is not None:
        interval = f"{write(found.low)} to {write(found.high)}"
    return write(found.mean), interval


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
