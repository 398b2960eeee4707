"""The evaluation of a study on its test set, as a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from hpo.evaluate.records import (
    NUMBERS,
    SHARES,
    Confusion,
    Ensemble,
    Evaluated,
    Evaluation,
    to_document,
)
from hpo.evaluate.thresholds import read_rule
from hpo.space.records import short_text
from hpo.stats import Interval
from hpo.stats.intervals import WIDEST
from hpo.stats.sentences import amounts
from hpo.study.record import StudyRecord
from hpo.study.score import SCORES, Score
from hpo.study.summary import StudySummary
from hpo.tables import DASH, Column, Row, Table, count

_MOST_PAIRS: Final = 10
_MOST_CLASSES: Final = 5


def evaluation_table(evaluation: Evaluation, summary: StudySummary, *, most: int = 12) -> Table:
    """Return a row per metric, its interval on a second line, and a column per configuration."""
    shown, other = evaluation.configurations[:most], evaluation.regression
    columns = (*shown, other) if other else shown
    swept = {tuple(c.params) if c.name == c.label else () for c in shown}
    corner, names = "", [c.name for c in columns]
    if len(swept) == 1 and len(name := swept.pop()) == 1:
        corner, names = name[0], [short_text(c.value) for c in columns]
    rows = [
        *_metric_rows(evaluation, columns),
        _row("accuracy gap, points", [c.gap["accuracy"] for c in columns], 100, "+z.1f"),
        _row("AUROC gap", [c.gap["auroc"] for c in columns], 1, "+z.2f"),
    ]
    if has_matrix := 2 < len(evaluation.classes) <= _MOST_CLASSES:
        rows += _confusion_rows(list(evaluation.classes), columns)
    notes = "Second lines are 95 % intervals over trainings and patients"
    ensembles = [c.ensemble for c in columns]
    if any(ensembles):
        notes += "; of an ensemble, over patients alone"
        sizes = [f"of {e.n} repeats" if e else DASH for e in ensembles]
        rows.append(Row(("ensemble", *sizes), "heading"))
        if read_rule(evaluation.threshold).is_chosen:
            thresholds = [f"{e.threshold:.3f}" if e else DASH for e in ensembles]
            rows.append(Row(("threshold", *thresholds)))
        rows += _metric_rows(evaluation, ensembles)
    n_hidden = len(evaluation.configurations) - len(shown)
    hidden = [f"{n_hidden:,} more configurations are in --json."] if n_hidden else []
    chosen = [t for c in shown for t in c.thresholds]
    threshold = f", threshold {evaluation.threshold}" if len(evaluation.classes) == 2 else ""
    if min(chosen) < max(chosen):
        threshold += " on the validation images of each repeat "
        threshold += f"({min(chosen):.3f} to {max(chosen):.3f})"
    return Table(
        columns=(Column(corner, "text"), *map(Column, names)),
        rows=tuple(rows),
        notes=(
            f"{notes}. Gap = validation minus test.",
            *hidden,
            *_sentences(evaluation, shown, has_matrix),
        ),
        title=f"Test of {evaluation.study}: {summary.record.data.title}, "
        f"{classes_text(evaluation.classes)} images{threshold}",
    )


def _metric_rows(
    evaluation: Evaluation, columns: Sequence[Evaluated | Ensemble | None]
) -> Iterator[Row]:
    """Yield the number of correct predictions, then a row per metric."""
    correct = (f"{c.n_right:.4g} of {evaluation.n_images}" if c else DASH for c in columns)
    yield Row(("correct answers", *correct))
    cells = [metric_cells(c.metrics, "{}\n{} to {}") if c else {} for c in columns]
    for name in dict.fromkeys(name for texts in cells for name in texts):
        yield Row((name, *(texts.get(name, DASH) for texts in cells)))


def metric_cells(metrics: Mapping[str, Interval], pattern: str) -> dict[str, str]:
    """Return the metrics by their displayed names, each with its interval in a pattern."""
    shares = {f"{name}, %": (key, 100, ".1f") for name, key in SHARES.items()}
    forms = shares | {name: (key, 1, ".3f") for name, key in NUMBERS.items()}
    return {
        name: interval_text(metrics[key], pattern, scale, form)
        for name, (key, scale, form) in forms.items()
        if key in metrics
    }


def _confusion_rows(classes: Sequence[str], shown: Sequence[Evaluated]) -> Iterator[Row]:
    """Yield a row per cell of the confusion matrix, the mean over repeats."""
    yield Row(("images", *("" for _ in shown)), "heading")
    for label, name in enumerate(classes):
        for answer, predicted in enumerate(classes):
            counts = (f"{c.confusion[label][answer] / len(c.thresholds):.4g}" for c in shown)
            yield Row((f"{name} classified as {predicted}", *counts))


def _row(name: str, intervals: Sequence[Interval | None], scale: float, form: str) -> Row:
    return Row((name, *(interval_text(i, "{}\n{} to {}", scale, form) for i in intervals)))


def interval_text(interval: Interval | None, pattern: str, scale: float, form: str) -> str:
    """Fill a mean and its interval into a pattern; without an interval only the mean."""
    if interval is None or interval.mean is None:
        return DASH
    is_wide = scale == 100 and (interval.high or 0.0) - (interval.low or 0.0) > WIDEST
    if interval.low is None or interval.high is None or is_wide:
        return f"{scale * interval.mean:{form}}"
    numbers = (interval.mean, interval.low, interval.high)
    return pattern.format(*(f"{scale * x:{form}}" for x in numbers))


def _sentences(
    evaluation: Evaluation, shown: Sequence[Evaluated], has_matrix: bool
) -> Iterator[str]:
    """Yield confusion, gaps and warnings of each configuration, then the comparisons."""
    for c in shown:
        if c.name != c.label:
            yield f"{c.name}: {c.label}"
        n = len(c.trials)
        over = "" if n == 1 else f" (means over {n} repeats)"
        if not has_matrix:
            yield f"{c.name}: {confusion_text(evaluation.classes, c.confusion, n)}{over}."
        yield from (f"{c.name}: {line}" for line in c.notes)
        yield from (f"Warning ({c.name}): {line}" for line in c.signs)
    pairs = evaluation.pairs
    differing = [pair for pair in pairs if pair.is_real]
    listed = pairs if len(pairs) <= _MOST_PAIRS else differing
    yield from (pair.sentence for pair in listed)
    if len(listed) < len(pairs):
        n_others = len(pairs) - len(differing)
        yield f"The other {n_others} pairs show no significant difference on the test."
    yield from evaluation.notes


def classes_text(classes: Mapping[str, int]) -> str:
    """Return the number of images of each class in words: `200 normal and 200 pneumonia`."""
    *others, last = (f"{n:,} {name}" for name, n in classes.items())
    return f"{', '.join(others)} and {last}"


def confusion_text(classes: Mapping[str, int], confusion: Confusion, n_models: int = 1) -> str:
    """Return the confusion matrix in words, as the mean over models."""
    names, texts = list(classes), list[str]()
    for label, (name, row) in enumerate(zip(names, confusion, strict=True)):
        right = row[label] / n_models
        wrong = [
            f"{n / n_models:.4g} as {other}"
            for other, n in zip(names, row, strict=True)
            if n and other != name
        ]
        parts = [f"{right:.4g} of {classes[name]} {name} images are classified correctly", *wrong]
        texts.append(", ".join(parts))
    return "; ".join(texts)


def evaluation_document(evaluation: Evaluation, summary: StudySummary) -> dict[str, Any]:
    """Return the JSON of a test, with the record of every access to it."""
    return to_document(evaluation) | {
        "n_openings": len(summary.openings),
        "openings": list(map(asdict, summary.openings)),
    }


def evaluation_sentence(evaluation: Evaluation, summary: StudySummary) -> str | None:
    """Return the last test result of the best configuration; None if it was left out."""
    evaluated = evaluation.of(summary.best)
    if evaluated is None:
        return None
    # The metric of the study comes first.
    texts = []
    for score in dict.fromkeys((summary.record.score.plain, SCORES["accuracy"], SCORES["auroc"])):
        scale, form, unit = _form(score)
        interval = evaluated.metrics[score.metric]
        text = interval_text(interval, f"{{}}{unit} ({{}} to {{}}{unit})", scale, form)
        texts.append(f"{score.title} {text}{'' if text.endswith(')') else unit}")
    having = ", with 95 % intervals" * any(text.endswith(")") for text in texts)
    text = f"Test result of {evaluated.name}{having}: {', '.join(texts)}."
    return f"{text} {_beside_regression(evaluation, evaluated, summary.record)}".strip()


def _beside_regression(evaluation: Evaluation, evaluated: Evaluated, record: StudyRecord) -> str:
    """Compare with a logistic regression on the test; "" if an older version did not."""
    regression, above, score = evaluation.regression, evaluated.above_regression, record.score
    other = regression.metrics[score.metric].mean if regression else None
    if other is None or above is None or above.mean is None:
        return ""
    scale, form, unit = _form(score.plain)
    shown = f"{scale * other:{form}}"
    what = f"{shown}{unit} {score.plain.title}" if unit else f"{score.plain.title} {shown}"
    what = f"A plain logistic regression has {what} there"
    if above.low is None or above.high is None:
        return f"{what}."
    if scale == 100 and above.high - above.low > WIDEST:
        return f"{what}; {count(above.n, 'repeat')} are too few to compare."
    points, digits = (" points", 1) if unit else ("", 3)
    if above.low <= 0 <= above.high:
        low, high = amounts((above.low, above.high), scale, digits, sign="+")
        text = f"{what}: no significant difference (95 % interval {low} to {high}{points})."
    else:
        ends = sorted((abs(above.low), abs(above.high)))
        mean, low, high = amounts((abs(above.mean), *ends), scale, digits, least=ends[0])
        way = "better" if (above.mean > 0) == (score.kind.direction == "maximize") else "worse"
        text = f"{what}: the {record.noun} is {way}, by {mean}{points} "
        text += f"(95 % interval {low} to {high})."
    return text + " This compares two models, not two configurations." * (above.n == 1)


def _form(score: Score) -> tuple[int, str, str]:
    """Return factor, format and unit of a metric as the table of the test shows it."""
    return (100, ".1f", "\u00a0%") if score.metric in SHARES.values() else (1, ".3f", "")
