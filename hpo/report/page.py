"""Putting the page together and writing it whole."""

from pathlib import Path
from typing import Final

import optuna

from hpo.evaluate import read_evaluation
from hpo.evaluate.checks import check_study, scope
from hpo.evaluate.learning_curves import compare_curves
from hpo.files import write_page
from hpo.report.battery import battery_section
from hpo.report.facts import commands, facts, settings
from hpo.report.figures import figures
from hpo.report.finalists import finalists_section
from hpo.report.headline import headline
from hpo.report.sealed_test import sealed_test
from hpo.report.table import table, unfinished
from hpo.report.template import fill
from hpo.report.verdict import verdict
from hpo.storage.runs import RunStore
from hpo.storage.url import named
from hpo.study.summary import StudySummary

FILE_NAME: Final = "report.html"


def write_report(summary: StudySummary, study: optuna.Study, runs: RunStore, folder: Path) -> Path:
    """Write the page of a study into the folder and return its path.

    Raises:
        OutputError: another file has its name, the folder cannot be written, the disk is full.
    """
    path = folder / FILE_NAME
    again = f"hpo report {named(summary.name, summary.storage)}"
    write_page(path, render(summary, study, runs), again=again)
    return path


def render(summary: StudySummary, study: optuna.Study, runs: RunStore) -> str:
    """Return the page as HTML."""
    return fill(
        "page.html",
        {
            "summary": summary,
            "score": summary.record.score,
            "headline": headline(summary, read_evaluation(study)),
            "finalists": finalists_section(summary),
            "battery": battery_section(summary, runs),
            "signs": check_study(summary, runs),
            "scope": scope(summary),
            "verdict": verdict(summary),
            "figures": figures(summary, study, runs),
            "curves": compare_curves(summary, runs),
            "test": sealed_test(summary, study),
            "table": table(summary),
            "unfinished": unfinished(summary),
            "facts": facts(summary),
            "settings": settings(summary),
            "commands": commands(summary),
        },
    )
