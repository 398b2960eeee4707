"""The page of a study or of a comparison, as one self-contained file."""

import base64
import functools
import hashlib
import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import jinja2
import optuna

from hpo.data.dataset import Dataset
from hpo.evaluate.checks import check_study
from hpo.evaluate.learning_curves import compare_curves
from hpo.evaluate.studies import Comparison
from hpo.evaluate.test import read_evaluation
from hpo.files import write_atomic
from hpo.plots.axes import PALETTE, Plot, figure_json, plotly_script
from hpo.plots.curves import curve_colors, plot_curves, plot_study_curves
from hpo.plots.search import plot_history, plot_importances, plot_slices
from hpo.plots.stress import plot_stress, stress_info
from hpo.plots.sweep import plot_differences, plot_sweep
from hpo.plots.test import plot_test
from hpo.report import sections
from hpo.report.xrays import read_xrays
from hpo.stats import outcome
from hpo.storage.runs import RunStore
from hpo.storage.url import named, storage_option
from hpo.study.summary import StudySummary
from hpo.study.test_access import statements
from hpo.tables import Answer
from hpo.views.answer import answer
from hpo.views.evaluations import evaluation_table
from hpo.views.studies import (
    MOST_ON_PAGE,
    comparison_table,
    configurations_table,
    curves_table,
    finalists_table,
)

FILE_NAME: Final = "report.html"
LEAST_OF_A_SEARCH: Final = 30
"""With fewer configurations, history and importances are meaningless."""


def write_report(
    summary: StudySummary,
    study: optuna.Study,
    runs: RunStore,
    folder: Path,
    *,
    dataset: Dataset | None = None,
) -> Path:
    """Write the page of a study into the folder, with X-rays if given; return its path.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    path, page = folder / FILE_NAME, render(summary, study, runs, dataset).encode()
    again = f"hpo report {named(summary.name, summary.storage)}"
    write_atomic(path, page, hint=f"The page was not written. Free disk space, then run {again}")
    return path


def write_comparison(comparison: Comparison, runs: RunStore, path: Path) -> None:
    """Write the page of a comparison.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    studies = comparison.summaries
    names = shlex.join(summary.name for summary in studies) + storage_option(studies[0].storage)
    hint = f"The page was not written. Free disk space, then run hpo compare {names}"
    write_atomic(path, render_comparison(comparison, runs).encode(), hint=hint)


def render(
    summary: StudySummary, study: optuna.Study, runs: RunStore, dataset: Dataset | None = None
) -> str:
    """Return the page of a study as HTML."""
    evaluation = read_evaluation(study) if summary.openings else None
    stress, curves = stress_info(summary, runs), compare_curves(summary, runs)
    table, n_hidden = configurations_table(summary, most=MOST_ON_PAGE, is_full=True)
    content = {
        "summary": summary,
        "answer": answer(summary, evaluation),
        "differences": plot_differences(summary.last_verdict),
        "score": summary.record.score,
        "data": summary.record.data,
        "done": sections.done(summary),
        "tiles": sections.tiles(summary, evaluation),
        "trainings": sections.trainings(summary),
        "finalists": finalists_table(summary),
        "finalists_verdict": sections.finalists_verdict(summary),
        "signs": check_study(summary, runs),
        "verdict": sections.verdict(summary),
        "stress": stress,
        "xrays": list(read_xrays(summary, runs, dataset)) if dataset else [],
        "plots": plots_of(summary, study, runs),
        "curves": curves,
        "openings": statements(summary.openings, n_complete=summary.count("complete")),
        "evaluation": evaluation,
        "table": table,
        "n_hidden": n_hidden,
        "failed": sections.unfinished(summary, "failed"),
        "pruned": sections.unfinished(summary, "pruned"),
        "most": MOST_ON_PAGE,
        "settings": sections.settings(summary),
        "commands": sections.commands(summary),
    }
    if stress:
        content["stress_plot"] = plot_stress(stress)
        content["stress_table"] = sections.stress_table(stress)
    if curves:
        content["curves_table"] = curves_table(curves, with_meanings=True)
    if evaluation:
        content["test_table"] = tested = evaluation_table(evaluation, summary, most=MOST_ON_PAGE)
        real = {pair.sentence for pair in evaluation.pairs if pair.is_real}
        content["test_lines"] = [(note, note in real) for note in tested.notes]
        content["test_plots"] = plot_test(evaluation, curve_colors(summary))
    return _fill("page.html", content)


def plots_of(summary: StudySummary, study: optuna.Study, runs: RunStore) -> list[Plot]:
    """Return the figures of scores for which the study has enough data."""
    plots = [plot_sweep(summary) if summary.record.kind == "grid" else None]
    if len(summary.record.names) > 1 and len(summary.configurations) >= LEAST_OF_A_SEARCH:
        plots += [plot_history(summary), plot_importances(study, summary)]
    plots += [plot_slices(summary), plot_study_curves(summary, runs)]
    return [plot for plot in plots if plot]


def render_table(summary: StudySummary, answer: Answer) -> str:
    """Return the plain answer and the table of configurations as HTML, for a notebook."""
    table, _ = configurations_table(summary, most=MOST_ON_PAGE)
    content = {"answer": answer, "table": table}
    return _templates().get_template("notebook.html").render(content)


def render_comparison(comparison: Comparison, runs: RunStore) -> str:
    """Return the page of a comparison as HTML, with the best curves in one figure."""
    entries = comparison.entries
    best = sorted(entries, key=lambda entry: entry.rank, reverse=True)[: len(PALETTE)]
    shown = [(entry.name, entry.configuration) for entry in entries if entry in best]
    left_out = ""
    if len(shown) < len(entries):
        left_out = f" Of {len(entries)} configurations, the best {len(shown)} are shown."
    return _fill(
        "comparison.html",
        {
            "summaries": comparison.summaries,
            "data": comparison.summaries[0].record.data,
            "score": comparison.score,
            "verdict": sections.sentences(outcome(comparison.verdict)),
            "curves": plot_curves(shown, runs, score=comparison.score, left_out=left_out),
            "table": comparison_table(comparison),
        },
    )


def _fill(name: str, content: Mapping[str, object]) -> str:
    """Return a page as HTML.

    Everything from outside is escaped by the template. In addition, the policy in the page's head
    lets only its own two scripts run.
    """
    scripts = [plotly_script(), _file("page.js")]
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    hashes = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    frame = {"style": _file("page.css"), "scripts": scripts, "script_hashes": hashes}
    return _templates().get_template(name).render(frame | dict(content))


@functools.cache
def _templates() -> jinja2.Environment:
    """Return the templates; each is compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure_json"] = figure_json
    environment.globals["terms"] = sections.TERMS
    return environment


def _file(name: str) -> str:
    return resources.files("hpo.report").joinpath(name).read_text(encoding="utf-8")
