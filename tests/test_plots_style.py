"""What figures look like: enough contrast on a light and a dark page, one meaning per style."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import hpo.report
from hpo.plots.style import GRAY, PALETTE
from hpo.report.page import render
from tests.fake_studies import add_finalists, fake_grid, fake_search

CSS = (Path(hpo.report.__file__).parent / "page.css").read_text()
MODES = dict(
    zip(("light", "dark"), CSS.split("@media (prefers-color-scheme: dark)")[:2], strict=True)
)


def luminance(color: str) -> float:
    """Return the relative luminance of `#rrggbb` by WCAG 2."""
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def variable(mode: str, name: str) -> str:
    found = re.search(rf"--{name}: (#\w{{6}});", MODES[mode])
    assert found
    return found[1]


@pytest.mark.parametrize("mode", MODES)
def test_points_and_texts_are_seen_on_a_light_page_and_on_a_dark_one(mode: str) -> None:
    card, page = variable(mode, "card"), variable(mode, "page")
    assert min(contrast(color, card) for color in (*PALETTE, GRAY)) >= 3
    texts = [variable(mode, name) for name in ("ink", "muted", "accent")]
    assert min(contrast(text, ground) for text in texts for ground in (card, page)) >= 4.5
    for ground in ("best", "warning"):
        assert contrast(variable(mode, "ink"), variable(mode, ground)) >= 4.5
    # A filter would make other colors of these.
    assert "filter:" not in CSS


def traces(tmp_path: Path, kind: str) -> list[dict[str, Any]]:
    """Return every trace of every figure of a page."""
    if kind == "grid":
        fake = fake_grid(tmp_path, ["batch_size"], n_repeats=3)
    else:
        fake = add_finalists(fake_search(tmp_path, 14), 0.90, 0.95, 0.88)
    page = render(fake.summary, fake.study, fake.runs)
    figures = re.findall(r"<script[^>]*data-figure[^>]*>(.*?)</script>", page, re.DOTALL)
    assert len(figures) > 2
    return [trace for figure in figures for trace in json.loads(figure)["data"]]


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_no_point_is_pale(tmp_path: Path, kind: str) -> None:
    marked = [t for t in traces(tmp_path, kind) if "markers" in t.get("mode", "")]
    colors = {t["marker"]["color"] for t in marked if "color" in t.get("marker", {})}
    assert colors
    assert all(c == GRAY or c.endswith(",1)") for c in colors)


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_a_line_style_means_the_same_in_every_figure_of_a_page(tmp_path: Path, kind: str) -> None:
    meanings: defaultdict[str, set[str]] = defaultdict(set)
    styles: defaultdict[str, set[str]] = defaultdict(set)
    for trace in traces(tmp_path, kind):
        dash = trace.get("line", {}).get("dash", "solid")
        if trace.get("line", {}).get("color") == GRAY and dash != "solid":
            name = re.sub(r" [\d.]+\s%$", "", trace["name"])
            meanings[dash].add(name)
            styles[name].add(dash)
    assert set(styles) >= {"majority class", "training"} or set(styles) >= {"training"}
    assert all(len(names) == 1 for names in meanings.values()), meanings
    assert all(len(dashes) == 1 for dashes in styles.values()), styles
