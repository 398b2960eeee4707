"""What the page of a study says, section by section; the templates lay it out."""

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
    "larger": "the chest takes 10 % more of the side",
    "smaller": "the chest takes 10 % less of the side",
    "wider": "width against height 10 % more",
    "narrower": "width against height 10 % less",
    "brighter": "by 15 % of the range of gray",
    "darker": "by 15 % of the range of gray",
    "more contrast": "by a factor of 1.3",
    "less contrast": "by a factor of 0.7",
    "noisy": "normal noise with a deviation of 6 % of the range of gray",
    "blurred": "a normal blur with a deviation of 0.6 % of the side",
}
"""What each change of the stress battery is, in short (docs/stress.md)."""


TERMS: Final[Mapping[str, str]] = {
    "repeats": "Trainings of one configuration, each with its own seed and on another fold.",
    "95 % interval": "Where the true value lies in 95 of 100 studies like this one.",
    "deviation": "The standard deviation of the repeats.",
    "accuracy": "The share of images that are classified correctly.",
    "balanced accuracy": "The mean of the shares of each class that are classified correctly.",
    "sensitivity": "The share of positive images that are classified as positive.",
    "specificity": "The share of negative images that are classified as negative.",
    "AUROC": "The chance that a positive image gets a higher probability than a negative one.",
    "Brier score": "The mean squared distance of probabilities from the truth; lower is better.",
    "log loss": "How little probability the true classes got; lower is better.",
    "calibration error": "How far the probabilities are from the observed shares; 0 is best.",
    "ensemble": "One model that averages the probabilities of the repeats.",
    "gap": "The score on validation images minus that on test images.",
    "score in search": "The score that chose the finalist; luck has a part in it.",
    "score when retrained": "The mean of new trainings, which had no part in the choice.",
    "baseline": "A method without tuning: always the commonest class, or a logistic regression.",
}
"""Terms of tables and figures, shown over them and at the end of the page."""


def stress_table(info: StressInfo) -> Table:
    """Return a row per change: the metric, what it loses to the unchanged images, what it is."""
    score = info.score
    columns = (Column(score.title), Column("loss"), Column("what it is", "long"))
    return Table(
        columns=(Column("change", "text"), *columns),
        rows=tuple(
            Row((change, *info.texts(change), CHANGES.get(change, ""))) for change in info.scores
        ),
        title=f"On unchanged images: {score.title} {score.text(info.unchanged)}",
    )


def sentences(said: Iterable[PairComparison | str]) -> list[tuple[str, bool]]:
    """Return each sentence of a verdict, and whether it states a difference."""
    return [(s, False) if isinstance(s, str) else (s.sentence, s.answer == "better") for s in said]


def verdict(summary: StudySummary) -> list[tuple[str, bool]]:
    """Return every pair of a grid as a sentence; of very many, those that differ."""
    if summary.verdict is None or not summary.verdict.pairs:
        return []
    return sentences(outcome(summary.verdict, most=MAX_PAIRS, most_real=MAX_PAIRS))


def finalists_verdict(summary: StudySummary) -> list[tuple[str, bool]]:
    """Return every pair of finalists as a sentence, then the winner and each report."""
    if summary.finalists is None:
        return []
    return sentences([*outcome(summary.finalists.verdict), *summary.report_pairs])


def done(summary: StudySummary) -> str:
    """Say in one line what was trained."""
    names = summary.record.names
    is_search = summary.record.kind == "search"
    what = f"over {count(len(names), 'parameter')}" if is_search else f"of {' x '.join(names)}"
    return (
        f"{count(len(summary.configurations), 'configuration')} {what}, "
        f"{count(summary.goal.n_repeats, 'repeat')} each"
    )


def tiles(summary: StudySummary, evaluation: Evaluation | None) -> Iterator[tuple[str, str, bool]]:
    """Yield the short answer: names and texts, and whether one takes a whole line."""
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
    """Say what became of the trainings."""
    n_reused = sum(r.is_reused for c in summary.configurations for r in c.repeats)
    words = [f"{summary.count('complete')} finished"]
    words += [f"{n_reused} of them from the run store"] if n_reused else []
    words += [f"{n} {state}" for state in ("pruned", "failed") if (n := summary.count(state))]
    words += [f"{summary.n_open} still to finish"] if summary.n_open else []
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
            said = repeat.reason or "no reason is on record"
            if state == "pruned":
                last = repeat.last_reported
                at = "" if last is None else f" at {summary.record.score.text(last)}"
                said = f"pruned in epoch {repeat.n_epochs}{at}" if at else "pruned"
            lines.append(f"{name}, repeat {repeat.number}: {said}")
    return lines


def settings(summary: StudySummary) -> Table:
    """Return every hyperparameter of the base configuration and of the best one."""
    base = summary.record.space.base
    best = summary.best.config if summary.best else base
    meanings = {n: field.description or "" for n, field in TrainingConfig.model_fields.items()}
    del meanings["model"]
    if own := base.model:
        meanings = {n: text for n, text in meanings.items() if n not in MLP_FIELDS}
        meanings = {d.name: f"declared by {own.entry}" for d in own.signature} | meanings
    rows = []
    for name, meaning in meanings.items():
        one, other = (
            value_text(config.value(name))
            if name in config.active_fields() | config.own_params
            else "no effect"
            for config in (base, best)
        )
        rows.append(Row((name, one, other, meaning), "plain" if one == other else "best"))
    return Table(
        columns=(
            *(Column(name, "text") for name in ("name", "base", "best")),
            Column("meaning", "long"),
        ),
        rows=tuple(rows),
        title="In bold, where the best differs from the base.",
    )


def commands(summary: StudySummary) -> Iterator[tuple[str, str]]:
    """Yield the commands that continue from here, each with what it does."""
    study, record = named(summary.name, summary.storage), summary.record
    if summary.n_left:
        yield f"hpo resume {study}", "Trains what is missing."
    yield f"hpo show {study}", "Prints the table in the terminal."
    yield (
        f"hpo export {study}",
        "Writes CSV files, curves and weights, a folder per configuration.",
    )
    yield f"hpo report {study}", "Writes this page again."
    if record.command != LIBRARY:
        is_grid = record.kind == "grid"
        more = "--repeats adds repeats" if is_grid else "--trials continues the search"
        yield record.command, f"A larger {more}; nothing is trained twice."
