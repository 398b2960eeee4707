"""Putting the page together and writing it whole."""

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Final

import jinja2
import optuna

from hpo import plots
from hpo.files import write_whole
from hpo.report.claims import claims_table
from hpo.report.facts import commands, facts, settings
from hpo.report.figures import figures
from hpo.report.headline import headline
from hpo.report.sealed_test import sealed_test
from hpo.report.table import table, unfinished
from hpo.runs import RunStore
from hpo.summary import StudySummary

FILE_NAME: Final = "report.html"


def write_report(summary: StudySummary, study: optuna.Study, runs: RunStore, folder: Path) -> Path:
    """Write the page of a study into the folder and return its path.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    path = folder / FILE_NAME
    content = render(summary, study, runs).encode()
    way_out = f"The page is missing: make room, then run hpo report {summary.name}"
    write_whole(path, content, way_out=way_out)
    return path


def render(summary: StudySummary, study: optuna.Study, runs: RunStore) -> str:
    """Return the page as HTML.

    Everything from outside is escaped by the template. The policy in the page's head lets only
    its own two scripts run, so that what slipped through would still do nothing.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    scripts = [plots.plotly_script(), _file("page.js")]
    return environment.from_string(_file("page.html")).render(
        summary=summary,
        headline=headline(summary),
        figures=figures(summary, study, runs),
        claims=claims_table(summary, runs),
        test=sealed_test(summary, study),
        table=table(summary),
        unfinished=unfinished(summary),
        facts=facts(summary),
        settings=settings(summary),
        commands=commands(summary),
        style=_file("page.css"),
        scripts=scripts,
        script_hashes=" ".join(_hash(script) for script in scripts),
    )


def _file(name: str) -> str:
    return resources.files("hpo.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"
