"""The content of the page of a study, section by section; templates lay it out."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from hpo.config import MLP_FIELDS, TrainingConfig
from hpo.evaluate.records import Evaluation
from hpo.plots import axes
from hpo.plots.stress import StressInfo
from hpo.space.records import value_text
from hpo.stats import PairComparison, outcome
from hpo.storage.url import named
from hpo.study.record import LIBRARY
from hpo.study.score import SCORES
from hpo.study.summary import StudySummary
from hpo.tables import Column, Row, Table, count

MAX_PAIRS: Final = 500

CHANGES: Final[Mapping[str, str]] = {
    "shifted": "right and down, each by up to a tenth of the side",
    "tilted": "turned by up to 5.7 degrees and sheared by up to a tenth",
    "larger": "the chest is enlarged by 10 %",
    "smaller": "the chest is shrunk by 10 %",
    "wider": "width relative to height increased by 10 %",
    "narrower": "width relative to height reduced by 10 %",
    "brighter": "by 15 % of the gray range",
    "darker": "by 15 % of the gray range",
    "more contrast": "by a factor of 1.3",
    "less contrast": "by a factor of 0.7",
    "noisy": "Gaussian noise with a standard deviation of 6 % of the gray range",
    "blurred": "Gaussian blur with a standard deviation of 0.6 % of the side",
}
"""A short description of each change of the stress battery (docs/stress.md)."""


TERMS: Final[Mapping[str, str]] = {
    "repeats": "Trainings of one configuration with other seeds and, unless the data have a "
    "validation split of their own, on other folds.",
    "95 % interval": "A range that contains the true value in 95 of 100 studies like this one.",
    "deviation": "The standard deviation of the repeats.",
    "accuracy": "The share of images that are classified correctly.",
    "balanced accuracy": "The mean of the shares of each class that are classified correctly.",
    "sensitivity": "The share of positive images that are classified as positive.",
    "specificity": "The share of negative images that are classified as negative.",
    "AUROC": "The probability that a positive image is scored higher than a negative one.",
    "Brier score": "The mean squared difference between probability and label; lower is better.",
    "log loss": "The mean negative logarithm of the true class's probability; lower is better.",
    "calibration error": "The mean distance between probabilities and observed shares; 0 is best.",
    "ensemble": "One model that averages the probabilities of the repeats.",
    "gap": "The score on validation images minus the score on test images.",
    "score in search": "The score by which the finalist was chosen; it is partly due to luck.",
    "score when retrained": "The mean of new trainings that were not used to choose it.",
    "baseline": "A method without tuning: the most common class, or a logistic regression.",
}
"""Explanations of terms, shown on hover and at the end of the page."""


def stress_table(info: StressInfo) -> Table:
    """Return a row per change: the metric, its loss, and what the change is."""
    score = info.score
    columns = (Column(score.title), Column("loss"), Column("description", "long"))
    return Table(
        columns=(Column("change", "text"), *columns),
        rows=tuple(
            Row((change, *info.texts(change), CHANGES.get(change, ""))) for change in info.scores
        ),
        title=f"On unchanged images: {score.title} {score.text(info.unchanged)}",
    )


def sentences(said: Iterable[PairComparison | str]) -> list[tuple[str, bool]]:
    """Return each sentence of a verdict and whether it states a difference."""
    return [(s, False) if isinstance(s, str) else (s.sentence, s.answer == "better") for s in said]


def verdict(summary: StudySummary) -> list[tuple[str, bool]]:
    """Return every pair of a grid as a sentence; if there are many, those that differ."""
    if summary.verdict is None or not summary.verdict.pairs:
        return []
    return sentences(outcome(summary.verdict, most=MAX_PAIRS, most_real=MAX_PAIRS))


def finalists_verdict(summary: StudySummary) -> list[tuple[str, bool]]:
    """Return the pairs of finalists as sentences, then the winner with each course network."""
    if summary.finalists is None:
        return []
    return sentences([*outcome(summary.finalists.verdict), *summary.report_pairs])


def done(summary: StudySummary) -> str:
    """Return one line on the trained configurations."""
    names = summary.record.varied
    is_search = summary.record.kind == "search"
    what = f"over {count(len(names), 'parameter')}" if is_search else f"of {' x '.join(names)}"
    text = f"{count(len(summary.configurations), 'configuration')} {what}, "
    text += f"{count(summary.goal.n_repeats, 'repeat')} each"
    if summary.finalists:
        of = count(len(summary.finalists.members), "finalist")
        text += f", {summary.goal.n_final_repeats} more of {of}"
    return text


def tiles(summary: StudySummary, evaluation: Evaluation | None) -> Iterator[tuple[str, str, bool]]:
    """Yield the tiles of the summary: name, text, and whether it takes a whole line."""
    best, found, score = summary.best, summary.best_score, summary.record.score
    title = "Best configuration by mean"
    if summary.finalists:
        n = len(summary.finalists.members)
        title = f"Winner of {n} finalists: {summary.finalists.winner.tag}"
    yield title, best.label if best else "none yet", True
    retrained = ", retrained" if summary.finalists else ""
    if found:
        yield f"Validation {score.title}{retrained}", axes.score_text(found, score), False
    if evaluation and (tested := evaluation.of(best)):
        accuracy = SCORES["accuracy"]
        yield "Test accuracy", axes.score_text(tested.metrics["accuracy"], accuracy), False


def trainings(summary: StudySummary) -> str:
    """Return the number of trainings by outcome, in words."""
    n_reused = sum(r.is_reused for c in summary.configurations for r in c.repeats)
    words = [f"{summary.count('complete')} finished"]
    words += [f"{n_reused} of them from the run store"] if n_reused else []
    words += [f"{n} {state}" for state in ("pruned", "failed") if (n := summary.count(state))]
    words += [f"{summary.n_open} unfinished"] if summary.n_open else []
    if summary.n_trained or summary.n_reused:
        words.append(f"the last call trained {summary.n_trained}, reused {summary.n_reused}")
    return ", ".join(words)


def unfinished(summary: StudySummary, state: str) -> list[str]:
    """Return a line for each training that was pruned, or that failed."""
    lines = []
    for configuration in summary.configurations:
        name = axes.name_of(summary, configuration)
        for repeat in configuration.repeats:
            if repeat.state != state:
                continue
            said = repeat.reason or "no reason was recorded"
            if state == "pruned":
                last = repeat.last_reported
                at = "" if last is None else f" at {summary.record.score.text(last)}"
                said = f"pruned in epoch {repeat.n_epochs}{at}" if at else "pruned"
            lines.append(f"{name}, repeat {repeat.number}: {said}")
    return lines


def settings(summary: StudySummary) -> Table:
    """Return a table of all hyperparameters, in the base and in the best configuration if any."""
    base = summary.record.space.base
    configs = {"base": base} | ({"best": summary.best.config} if summary.best else {})
    meanings = {n: field.description or "" for n, field in TrainingConfig.model_fields.items()}
    del meanings["model"]
    if custom := base.model:
        meanings = {n: text for n, text in meanings.items() if n not in MLP_FIELDS}
        meanings = {d.name: f"declared by {custom.entry}" for d in custom.signature} | meanings
    rows, with_fields = [], [(c, c.active_fields() | c.custom_params) for c in configs.values()]
    for name, meaning in meanings.items():
        values = [value_text(c.value(name)) if name in f else "no effect" for c, f in with_fields]
        is_changed = len({*values}) > 1
        rows.append(Row((name, *values, meaning), "best" if is_changed else "plain"))
    return Table(
        columns=(
            *(Column(name, "text") for name in ("name", *configs)),
            Column("meaning", "long"),
        ),
        rows=tuple(rows),
        title="Values that differ from the base are bold.",
    )


def commands(summary: StudySummary) -> Iterator[tuple[str, str]]:
    """Yield the commands for the next steps, each with its effect."""
    study, record = named(summary.name, summary.storage), summary.record
    if summary.n_left:
        yield summary.to_resume, "Trains the missing repeats and configurations."
    yield f"hpo show {study}", "Prints the table in the terminal."
    yield f"hpo export {study}{record.model_option}", "Writes the model, CSV files and curves."
    yield f"hpo report {study}", "Writes this page again."
    if record.command != LIBRARY:
        is_grid = record.kind == "grid"
        more = "--repeats adds repeats" if is_grid else "--trials continues the search"
        yield summary.command, f"A larger {more}; nothing is trained twice."
