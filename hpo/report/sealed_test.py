"""The sealed test on the page: there only once it was opened."""

from collections.abc import Iterator
from dataclasses import dataclass

import optuna

from hpo.evaluate import Ensemble, Evaluated, Evaluation, read_evaluation
from hpo.evaluate.records import NUMBERS, SHARES
from hpo.evaluate.thresholds import read_rule
from hpo.plots.curves import curve_colors
from hpo.plots.test import draw_calibration, draw_roc, evaluation_info
from hpo.report.figures import FigureBlock, block
from hpo.stats import Interval
from hpo.study.summary import StudySummary
from hpo.study.test_access import statements


@dataclass(frozen=True)
class TestRow:
    """A configuration, or its ensemble, on the test: a text per column."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TestSection:
    """The opened test; without `title` its results are not kept, only that it was opened."""

    openings: tuple[str, ...]
    title: str
    columns: tuple[str, ...]
    rows: tuple[TestRow, ...]
    has_ensembles: bool
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
        rows=tuple(_rows(evaluation)) if evaluation else (),
        has_ensembles=any(c.ensemble for c in every),
        remarks=tuple(f"{c.name}: {line}" for c in every for line in (*c.notes, *c.signs)),
        verdict=tuple((p.sentence, p.is_real) for p in evaluation.pairs) if evaluation else (),
        notes=evaluation.notes if evaluation else (),
        figures=_figures(evaluation, summary) if evaluation else (),
    )


def _title(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.n_normal} normal and {evaluation.n_pneumonia} pneumonia images, threshold "
        f"{evaluation.threshold}"
    )


def _rows(evaluation: Evaluation) -> Iterator[TestRow]:
    """Yield a row per configuration, and below it one for its ensemble, which has no gap."""
    is_chosen = read_rule(evaluation.threshold).is_chosen
    for one in evaluation.configurations:
        gaps = (_points(one.gap["accuracy"]), _number(one.gap["auroc"]))
        yield TestRow(one.name, (*_cells(one, evaluation.n_images), *gaps))
        if one.ensemble:
            name = f"{one.name}, ensemble of {one.ensemble.n}"
            name += f", threshold {one.ensemble.threshold:.3f}" if is_chosen else ""
            yield TestRow(name, (*_cells(one.ensemble, evaluation.n_images), "-", "-"))


def _cells(marked: Evaluated | Ensemble, n_images: int) -> Iterator[str]:
    yield from (_points(marked.metrics[name]) for name in SHARES.values())
    yield f"{marked.n_right:.4g} of {n_images}"
    yield from (_number(marked.metrics[name]) for name in NUMBERS.values())


def _figures(evaluation: Evaluation, summary: StudySummary) -> tuple[FigureBlock, ...]:
    info = evaluation_info(evaluation, curve_colors(summary))
    return (
        block("roc", "ROC", info.roc_caption, draw_roc(info)),
        block("calibration", "Calibration", info.calibration_caption, draw_calibration(info)),
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
