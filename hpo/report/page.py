"""Putting the page together and writing it whole."""

from pathlib import Path
from typing import Final

import optuna

from hpo.evaluate import read_evaluation
from hpo.files import write_whole
from hpo.report.battery import battery_section
from hpo.report.claims import claims_table
from hpo.report.facts import commands, facts, settings
from hpo.report.figures import figures
from hpo.report.finalists import finalists_section
from hpo.report.headline import headline
from hpo.report.sealed_test import sealed_test
from hpo.report.table import table, unfinished
from hpo.report.template import fill
from hpo.report.verdict import verdict
from hpo.runs import RunStore
from hpo.signs import scope, study_signs
from hpo.storage_url import storage_option
from hpo.summary import StudySummary

FILE_NAME: Final = "report.html"


def write_report(summary: StudySummary, study: optuna.Study, runs: RunStore, folder: Path) -> Path:
    """Write the page of a study into the folder and return its path.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    path = folder / FILE_NAME
    content = render(summary, study, runs).encode()
    again = f"hpo report {summary.name}{storage_option(summary.storage)}"
    way_out = f"The page is missing: make room, then run {again}"
    write_whole(path, content, way_out=way_out)
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
            "signs": study_signs(summary, runs),
            "scope": scope(summary),
            "verdict": verdict(summary),
            "figures": figures(summary, study, runs),
            "claims": claims_table(summary, runs),
            "test": sealed_test(summary, study),
            "table": table(summary),
            "unfinished": unfinished(summary),
            "facts": facts(summary),
            "settings": settings(summary),
            "commands": commands(summary),
        },
    )
