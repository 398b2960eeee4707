"""The page of a study: structure, escaping and contrast."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import hpo.report
from hpo import space as spaces
from hpo.plots.axes import GRAY, PALETTE
from hpo.plots.search import plot_history, plot_importances, plot_slices
from hpo.report.page import render
from hpo.report.sections import CHANGES
from hpo.training import stress
from tests.fake_studies import PAYLOAD, add_finalists, fake_search, hostile

VOID = {"meta", "img", "br", "link"}
CSS = (Path(hpo.report.__file__).parent / "page.css").read_text()
MODES = dict(
    zip(("light", "dark"), CSS.split("@media (prefers-color-scheme: dark)")[:2], strict=True)
)


class Outline(HTMLParser):
    """Reads a page, checks that its elements nest, and keeps tags, ids and references."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has the handler {name}"
            assert name not in {"src", "href"}, f"{tag} loads {value}"
            self.ids += [value or ""] if name == "id" else []
            self.references += (value or "").split() if name == "aria-labelledby" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_valid_and_accessible(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 50, metric="stress_auroc"), 0.90, 0.95, 0.88)
    html = render(fake.summary, fake.study, fake.runs)
    page = Outline(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table") > 3
    assert page.tags.count("figcaption") == page.tags.count("figure") > 3
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    assert len(html.encode()) < 6_000_000
    assert html.count("plotly.js v") == 1
    assert "default-src 'none'" in html
    assert tuple(CHANGES) == stress.names()


def test_untrusted_texts_are_escaped_in_the_page(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 14), 0.90, 0.95, 0.88)
    fake.fail(fake.ask({"dropout": 0.5}, fake.record.space.base, 9), PAYLOAD)
    summary = hostile(fake.summary)
    # A name of a searched parameter comes from the space file, which is read; these do not.
    record = dataclasses.replace(summary.record, kind="grid", names=("batch_size",))
    html = render(dataclasses.replace(summary, record=record), fake.study, fake.runs)
    Outline(html)
    assert html.count("&lt;script&gt;document.body") > 8
    assert "<img" not in html
    assert "<script>document" not in html


def luminance(color: str) -> float:
    """Return the relative luminance of `#rrggbb` by WCAG 2."""
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", MODES)
def test_points_and_texts_have_enough_contrast_in_both_modes(mode: str) -> None:
    color = dict(re.findall(r"--(\w+): (#\w{6});", MODES[mode]))
    assert min(contrast(shade, color["card"]) for shade in (*PALETTE, GRAY)) >= 3
    texts, grounds = ("ink", "muted", "accent"), ("card", "page")
    pairs = [(text, ground) for text in texts for ground in grounds]
    pairs += [("ink", "best"), ("ink", "warning")]
    assert min(contrast(color[text], color[ground]) for text, ground in pairs) >= 4.5
    # A filter would change these colors.
    assert "filter:" not in CSS


def test_importances_leave_out_what_few_configurations_use(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 17)
    plot = plot_importances(fake.study, fake.summary)
    assert plot
    assert {"learning_rate", "optimizer"} <= set(plot.figures[0].data[0].y)
    assert not {"momentum", "step_size"} & set(plot.figures[0].data[0].y)
    assert "fewer than 10 configurations use it: momentum, step_size." in plot.caption


def test_collapsed_configurations_do_not_set_the_scale(tmp_path: Path) -> None:
    fake = fake_search(tmp_path, 17)
    space = fake.record.space
    base = spaces.complete(space, {})
    assert base
    for width in (32, 128):
        params = {**base.params, "width": width}
        fake.complete(fake.ask(params, spaces.resolve(space, params), 0), [0.2] * 12)
    for plot in (plot_history(fake.summary), plot_slices(fake.summary)):
        assert plot
        assert all(figure.layout.yaxis.range[0] > 0.5 for figure in plot.figures)
        assert "Scores far worse than the others (2) are outside the figure" in plot.caption
