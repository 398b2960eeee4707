"""The page in a real browser: figures are drawn, without errors or foreign scripts."""

import dataclasses
from pathlib import Path

import pytest

from hpo.evaluate.studies import compare
from hpo.report.page import render, render_comparison, write_report
from tests.browser import BROWSER, POLICY, visit
from tests.fake_studies import add_finalists, fake_grid, fake_search, hostile

SCRIPT = "<script>document.body.dataset.hacked = 1</script>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on the PATH"),
]


def test_every_figure_is_drawn_and_the_policy_blocks_an_injected_script(tmp_path: Path) -> None:
    fake = add_finalists(fake_search(tmp_path, 30, metric="stress_log_loss"), 0.90, 0.95, 0.88)
    path = write_report(fake.summary, fake.study, fake.runs, tmp_path)
    html = path.read_text(encoding="utf-8").replace("<main>", f"<main>{SCRIPT}")
    assert visit(f"<main>{SCRIPT}", tmp_path).was_hacked
    seen = visit(html, tmp_path)
    assert not seen.was_hacked
    (refused,) = seen.console
    assert "Content Security Policy" in refused
    assert seen.n_figures == html.count(" data-figure>") == 5 + len(fake.summary.record.names)
    for text in ("unchanged images", "finalist, retrained", "log loss under stress"):
        assert text in seen.dom
    assert 'data-title="Download plot' in seen.dom
    assert 'data-title="Share chart' not in seen.dom  # plotly.js would send it to its maker
    # Figures that are far away wait until they are scrolled near, or until the page is printed.
    assert 0 < visit(html, tmp_path, height=1_200).n_figures < seen.n_figures
    printed = 'setTimeout(() => dispatchEvent(new Event("beforeprint")))'
    in_print = POLICY.sub("", html).replace("</body>", f"<script>{printed}</script></body>")
    assert visit(in_print, tmp_path, height=1_200).n_figures == seen.n_figures


def test_untrusted_names_execute_nothing_even_without_the_policy(tmp_path: Path) -> None:
    fake = fake_grid(tmp_path, ["batch_size"], n_repeats=2)
    summary = hostile(fake.summary)
    both = compare([summary, dataclasses.replace(summary, name="two")])
    pages = render(summary, fake.study, fake.runs), render_comparison(both, fake.runs)
    for html in pages:
        seen = visit(POLICY.sub("", html), tmp_path)
        assert seen.n_figures == html.count(" data-figure>") > 0
        assert seen.console == []
        assert not seen.was_hacked
        assert "<img" not in seen.dom
