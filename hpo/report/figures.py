"""The figures of the page, in their order, each with its caption."""

from collections.abc import Iterator
from dataclasses import dataclass

import optuna

from hpo.plots import axes, search
from hpo.plots.curves import curves_info, draw_curves
from hpo.plots.sweep import draw_sweep, sweep_info
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
    if summary.record.kind == "grid" and (sweep := sweep_info(summary)):
        yield block("sweep", "The sweep", sweep.caption, draw_sweep(sweep))
    if history := search.history_info(summary):
        yield block("history", "History", history.caption, search.draw_history(history))


def _parameters(summary: StudySummary, study: optuna.Study) -> Iterator[FigureBlock]:
    if found := search.importance_info(study, summary):
        drawn = [search.draw_importances(found)] if found.shares else []
        yield block("importances", "Importance of the parameters", found.caption, *drawn)
    slices, caption = search.slice_infos(summary)
    if slices:
        yield block("slices", "Score by parameter", caption, *map(search.draw_slice, slices))


def _curves(summary: StudySummary, runs: RunStore) -> Iterator[FigureBlock]:
    if curves := curves_info(summary, runs):
        yield block("curves", "Curves", curves.caption, draw_curves(curves))


def block(key: str, title: str, caption: str, *drawings: object) -> FigureBlock:
    """Return a figure of the page."""
    return FigureBlock(key, title, caption, tuple(map(axes.figure_json, drawings)))
