"""The figures of the page, in their order, each with its caption."""

from collections.abc import Iterator
from dataclasses import dataclass

import optuna

from hpo import plots
from hpo.storage.runs import RunStore
from hpo.study.summary import StudySummary


@dataclass(frozen=True)
class FigureBlock:
    """One heading with its caption and its drawings as JSON; there may be none to draw."""

    key: str
    title: str
    caption: str
    drawings: tuple[str, ...]


def figures(summary: StudySummary, study: optuna.Study, runs: RunStore) -> list[FigureBlock]:
    """Return every figure that the study has something to show in."""
    return [*_scores(summary), *_parameters(summary, study), *_curves(summary, runs)]


def _scores(summary: StudySummary) -> Iterator[FigureBlock]:
    if summary.record.kind == "grid" and (sweep := plots.sweep_info(summary)):
        yield block("sweep", "The sweep", sweep.caption, plots.draw_sweep(sweep))
    if history := plots.history_info(summary):
        yield block("history", "History", history.caption, plots.draw_history(history))


def _parameters(summary: StudySummary, study: optuna.Study) -> Iterator[FigureBlock]:
    importances = plots.importance_info(study, summary)
    drawn = [plots.draw_importances(importances)] if importances.importances else []
    yield block("importances", "Importance of the parameters", importances.caption, *drawn)
    if slices := plots.slice_infos(summary):
        drawn = [plots.draw_slice(info) for info in slices]
        yield block("slices", "Score by parameter", plots.slices_caption(summary), *drawn)


def _curves(summary: StudySummary, runs: RunStore) -> Iterator[FigureBlock]:
    if curves := plots.curves_info(summary, runs):
        yield block("curves", "Curves", curves.caption, plots.draw_curves(curves))


def block(key: str, title: str, caption: str, *drawings: plots.Figure) -> FigureBlock:
    """Return a figure of the page."""
    documents = tuple(plots.figure_json(drawing) for drawing in drawings)
    return FigureBlock(key, title, caption, documents)
