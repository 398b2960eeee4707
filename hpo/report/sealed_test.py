"""The sealed test on the page: there only once it was opened."""

from dataclasses import dataclass

import optuna

from hpo import plots
from hpo.evaluate import Evaluated, Evaluation, read_evaluation
from hpo.evaluate.records import NUMBERS, SHARES
from hpo.openings import statements
from hpo.report.figures import FigureBlock, block
from hpo.stats import Interval
from hpo.summary import StudySummary


@dataclass(frozen=True)
class TestRow:
    """A configuration on the test, a text per column."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TestSection:
    """The opened test; without `title` its results are not kept, only that it was opened."""

    openings: tuple[str, ...]
    title: str
    columns: tuple[str, ...]
    rows: tuple[TestRow, ...]
    remarks: tuple[str, ...]
    verdict: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...]
    figures: tuple[FigureBlock, ...]


def sealed_test(summary: StudySummary, study: optuna.Study) -> TestSection | None:
    """Return what the last opening found, or None while the test is sealed."""
    if not summary.openings:
        return None
    evaluation = read_evaluation(study)
    told = statements(summary.openings, n_complete=summary.count("complete"))
    every = evaluation.configurations if evaluation else ()
    return TestSection(
        openings=tuple(told),
        title=_title(evaluation) if evaluation else "",
        columns=(*SHARES, "right answers", *NUMBERS, "accuracy gap", "AUROC gap"),
        rows=tuple(_row(c, evaluation.n_images) for c in every) if evaluation else (),
        remarks=tuple(f"{c.name}: {line}" for c in every for line in (*c.notes, *c.signs)),
        verdict=tuple((p.sentence, p.is_real) for p in evaluation.pairs) if evaluation else (),
        notes=evaluation.notes if evaluation else (),
        figures=_figures(evaluation) if evaluation else (),
    )


def _title(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.n_normal} normal and {evaluation.n_pneumonia} pneumonia images, threshold "
        f"{evaluation.threshold}"
    )


def _row(evaluated: Evaluated, n_images: int) -> TestRow:
    metrics, gap = evaluated.metrics, evaluated.gap
    cells = [_points(metrics[name]) for name in SHARES.values()]
    cells.append(f"{evaluated.n_right:.4g} of {n_images}")
    cells += [_number(metrics[name]) for name in NUMBERS.values()]
    cells += [_points(gap["accuracy"]), _number(gap["auroc"])]
    return TestRow(evaluated.name, tuple(cells))


def _figures(evaluation: Evaluation) -> tuple[FigureBlock, ...]:
    roc, calibration = plots.roc_info(evaluation), plots.calibration_info(evaluation)
    return (
        block("roc", "ROC", roc.caption, plots.draw_roc(roc)),
        block(
            "calibration",
            "Calibration",
            calibration.caption,
            plots.draw_calibration(calibration),
        ),
    )


def _points(interval: Interval) -> str:
    return _written(interval, factor=100, digits=1)


def _number(interval: Interval) -> str:
    return _written(interval, factor=1, digits=3)


def _written(interval: Interval, *, factor: int, digits: int) -> str:
    if interval.mean is None:
        return "-"
    text = f"{factor * interval.mean:.{digits}f}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} ({factor * interval.low:.{digits}f} to {factor * interval.high:.{digits}f})"
