"""Pages with figures, terminal output and documents of studies, as in fixtures/shown."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpo.cli.output import print_table
from hpo.plots import axes
from hpo.report.page import render
from hpo.storage.runs import RunStore
from hpo.study.gathering import summarize
from hpo.study.record import Goal
from hpo.study.summary import to_document
from hpo.views.studies import study_tables
from tests.conftest import assert_snapshot, make_xrays, rounded
from tests.evaluate.conftest import Finished
from tests.fake_studies import (
    PHANTOM,
    FakeStudy,
    add_finalists,
    fake_grid,
    fake_record,
    fake_search,
)

LINES = {"p", "h1", "h2", "h3", "tr", "li", "div", "caption", "figcaption", "section", "summary"}
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00)?")


class Words(HTMLParser):
    """The text of a page, a line for each block, and the data of its figures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.lines = [""], [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in LINES:
            self.lines.append("")
        if tag in {"td", "th"}:
            self.lines[-1] += " | "
        self.open.append("drawn" if "data-figure" in dict(attrs) else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in LINES:
            self.lines.append("")
        while self.open[-1] == "meta":
            self.open.pop()
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "drawn":
            self.lines += [*drawn(json.loads(data)), ""]
        elif self.open[-1] not in {"script", "style"}:
            self.lines[-1] += f"{data} " if data.strip() else ""


def drawn(figure: dict[str, Any]) -> list[str]:
    """Return the data of a figure without its style."""
    layout = figure["layout"]
    of_axes = {name: part for name, part in layout.items() if "axis" in name}
    shapes = [{name: shape[name] for name in ("x0", "x1")} for shape in layout.get("shapes", ())]
    shown = ("name", "x", "y", "error_x", "error_y", "hovertext", "fill", "showlegend")
    traces = [{name: trace[name] for name in shown if name in trace} for trace in figure["data"]]
    return [
        json.dumps(one, ensure_ascii=False) for one in ({**of_axes, "shapes": shapes}, *traces)
    ]


def empty(home: Path, n_repeats: int = 5) -> FakeStudy:
    return FakeStudy(fake_record("grid", ["batch_size"]), RunStore(home), Goal(n_repeats))


def unfinished(home: Path) -> FakeStudy:
    fake = empty(home)
    fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, 0), [0.8, 0.9])
    return fake


def uneven(home: Path) -> FakeStudy:
    """One repeat with a NaN, one that ends early, and one whose loss explodes."""
    fake = empty(home, n_repeats=3)
    for repeat, curve in enumerate(([0.5, 0.75, float("nan"), 0.875], [0.75], [-99.0, 0.6])):
        fake.complete(fake.ask({"batch_size": 32}, fake.record.space.base, repeat), curve)
    fake.prune(fake.ask({"batch_size": 64}, fake.record.space.base.replace(batch_size=64), 0), [])
    return fake


def without_runs(home: Path) -> FakeStudy:
    fake = fake_grid(home, ["learning_rate"], n_repeats=2, metric="stress_accuracy")
    for path in home.iterdir():
        path.unlink()
    return fake


def with_report(home: Path) -> FakeStudy:
    fake = add_finalists(fake_search(home, 14, metric="log_loss"), 0.90, 0.95, 0.88)
    base = fake.record.space.base.replace(batch_size=16)
    for repeat in range(1, 5):
        fake.complete(fake.ask({}, base, repeat, report="report_a"), [0.5, 0.6 + 0.001 * repeat])
    return fake


def evaluated(home: Path) -> Any:
    made = Finished(home, make_xrays(home))
    for value in (16, 32):
        for repeat in range(3):
            made.add(value, repeat)
    made.open(threshold="youden", command="hpo evaluate <script>alert(1)</script>")
    summary = replace(summarize(made.study), url="sqlite:///studies/hpo.db")
    return SimpleNamespace(summary=summary, study=made.study, runs=made.runs)


STUDIES: dict[str, Callable[[Path], Any]] = {
    "grid": lambda home: fake_grid(home, ["batch_size"]),
    "grid-of-two": lambda home: fake_grid(home, ["batch_size", "hidden"], n_repeats=2),
    "grid-under-stress": lambda home: fake_grid(home, ["learning_rate"], metric="stress_log_loss"),
    "grid-without-repeats": lambda home: fake_grid(
        home, ["batch_size"], n_repeats=1, data=PHANTOM
    ),
    "search": lambda home: fake_search(home, 30, metric="stress_auroc"),
    "search-with-finalists": lambda home: add_finalists(fake_search(home, 14), 0.90, 0.95, 0.88),
    "search-with-report": with_report,
    "empty": empty,
    "evaluated": evaluated,
    "uneven": uneven,
    "unfinished": unfinished,
    "without-runs": without_runs,
}


WITH_DOCUMENT = {"grid", "search-with-finalists", "unfinished"}


@pytest.mark.parametrize("name", STUDIES)
def test_the_output_of_a_study_matches_its_snapshot(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = STUDIES[name](tmp_path)
    page = Words(render(found.summary, found.study, found.runs))
    for table in study_tables(found.summary, found.runs):
        print_table(table)
    text = "\n".join([*page.lines, "", capsys.readouterr().out])
    if name in WITH_DOCUMENT:
        text += json.dumps(to_document(found.summary), indent=1)
    text = TIME.sub("TIME", text.replace(str(tmp_path), "HOME")).replace("\u00a0", " ")
    lines = (line.rstrip() for line in rounded(text).splitlines() if line.strip())
    assert_snapshot(name, lines)


def test_figure_json_cannot_end_its_script_and_has_null_for_nan() -> None:
    hostile = "<img src=x onerror=alert(1)></script><b>&amp;"
    figure = axes.empty(height=90).add_scatter(y=[1.0, float("nan")])
    text = axes.figure_json(figure.update_layout(title_text=hostile))
    assert not set("<>") & set(text)
    document = json.loads(text)
    assert document["layout"]["title"]["text"] == hostile
    assert document["data"][0]["y"] == [1.0, None]
