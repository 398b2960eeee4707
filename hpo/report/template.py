"""Filling a template into a page that needs nothing else: style, figures, scripts are in it."""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources

import jinja2

from hpo.plots.axes import plotly_script


def fill(name: str, content: Mapping[str, object]) -> str:
    """Return a page as HTML.

    Everything from outside is escaped by the template. The policy in the page's head lets only
    its own two scripts run, so that what slipped through would still do nothing.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [plotly_script(), _file("page.js")]
    frame = {
        "style": _file("page.css"),
        "scripts": scripts,
        "script_hashes": " ".join(_hash(script) for script in scripts),
    }
    return environment.get_template(name).render(frame | dict(content))


def _file(name: str) -> str:
    return resources.files("hpo.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"
